"""Similarities: student and teacher find the same rows of a queue alike."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.logits import check_temperature
from pointmcd.distill.objective import Setup, register_objective
from pointmcd.distill.view_objective import ViewObjective, ViewOptions
from pointmcd.errors import ConfigError
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class SimilarityOptions(ViewOptions):
    """Options of `similarities`.

    Attributes:
        standardise: as in `vafp`, but by default.
        rows: how many of the teacher's rows the queue holds; at least 2.
        temperature: divisor of the cosine similarities; above 0.
    """

    standardise: bool = True
    rows: int = 512
    temperature: float = 0.1

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        if self.rows < 2:
            raise ConfigError(f"rows {self.rows}: must be at least 2")


@register_objective("similarities")
class Similarities(ViewObjective):
    """KL divergence of softmax similarities to a queue of the teacher's latest descriptors.

    Source: Fang et al., "SEED: Self-supervised Distillation" (ICLR 2021), eq. 4 to 6, without the
    teacher's own row in the queue. Until the first batches have filled it, the queue is random.
    """

    Options = SimilarityOptions
    queue: Tensor

    def __init__(self, options: SimilarityOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        rows = torch.randn(options.rows, setup.sizes[options.target][-1])
        self.register_buffer("queue", F.normalize(rows, dim=1))

    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean divergence over shapes and views; in training the teacher's rows join the queue."""
        ours, theirs = (F.normalize(x, dim=2).flatten(0, 1) for x in self.pairs(features, batch))
        queue = self.queue.clone()  # the buffer is written to before the backward pass reads it
        mine, wanted = (
            F.log_softmax(x @ queue.T / self.options.temperature, dim=1) for x in (ours, theirs)
        )
        loss = F.kl_div(mine, wanted, reduction="batchmean", log_target=True)
        if self.training:
            self.queue.copy_(torch.cat([theirs.detach(), queue])[: len(queue)])
        return loss
