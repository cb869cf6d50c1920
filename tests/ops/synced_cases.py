"""Layers with batch statistics, and a program that runs them on one process's share of a batch.

`python synced_cases.py KIND RANK FOLDER`, started for ranks 0 and 1, writes FOLDER/RANK.pt: of each
case of a kind the outcome with synchronised norms, and of the same without.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from pointmcd.distill.projection import ViewProjection
from pointmcd.ops.batch_norm import synchronise
from pointmcd.ops.group_max import linear_bn_relu_max
from pointmcd.ops.linear_norm import linear_bn_relu
from pointmcd.students._lpfa import LPFA, FirstLPFA, Graph, PlaceEncoding
from pointmcd.students.base import PointFeatures
from pointmcd.students.dgcnn import EdgeConv, TwoLayerEdgeConv
from pointmcd.students.registry import create_student

BATCH, POINTS, CHANNELS = 4, 12, 5


class Folded(nn.Module):
    """A folded operation with the layers that it takes."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(CHANNELS, 6, bias=False)
        self.norm = nn.BatchNorm1d(6)
        self.function = function

    def forward(self, points):
        return self.function(points, self.linear, self.norm)


class OnGraph(nn.Module):
    """A layer of CurveNet on the graph of the points."""

    def __init__(self, layer, with_features=False):
        super().__init__()
        self.layer, self.with_features = layer, with_features

    def forward(self, points):
        graph = Graph.of(points[:, :, :3], 4)
        out = self.layer(points, graph) if self.with_features else self.layer(graph)
        return torch.cat(out, dim=2) if isinstance(out, tuple) else out


class Branch(nn.Module):
    """The distillation branch, every other point visible."""

    def __init__(self):
        super().__init__()
        self.branch = ViewProjection(CHANNELS, 7)

    def forward(self, points):
        seen = torch.arange(POINTS)[:, None] % 2 == torch.arange(2)
        return self.branch(PointFeatures(points), seen.expand(len(points), -1, -1))


class Student(nn.Module):
    """All that a student gives its head."""

    def __init__(self, name, dense):
        super().__init__()
        self.student = create_student(name, dense)

    def forward(self, points):
        features = self.student(points[:, :, :3])
        pooled = features.embeddings.amax(dim=1)
        return (
            pooled
            if features.local is None
            else torch.cat([pooled, features.local.amax(dim=1)], dim=1)
        )


POINTS_SHAPE, CLOUDS_SHAPE = (BATCH, POINTS, CHANNELS), (BATCH, 32, 3)
CASES = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(CHANNELS), (BATCH, CHANNELS)),
    "BatchNorm1d of sequences": (lambda: nn.BatchNorm1d(CHANNELS), (BATCH, CHANNELS, 3)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(CHANNELS), (BATCH, CHANNELS, 3, 2)),
    "not affine": (lambda: nn.BatchNorm1d(CHANNELS, affine=False), (BATCH, CHANNELS)),
    "plain mean": (lambda: nn.BatchNorm1d(CHANNELS, momentum=None), (BATCH, CHANNELS)),
    "untracked": (
        lambda: nn.BatchNorm1d(CHANNELS, track_running_stats=False),
        (BATCH, CHANNELS),
    ),
    "linear_bn_relu": (lambda: Folded(linear_bn_relu), POINTS_SHAPE),
    "linear_bn_relu_max": (lambda: Folded(linear_bn_relu_max), POINTS_SHAPE),
    "EdgeConv": (lambda: EdgeConv(CHANNELS, 6, 4), POINTS_SHAPE),
    "TwoLayerEdgeConv": (lambda: TwoLayerEdgeConv(CHANNELS, 6, 4, 7), POINTS_SHAPE),
    "PlaceEncoding": (lambda: OnGraph(PlaceEncoding(6)), POINTS_SHAPE),
    "FirstLPFA": (lambda: OnGraph(FirstLPFA(6)), POINTS_SHAPE),
    "LPFA": (lambda: OnGraph(LPFA(CHANNELS), with_features=True), POINTS_SHAPE),
    "ViewProjection": (Branch, POINTS_SHAPE),
}
STUDENTS = {
    f"{name}, dense {dense}": (lambda name=name, dense=dense: Student(name, dense), CLOUDS_SHAPE)
    for name in ("pointnet", "pointnet2", "dgcnn", "curvenet")
    for dense in (False, True)
}
KINDS = {"layers": CASES, "students": STUDENTS}
#: In single precision chance flips a student's neighbours.
DTYPES = {"layers": (torch.float64, torch.float32), "students": (torch.float64,)}


def variants(kind):
    """Every case of a kind, in every precision, by a name."""
    cases, dtypes = KINDS[kind], DTYPES[kind]
    return {f"{name} {d}": (case, d) for name, case in cases.items() for d in dtypes}


def _inputs(shape):
    """The two halves differ in size and, but for clouds in their sphere, in mean."""
    inputs = torch.randn(shape, dtype=torch.float64)
    rising = torch.linspace(0.5, 2, BATCH, dtype=torch.float64).view(-1, *[1] * (len(shape) - 1))
    return 0.2 * inputs * rising if shape == CLOUDS_SHAPE else (inputs + 1) * rising


def outcome(case, dtype, rows, synced=False):
    """Values, gradients and buffers of two steps on some rows of the batch, by name."""
    make, shape = case
    torch.manual_seed(0)
    module = make().to(dtype).train()
    with torch.no_grad():
        for part in module.modules():
            if getattr(part, "running_mean", None) is not None and part.affine:
                part.weight.normal_()  # negative gammas among them
                part.bias.normal_()
    inputs = _inputs(shape)
    if synced:
        synchronise(module)
    for _ in range(2):  # the running statistics have a past in the second
        module.zero_grad()
        leaf = inputs[rows].to(dtype).requires_grad_()
        value = module(leaf)
        torch.manual_seed(1)
        weights = torch.randn(BATCH, *value.shape[1:], dtype=torch.float64)[rows]
        (value * weights.to(dtype)).sum().backward()
    grads = {f"grad {n}": p.grad for n, p in module.named_parameters() if p.grad is not None}
    buffers = {n: b.clone() for n, b in module.named_buffers()}
    return {"value": value.detach(), "inputs": leaf.grad, **grads, **buffers}


def _main(kind, rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    rows = slice(BATCH // 2 * rank, BATCH // 2 * (rank + 1))
    found = {
        f"{name} {synced}": outcome(case, dtype, rows, synced)
        for name, (case, dtype) in variants(kind).items()
        for synced in (True, False)
    }
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
