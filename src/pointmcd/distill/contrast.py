"""Contrast: each geometric descriptor finds the teacher's descriptor of its own view."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.logits import check_temperature
from pointmcd.distill.objective import register_objective
from pointmcd.distill.view_objective import ViewObjective, ViewOptions
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class ContrastOptions(ViewOptions):
    """Options of `contrast`.

    Attributes:
        standardise: as in `vafp`, but by default: descriptors that share a large mean are alike.
        temperature: divisor of the cosine similarities; above 0.
    """

    standardise: bool = True
    temperature: float = 0.1

    def __post_init__(self) -> None:
        check_temperature(self.temperature)


@register_objective("contrast")
class Contrast(ViewObjective):
    """InfoNCE over the shapes and views of a batch.

    Source: van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding"
    (2018), eq. 4, between student and teacher as in Tian et al., "Contrastive Representation
    Distillation" (ICLR 2020). Other views of the same shape are not negatives: they show the same
    thing.
    """

    Options = ContrastOptions
    weight = 0.5

    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean cross entropy of the true view among it and all views of the other shapes."""
        ours, theirs = (F.normalize(x, dim=2) for x in self.pairs(features, batch))
        shapes, views = ours.shape[:2]
        similar = torch.einsum("avd,bwd->avbw", ours, theirs) / self.options.temperature
        same = torch.eye(shapes, dtype=torch.bool, device=similar.device)[:, None, :, None]
        others = ~torch.eye(views, dtype=torch.bool, device=similar.device)[None, :, None]
        similar = similar.masked_fill(same & others, float("-inf")).flatten(2).flatten(0, 1)
        return F.cross_entropy(similar, torch.arange(shapes * views, device=similar.device))
