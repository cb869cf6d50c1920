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
        rows = max_over_points(features.embeddings), batch.teacher["shape"]
        ours, theirs = (_steps(one.float()) for one in rows)
        options: RelationOptions = self.options
        distances = _mean_loss(_distances(ours), _distances(theirs))
        return options.distances * distances + options.angles * _mean_loss(
            _angles(ours), _angles(theirs)
        )


def _mean_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """Smooth L1; 0 where there is nothing: one shape has no pair, and two have no angle."""
    return F.smooth_l1_loss(ours, theirs, reduction="sum") / max(len(ours), 1)


def _steps(rows: Tensor) -> Tensor:
    """Steps [B, B, D] between rows [B, D], from the first to the second."""
    return rows[None] - rows[:, None]


def _distances(steps: Tensor) -> Tensor:
    """Lengths of the steps of all pairs, in units of their mean, [B (B - 1) / 2]."""
    lengths: Tensor = torch.linalg.vector_norm(steps, dim=2)  # MPS has no `pdist`
    distances = lengths.flatten().index_select(0, _pairs(len(steps), steps.device))
    return distances / distances.mean().clamp_min(1e-12)


def _angles(steps: Tensor) -> Tensor:
    """Cosines of the angles at each row between each two others, [B (B - 1) (B - 2)]."""
    steps = F.normalize(steps, dim=2)
    cosines = steps @ steps.transpose(1, 2)
    return cosines.flatten().index_select(0, _triples(len(steps), steps.device))


# Places are made once, on the CPU: to choose by a mask would wait for a GPU in every step.


@lru_cache(maxsize=8)
def _pairs(count: int, device: torch.device) -> Tensor:
    """Places of rows i < j among all [count, count]."""
    return torch.from_numpy(np.flatnonzero(np.triu(np.ones((count, count)), 1))).to(device)


@lru_cache(maxsize=8)
def _triples(count: int, device: torch.device) -> Tensor:
    """Places of different rows i, j, k among all [count, count, count]."""
    equal = np.eye(count, dtype=np.bool_)
    degenerate = equal[:, :, None] | equal[:, None, :] | equal[None]
    return torch.from_numpy(np.flatnonzero(~degenerate)).to(device)
