"""Relations: shapes of a batch lie to each other as they do for the teacher."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import Objective, register_objective
from pointmcd.errors import ConfigError
from pointmcd.ops.masked_max import max_over_points
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class RelationOptions:
    """Options of `relations`: weights of distances and of angles, at least 0."""

    distances: float = 1.0
    angles: float = 2.0

    def __post_init__(self) -> None:
        for name in ("distances", "angles"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name} {value}: must be at least 0")


@register_objective("relations")
class Relations(Objective):
    """Smooth L1 of distances and angles between pooled embeddings, against shape descriptors.

    Source: Park et al., "Relational Knowledge Distillation" (CVPR 2019), eq. 5 and 8: distances in
    units of their mean over the batch, cosines of the angles at each shape between two others.
    """

    Options = RelationOptions

    @classmethod
    def outputs(cls, options: RelationOptions) -> tuple[str, ...]:
        """The teacher's descriptor of the whole shape."""
        return ("shape",)

    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Weighted sum of both, each a mean over the pairs or triples of different shapes."""
        ours = max_over_points(features.embeddings).float()
        theirs = batch.teacher["shape"].float()
        options: RelationOptions = self.options
        return options.distances * F.smooth_l1_loss(
            _distances(ours), _distances(theirs)
        ) + options.angles * F.smooth_l1_loss(_angles(ours), _angles(theirs))


def _distances(rows: Tensor) -> Tensor:
    """Distances of all pairs of rows [B, D] in units of their mean, [B (B - 1) / 2]."""
    distances = F.pdist(rows)
    return distances / distances.mean().clamp_min(1e-12)


def _angles(rows: Tensor) -> Tensor:
    """Cosines of the angles at each row between each two others, [B (B - 1) (B - 2)]."""
    count = len(rows)
    steps = F.normalize(
        rows[None] - rows[:, None], dim=2
    )  # [B, B, D], from the first to the second
    cosines = steps @ steps.transpose(1, 2)
    return cosines.flatten().index_select(0, _triples(count, rows.device))


@lru_cache(maxsize=8)
def _triples(count: int, device: torch.device) -> Tensor:
    """Places of different rows i, j, k among all [count, count, count]; made once, on the CPU.

    To choose them by a mask would wait for a GPU in every step.
    """
    equal = np.eye(count, dtype=np.bool_)
    degenerate = equal[:, :, None] | equal[:, None, :] | equal[None]
    return torch.from_numpy(np.flatnonzero(~degenerate)).to(device)
