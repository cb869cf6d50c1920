"""Visibility-aware feature projection (VAFP): one geometric descriptor for each view."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pointmcd.ops.masked_max import masked_max
from pointmcd.ops.neighbours import gather_rows
from pointmcd.students.base import PointFeatures

Channels = npt.NDArray[np.float64]


class ViewProjection(nn.Module):
    """Pool the embeddings of the points that each view sees, and project them to descriptors.

    Source: PointMCD, arXiv 2207.03128, Sec. III: g = VAFP(embeddings), d = ReLU(BN(W g)), with W
    shared by all views.

    Args:
        channels: C, the student's `num_features`.
        descriptor_size: D of the descriptors (512 in the paper).
        signed: leave out the last ReLU, for targets that may be negative (standardised
            descriptors, plain encoder features).
    """

    def __init__(self, channels: int, descriptor_size: int = 512, signed: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, descriptor_size, bias=False)
        self.norm = nn.BatchNorm1d(descriptor_size)
        self.signed = signed

    @torch.no_grad()
    def start_from(self, mean: Channels, std: Channels) -> None:
        """Let the descriptors begin with the mean and standard deviation of their targets.

        The norm's usual start, 1 and 0 in every channel, is far from targets whose channels differ
        in size, and a step moves it by no more than the learning rate: many epochs would go by
        before the descriptors are nearer than the best constant.

        Args:
            mean: float64 [D], over the shapes and views of the train split.
            std: float64 [D], likewise.
        """
        self.norm.weight.copy_(torch.from_numpy(std))
        self.norm.bias.copy_(torch.from_numpy(mean))

    def forward(self, features: PointFeatures, visibility: Tensor) -> Tensor:
        """Geometric descriptors [B, V, D].

        Args:
            features: embeddings [B, M, C]; where `index` is given, they sit at those input points.
            visibility: bool [B, N, V] of the N input points.
        """
        pooled = masked_max(features.embeddings, visible_embeddings(features, visibility))
        projected: Tensor = self.norm(self.linear(pooled).flatten(0, 1)).view(*pooled.shape[:2], -1)
        return projected if self.signed else torch.relu(projected)


def visible_embeddings(features: PointFeatures, visibility: Tensor) -> Tensor:
    """Visibility [B, M, V] of the points that the embeddings sit at."""
    if features.index is None:
        return visibility
    return gather_rows(visibility, features.index)
