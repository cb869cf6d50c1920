"""Distilled train steps of whole students: forward, both losses, backward, optimiser."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.shared.race import Race
from benchmarks.speed.published.students import FORWARD, distilled
from pointmcd.distill.distillation import ViewDistillation
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier
from pointmcd.training.trainer import Trainee

POINTS, VIEWS, CLASSES = 1024, 12, 40
#: The method's optimiser.
METHOD = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
#: Batch, repeats and floor of each student.
STUDENTS = {
    "pointnet": (32, 3, 6.0),
    "dgcnn": (8, 3, 10.0),
    "pointnet2": (8, 3, None),
    "curvenet": (8, 3, None),
}


def races() -> Iterator[Race]:
    """One race a student."""
    for name, (batch, repeats, floor) in STUDENTS.items():
        yield of_student(name, batch, repeats, floor)


def of_student(name: str, batch: int, repeats: int, floor: float | None) -> Race:
    """A step of ours beside one of the same weights in the published formulation."""
    trainee = make_trainee(name)
    twin = copy.deepcopy(trainee)
    inputs = random_batch(batch)
    return Race(
        f"{name}, distilled step, B {batch}, N {POINTS}, V {VIEWS}",
        step(twin, partial(distilled, FORWARD[name], twin), *inputs),
        {"ours": our_step(trainee, *inputs)},
        {} if floor is None else {"ours": floor},
        repeats=repeats,
        memory=True,
    )


def make_trainee(name: str) -> Trainee:
    """A student of the usual classes and descriptors, in training, always the same."""
    torch.manual_seed(0)
    return Trainee(Classifier(create_student(name), CLASSES), ViewDistillation(1024)).train()


def our_step(
    trainee: Trainee, *inputs: Tensor, optimizer: Callable[..., Optimizer] = METHOD
) -> Callable[[], Tensor]:
    """One step of ours on the tensors of `random_batch`."""
    return step(trainee, lambda points, seen: trainee((points,), seen), *inputs, optimizer)


def random_batch(batch: int, count: int = POINTS) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points in the unit sphere, visibility, the teacher's descriptors, labels."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(batch, count, 3, generator=generator)
    points /= points.norm(dim=2).amax(dim=1)[:, None, None]
    seen = torch.rand(batch, count, VIEWS, generator=generator) < 0.4
    targets = torch.rand(batch, VIEWS, 512, generator=generator)
    return points, seen, targets, torch.randint(CLASSES, (batch,), generator=generator)


def step(
    module: nn.Module,
    forward: Callable[..., tuple[Tensor, ...]],
    points: Tensor,
    seen: Tensor,
    targets: Tensor,
    labels: Tensor,
    make_optimizer: Callable[..., Optimizer] = METHOD,
) -> Callable[[], Tensor]:
    """One step on a batch; its loss."""
    optimizer = make_optimizer(module.parameters())
    branch: Any = module.distillation

    def call() -> Tensor:
        logits, descriptors, penalty = forward(points, seen)
        task = smoothed_cross_entropy(logits, labels, 0.2)
        loss = task + branch.distance(descriptors, targets) + 0.001 * penalty
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call
