"""PointNet++ (Qi et al., NeurIPS 2017) with every edge made, [B, C, M, k]."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.published.layers import convolve, normalise, shared


def farthest(points: Tensor, count: int) -> Tensor:
    """Pick farthest points by a loop: [B, N, 3] -> int64 [B, count]."""
    centre = points.mean(dim=1, keepdim=True)
    nearest = torch.full(points.shape[:2], torch.inf, device=points.device)
    last = (points - centre).square().sum(dim=2).argmax(dim=1)
    picks = []
    for _ in range(count):
        picks.append(last)
        chosen = points.gather(1, last[:, None, None].expand(-1, 1, 3))
        nearest = torch.minimum(nearest, (points - chosen).square().sum(dim=2))
        last = nearest.argmax(dim=1)
    return torch.stack(picks, dim=1)


def ball(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    """Return the nearest within a radius by all pairs and a sort: int64 [B, M, min(k, N)].

    Fewer are filled up with the first.
    """
    distances, order = torch.cdist(
        centres, points, compute_mode="donot_use_mm_for_euclid_dist"
    ).sort(dim=2)
    k = min(k, points.shape[1])
    index = order[:, :, :k]
    return torch.where(distances[:, :, :k] <= radius, index, index[:, :, :1])


def first_in_ball(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    """Return the first within a radius by all pairs and a sort: int64 [B, M, min(k, N)].

    Fewer are filled up with the first.
    """
    distances = torch.cdist(centres, points, compute_mode="donot_use_mm_for_euclid_dist")
    count = points.shape[1]
    inside = torch.where(distances <= radius, torch.arange(count, device=points.device), count)
    index = inside.sort(dim=2).values[:, :, :k]
    return torch.where(index < count, index, index[:, :, :1])


def rows(values: Tensor, index: Tensor) -> Tensor:
    """Take rows: [B, N, C] at int64 [B, M, k] -> [B, M, k, C]."""
    return values[torch.arange(len(values), device=values.device)[:, None, None], index]


def group(grouping: Any, centres: Tensor, points: Tensor, features: Tensor) -> Tensor:
    """Group [x_j - c_i, f_j], apply an MLP to every edge, take the max: -> [B, M, C]."""
    index = first_in_ball(centres, points, grouping.scale.radius, grouping.scale.k)
    edges = torch.cat([rows(points, index) - centres[:, :, None], rows(features, index)], dim=3)
    edges = edges.permute(0, 3, 1, 2).contiguous()
    for layer in (grouping.first, *grouping.inner):
        edges = shared(edges, layer)
    edges = F.relu(normalise(convolve(edges, grouping.last), grouping.last_norm))
    return edges.max(dim=3).values.transpose(1, 2)


def pointnet2(student: Any, points: Tensor) -> tuple[Tensor, Tensor, None]:
    """Encode points [B, N, 3]: embeddings [B, 1024, M], their index [B, M], no penalty."""
    features, count = points[:, :, :0], points.shape[1]
    order = farthest(points, count)
    points = points.gather(1, order[:, :, None].expand(-1, -1, 3))
    levels = ((student.first, min(512, count // 2)), (student.second, min(128, count // 8)))
    for abstraction, keep in levels:
        centres = points[:, :keep]
        pooled = [group(grouping, centres, points, features) for grouping in abstraction.groupings]
        points, features = centres, torch.cat(pooled, dim=2)
    features = torch.cat([points, features], dim=2).transpose(1, 2)
    for layer in student.last:
        features = shared(features, layer)
    return features, order[:, :keep], None
