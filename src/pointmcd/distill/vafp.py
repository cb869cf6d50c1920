"""VAFP: the student's projected descriptor of each view matches the teacher's descriptor of it."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import Objective, Setup, register_objective
from pointmcd.distill.projection import ViewProjection
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class ViewDescriptorOptions:
    """Options of `vafp`.

    Attributes:
        distance: l1 (the paper's), smooth_l1, or cosine (1 - cosine similarity).
        target: the teacher's trained descriptors, or its frozen encoder's own features.
        start: targets: the projection begins with the mean and standard deviation of the target's
            channels; plain: with 0 and 1.
        standardise: zero mean and unit variance for each channel of the target, over the train
            split.
    """

    distance: Literal["l1", "smooth_l1", "cosine"] = "cosine"
    target: Literal["descriptors", "features"] = "descriptors"
    start: Literal["plain", "targets"] = "targets"
    standardise: bool = False


@register_objective("vafp")
class ViewDescriptors(Objective):
    """Match the geometric descriptor of each view to the teacher's descriptor of that view.

    Source: PointMCD, arXiv 2207.03128, Sec. III: the mean absolute difference over B x V x D. The
    other distances are ours.
    """

    Options = ViewDescriptorOptions
    weight = 3.0
    mean: Tensor
    scale: Tensor

    def __init__(self, options: ViewDescriptorOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        statistics = setup.statistics(options.target)
        mean, scale = torch.from_numpy(statistics.mean), torch.from_numpy(statistics.scale)
        if options.standardise:
            self.register_buffer("mean", mean.float(), persistent=False)
            self.register_buffer("scale", scale.float(), persistent=False)
            statistics = statistics.standardised()
        signed = bool((statistics.least < 0).any())  # a ReLU could not reach them
        size = setup.sizes[options.target][-1]
        self.projection = ViewProjection(setup.channels, size, signed)
        if options.start == "targets":
            self.projection.start_from(statistics.mean, statistics.deviation)

    @classmethod
    def outputs(cls, options: ViewDescriptorOptions) -> tuple[str, ...]:
        """The trained descriptors or the encoder's features."""
        return (options.target,)

    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean distance of geometric and visual descriptors."""
        descriptors, targets = self._pairs(features, batch)
        if self.options.distance == "cosine":
            return (1 - F.cosine_similarity(descriptors, targets, dim=2)).mean()
        distance = F.l1_loss if self.options.distance == "l1" else F.smooth_l1_loss
        return distance(descriptors, targets)

    def agreement(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean cosine similarity of geometric and visual descriptors."""
        descriptors, targets = self._pairs(features, batch)
        return F.cosine_similarity(descriptors, targets, dim=2).mean()

    def _pairs(self, features: PointFeatures, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.visibility is not None
        targets = batch.teacher[self.options.target]
        if self.options.standardise:
            targets = (targets - self.mean) / self.scale
        return self.projection(features, batch.visibility).float(), targets
