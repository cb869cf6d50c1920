"""The base of objectives that hold projected descriptors of views against a teacher's."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import Objective, Setup
from pointmcd.distill.projection import ViewProjection
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class ViewOptions:
    """Options of every such objective.

    Attributes:
        target: the teacher's trained descriptors, or its frozen encoder's own features.
        start: targets: the projection begins with the mean and standard deviation of the target's
            channels; plain: with 0 and 1.
        standardise: zero mean and unit variance for each channel of the target, over the train
            split.
    """

    target: Literal["descriptors", "features"] = "descriptors"
    start: Literal["plain", "targets"] = "targets"
    standardise: bool = False


class ViewObjective(Objective):
    """Owns the projection (VAFP) and, where they are standardised, the statistics of the target."""

    Options = ViewOptions
    mean: Tensor
    scale: Tensor

    def __init__(self, options: ViewOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        statistics = setup.statistics(options.target)
        mean, scale = torch.from_numpy(statistics.mean), torch.from_numpy(statistics.scale)
        self.register_buffer("mean", mean.float(), persistent=False)
        self.register_buffer("scale", scale.float(), persistent=False)
        if options.standardise:
            statistics = statistics.standardised()
        signed = bool((statistics.least < 0).any())  # a ReLU could not reach them
        size = setup.sizes[options.target][-1]
        self.projection = ViewProjection(setup.channels, size, signed)
        if options.start == "targets":
            self.projection.start_from(statistics.mean, statistics.std)

    @classmethod
    def outputs(cls, options: ViewOptions) -> tuple[str, ...]:
        """The trained descriptors or the encoder's features."""
        return (options.target,)

    def agreement(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean cosine similarity of geometric and visual descriptors."""
        descriptors, targets = self.pairs(features, batch)
        return F.cosine_similarity(descriptors, targets, dim=2).mean()

    def pairs(self, features: PointFeatures, batch: Batch) -> tuple[Tensor, Tensor]:
        """Geometric and visual descriptors of the views, float32 [B, V, D] each."""
        assert batch.visibility is not None
        targets = batch.teacher[self.options.target].float()
        if self.options.standardise:
            targets = (targets - self.mean) / self.scale
        return self.projection(features, batch.visibility).float(), targets
