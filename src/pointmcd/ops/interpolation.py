"""Interpolate features at other points (PointNet++, Qi et al., NeurIPS 2017, eq. 2)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.ops.backend import torch_alone, without_gradient
from pointmcd.ops.ball_query import ball_query
from pointmcd.ops.neighbours import gather_rows


def interpolate(features: Tensor, at: Tensor, to: Tensor, k: int = 3) -> Tensor:
    """Average the k nearest sources, weighted by their inverse squared distances.

    A target at the place of a source takes that source's features exactly (the mean where several
    coincide). Differentiable in `features` alone, as the places are not learnt.

    Args:
        features: float [B, M, C], M at least 1.
        at: float [B, M, 3], where they sit.
        to: float [B, N, 3], where they are wanted.
        k: how many sources each target reads; all M where there are fewer.

    Returns:
        float [B, N, C], of the larger of both types.

    Raises:
        ValueError: when there is no source or `k` is not positive.
    """
    index, weights = _sources(at, to, k)
    features = features.to(torch.promote_types(features.dtype, at.dtype))  # weights stay exact
    batch, count, channels = features.shape
    if torch_alone():  # exporters have no weighted bags of open size
        return (gather_rows(features, index) * weights.to(features)[..., None]).sum(dim=2)
    offsets = count * torch.arange(batch, device=features.device)
    bags = (index + offsets[:, None, None]).flatten(0, 1)
    per_sample = weights.to(features).flatten(0, 1)
    carried = F.embedding_bag(
        bags, features.flatten(0, 1), mode="sum", per_sample_weights=per_sample
    )
    return carried.view(batch, to.shape[1], channels)


@without_gradient
def _sources(at: Tensor, to: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k nearest sources of each target and their weights of sum 1, both [B, N, k]."""
    index = ball_query(to, at, torch.inf, k)
    squares = (gather_rows(at, index) - to[:, :, None]).square().sum(dim=3)
    # In units of the nearest: 1 for that one, even where its distance is 0, and less for others.
    least = squares.amin(dim=2, keepdim=True)
    nearness = torch.where(squares == least, 1, least / squares)
    return index, nearness / nearness.sum(dim=2, keepdim=True)
