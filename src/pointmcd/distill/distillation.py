"""The distillation branch: VAFP, the shared projection, the loss to the teacher's descriptors."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.errors import ConfigError
from pointmcd.ops.masked_max import masked_max
from pointmcd.students.base import PointFeatures

LossName = Literal["l1", "smooth_l1", "cosine"]
Floats = npt.NDArray[np.float64]


class ViewDistillation(nn.Module):
    """Pulls one geometric descriptor per view to the teacher's descriptor of the same view.

    Source: PointMCD, arXiv 2207.03128, Sec. III: g = VAFP(embeddings), d = ReLU(BN(W g)), with W
    shared by all views, and the mean absolute difference to the teacher's descriptor.

    Args:
        channels: C, the student's `num_features`.
        descriptor_size: D of the teacher's descriptors (512 in the paper).
        loss: "l1" (the paper's), "smooth_l1" or "cosine" (1 - cosine similarity).
        signed: leave out the last ReLU, for targets that may be negative (standardised
            descriptors, plain encoder features).
    """

    def __init__(
        self,
        channels: int,
        descriptor_size: int = 512,
        loss: LossName = "l1",
        signed: bool = False,
    ) -> None:
        super().__init__()
        if loss not in get_args(LossName):
            raise ConfigError(f"distill_loss {loss}: use one of {', '.join(get_args(LossName))}")
        self.linear = nn.Linear(channels, descriptor_size, bias=False)
        self.norm = nn.BatchNorm1d(descriptor_size)
        self.loss = loss
        self.signed = signed

    @torch.no_grad()
    def start_from(self, mean: Floats, deviation: Floats) -> None:
        """Let the descriptors begin with the mean and deviation of each of the targets' channels.

        The norm's usual start, 1 and 0 in every channel, is far from targets whose channels differ
        in size, and a step moves it by no more than the learning rate: many epochs would go by
        before the descriptors are nearer than the best constant.

        Args:
            mean: float64 [D], over the shapes and views of the train part.
            deviation: float64 [D], likewise.
        """
        self.norm.weight.copy_(torch.from_numpy(deviation))
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

    def distance(self, descriptors: Tensor, targets: Tensor) -> Tensor:
        """The loss between [B, V, D] descriptors and the teacher's, a scalar mean."""
        if self.loss == "cosine":
            return (1 - F.cosine_similarity(descriptors, targets, dim=2)).mean()
        distance = F.l1_loss if self.loss == "l1" else F.smooth_l1_loss
        return distance(descriptors, targets)


def visible_embeddings(features: PointFeatures, visibility: Tensor) -> Tensor:
    """Visibility [B, M, V] of the points that the embeddings sit at."""
    if features.index is None:
        return visibility
    index = features.index[:, :, None].expand(-1, -1, visibility.shape[2])
    return visibility.gather(1, index)
