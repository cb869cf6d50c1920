"""A distilled train step on random numbers: forward, both losses, backward, optimiser."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pointmcd.distill.distillation import ViewDistillation
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier
from pointmcd.training.trainer import Trainee

POINTS, VIEWS, CLASSES = 1024, 12, 40
#: The method's optimiser.
METHOD = partial(torch.optim.SGD, lr=0.01, momentum=0.9)


class Inputs(NamedTuple):
    """Points in the unit sphere, what is visible, the teacher's descriptors, labels."""

    points: Tensor
    seen: Tensor
    targets: Tensor
    labels: Tensor


def random_batch(batch: int, count: int = POINTS) -> Inputs:
    """Return random inputs, always the same; two fifths of the points are seen in a view."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(batch, count, 3, generator=generator)
    points /= points.norm(dim=2).amax(dim=1)[:, None, None]
    seen = torch.rand(batch, count, VIEWS, generator=generator) < 0.4
    targets = torch.rand(batch, VIEWS, 512, generator=generator)
    return Inputs(points, seen, targets, torch.randint(CLASSES, (batch,), generator=generator))


def make_trainee(name: str) -> Trainee:
    """Return a student of the usual classes and descriptors, in training, always the same."""
    torch.manual_seed(0)
    return Trainee(Classifier(create_student(name), CLASSES), ViewDistillation(1024)).train()


def our_step(
    trainee: Trainee, inputs: Inputs, optimizer: Callable[..., Optimizer] = METHOD
) -> Callable[[], Tensor]:
    """Return a call that makes one step of ours."""
    return step(trainee, lambda points, seen: trainee((points,), seen), inputs, optimizer)


def step(
    module: nn.Module,
    forward: Callable[..., tuple[Tensor, ...]],
    inputs: Inputs,
    make_optimizer: Callable[..., Optimizer] = METHOD,
) -> Callable[[], Tensor]:
    """Return a call that makes one step and returns its loss."""
    optimizer = make_optimizer(module.parameters())
    branch: Any = module.distillation

    def call() -> Tensor:
        logits, descriptors, penalty = forward(inputs.points, inputs.seen)
        task = smoothed_cross_entropy(logits, inputs.labels, 0.2)
        loss = task + branch.distance(descriptors, inputs.targets) + 0.001 * penalty
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call
