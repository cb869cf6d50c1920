"""A distilled train step on random numbers: forward, both losses, backward, optimiser."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from pointmcd.distill.projection import ViewProjection
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier

POINTS, VIEWS, CLASSES = 1024, 12, 40
#: The method's optimiser.
METHOD = partial(torch.optim.SGD, lr=0.01, momentum=0.9)


class DistilledClassifier(nn.Module):
    """A classifier with the projection that training puts beside it."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        self.projection = ViewProjection(int(model.student.num_features))

    def forward(self, points: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, descriptors [B, V, D] and the student's penalty."""
        logits, features = self.model.with_features(points)
        penalty = features.penalty
        descriptors = self.projection(features, seen)
        return logits, descriptors, logits.new_zeros(()) if penalty is None else penalty


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


def make_module(name: str) -> DistilledClassifier:
    """Return a student of the usual classes and descriptors, in training, always the same."""
    torch.manual_seed(0)
    return DistilledClassifier(Classifier(create_student(name), CLASSES, published=False)).train()


def step(
    module: nn.Module,
    inputs: Inputs,
    forward: Callable[..., tuple[Tensor, ...]] | None = None,
    make_optimizer: Callable[..., Optimizer] = METHOD,
) -> Callable[[], Tensor]:
    """Return a call that makes one step and returns its loss.

    Args:
        module: whose parameters are trained.
        inputs: the batch of every step.
        forward: another way than the module's own to its outputs.
        make_optimizer: from parameters to their optimiser.
    """
    optimizer, forward = make_optimizer(module.parameters()), forward or module

    def call() -> Tensor:
        logits, descriptors, penalty = forward(inputs.points, inputs.seen)
        task = smoothed_cross_entropy(logits, inputs.labels, 0.2)
        loss = task + F.l1_loss(descriptors, inputs.targets) + 0.001 * penalty
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call
