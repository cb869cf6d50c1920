"""One feature vector per shape: a student's pooled embeddings, or a teacher's descriptors."""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pointmcd.data.dataset import ShapeDataset, evaluation_loader
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.ops.masked_max import max_over_points
from pointmcd.training.trainer import evaluating

#: How points (or views) are pooled: their maximum, their mean, or both side by side.
Pooling = Literal["max", "mean", "both"]
Floats = npt.NDArray[np.float32]


def pool(rows: Tensor, pooling: str) -> Tensor:
    """Pool [B, M, C] over M -> [B, C], or [B, 2 C] for "both".

    Raises:
        ConfigError: when there is no such pooling.
    """
    if pooling not in get_args(Pooling):
        raise ConfigError(f"--pooling {pooling}: use one of {', '.join(get_args(Pooling))}")
    if pooling == "max":
        return max_over_points(rows)
    mean = rows.mean(dim=1)
    return mean if pooling == "mean" else torch.cat([max_over_points(rows), mean], dim=1)


def embed_shapes(
    student: Any,
    store: Store,
    indices: npt.NDArray[np.int64],
    points: int,
    pooling: str,
    device: torch.device,
) -> Floats:
    """Pooled embeddings float32 [n, C or 2 C] of a frozen student; no label is read.

    Args:
        student: any student, on `device`.
        store: where the shapes are.
        indices: which shapes.
        points: N, how many points of each.
        pooling: "max", "mean" or "both".
        device: where to compute.
    """
    dataset = ShapeDataset(store, indices, points, labelled=False)
    found = []
    with evaluating(student):
        for batch in evaluation_loader(dataset):
            embeddings = student(batch.points.to(device)).embeddings
            found.append(pool(embeddings.float(), pooling).cpu().numpy())
    return np.concatenate(found)


def pool_descriptors(descriptors: Floats, pooling: str) -> Floats:
    """A teacher's descriptors [n, V, D], pooled over views -> [n, D or 2 D]."""
    pooled: Floats = pool(torch.from_numpy(descriptors), pooling).numpy()
    return pooled


def calibrate(student: nn.Module, store: Store, points: int, device: torch.device) -> None:
    """Let the batch norms of a student that never learnt know its inputs: one pass over train.

    Without it a network of random weights is not even normalised, and the reference too weak.
    """
    norms = [m for m in student.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    student.train()
    # Stores are sorted by class: in their order a batch would vary less than the whole.
    order = np.random.default_rng(0).permutation(store.indices("train"))
    dataset = ShapeDataset(store, order, points, labelled=False)
    with torch.no_grad():
        for batch in evaluation_loader(dataset):
            if len(batch.points) > 1:
                student(batch.points.to(device))
    student.eval()
