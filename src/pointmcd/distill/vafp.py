"""VAFP: the student's projected descriptor of each view matches the teacher's descriptor of it."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import register_objective
from pointmcd.distill.view_objective import ViewObjective, ViewOptions
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class ViewDescriptorOptions(ViewOptions):
    """Options of `vafp`.

    Attributes:
        distance: l1 (the paper's), smooth_l1, cosine (1 - cosine similarity), or the cosine of
            descriptors that are centred: without the mean of the teacher's.
    """

    distance: Literal["l1", "smooth_l1", "cosine", "centred_cosine"] = "cosine"


@register_objective("vafp")
class ViewDescriptors(ViewObjective):
    """Match the geometric descriptor of each view to the teacher's descriptor of that view.

    Source: PointMCD, arXiv 2207.03128, Sec. III: the mean absolute difference over B x V x D. The
    other distances are ours.
    """

    Options = ViewDescriptorOptions
    weight = 3.0

    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean distance of geometric and visual descriptors."""
        ours, theirs = self.pairs(features, batch)
        if self.options.distance in ("l1", "smooth_l1"):
            distance = F.l1_loss if self.options.distance == "l1" else F.smooth_l1_loss
            return distance(ours, theirs)
        if self.options.distance == "centred_cosine" and not self.options.standardise:
            ours, theirs = ours - self.mean, theirs - self.mean
        return (1 - F.cosine_similarity(ours, theirs, dim=2)).mean()
