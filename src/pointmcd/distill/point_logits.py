"""Logits of points: the student's part probabilities match those that the teacher saw."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.data.dataset import NO_LOGIT, Batch
from pointmcd.distill.logits import check_temperature
from pointmcd.distill.objective import Objective, register_objective
from pointmcd.errors import ConfigError
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class PointLogitOptions:
    """Options of `point_logits`.

    Attributes:
        temperature: divisor of the logits before the softmax; above 0.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature(self.temperature)


@register_objective("point_logits")
class PointLogits(Objective):
    """Divergence of the student's part probabilities from the teacher's, point by point.

    This is VAFP the other way round: where that pools the points that a view sees, this carries a
    view's answers for its pixels to the points that the view sees (`teach --task segmentation`
    averages them over these views). Parts of other classes are left out, and so are points that no
    view sees.
    """

    Options = PointLogitOptions

    @classmethod
    def outputs(cls, options: PointLogitOptions) -> tuple[str, ...]:
        """The teacher's logits at the points."""
        return ("point_logits",)

    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean divergence over the points that a view sees, times T squared; 0 where none does."""
        theirs = batch.teacher["point_logits"]
        if logits.shape != theirs.shape:
            raise ConfigError("--objective point_logits: is for --task segmentation")
        temperature = self.options.temperature
        known = theirs > NO_LOGIT
        mine, wanted = (
            F.log_softmax((x.float() / temperature).masked_fill(~known, NO_LOGIT), dim=2)
            for x in (logits, theirs)
        )
        each = (wanted.exp() * (wanted - mine)).masked_fill(~known, 0.0).sum(dim=2)
        seen = known.any(dim=2)
        total = torch.where(seen, each, 0.0).sum()
        loss: Tensor = total / seen.sum().clamp(min=1) * temperature**2
        return loss
