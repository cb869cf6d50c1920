"""CurveNet (Xiang et al., ICCV 2021) with every edge made: LPFA, balls, neighbours.

Its walks along curves, which have no other form, and its layers on points are this library's.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.published.grouping import ball, farthest, first_in_ball, rows
from benchmarks.speed.published.layers import convolve, normalise, shared

SLOPE = 0.2


def curvenet(student: Any, points: Tensor) -> tuple[Tensor, Tensor, None]:
    """Encode points [B, N, 3]: embeddings [B, 1024, M], their index [B, M], no penalty."""
    encoder, count = student.encoder, points.shape[1]
    index = farthest(points, count)
    points = points.gather(1, index[:, :, None].expand(-1, -1, 3))
    order = ball(points, points, torch.inf, encoder.k + 1)
    features, share = aggregate(encoder.first, None, points, order[:, :, : encoder.k]), 1
    for block, layer in zip(encoder.plan, encoder.blocks, strict=True):
        if block.share != share:
            share = block.share
            centres, index = points[:, : count // share], index[:, : count // share]
            near = first_in_ball(centres, points, block.radius, encoder.k)
            features = rows(features, near).max(dim=2).values
            points = centres
            order = ball(points, points, torch.inf, encoder.k + 1)
        features = intervene(layer, features, points, order[:, :, : encoder.k], order[:, :, 1:])
    return shared(features.transpose(1, 2), student.embed), index, None


def intervene(block: Any, features: Tensor, points: Tensor, near: Tensor, ways: Tensor) -> Tensor:
    """Apply a CIC block: [B, N, C_in] -> [B, N, C]."""
    inner = F.leaky_relu(block.reduce(features), SLOPE)
    if block.block.curves:
        inner = block.aggregation(inner, block.grouping(inner, ways).features)
    expanded = block.expand(aggregate(block.lpfa, inner, points, near))
    return F.leaky_relu(expanded + block.shortcut(features), SLOPE)


def aggregate(lpfa: Any, features: Tensor | None, points: Tensor, near: Tensor) -> Tensor:
    """Apply LPFA with every edge made: [B, N, C]; without features the first one, a max.

    Args:
        lpfa: an `LPFA` or `FirstLPFA`.
        features: [B, N, C], or None.
        points: [B, N, 3].
        near: int64 [B, N, k].
    """
    others = rows(points, near)
    own = points[:, :, None].expand_as(others)
    places = torch.cat([own, others, others - own], dim=3).permute(0, 3, 1, 2).contiguous()
    encoded = normalise(convolve(places, lpfa.place.linear), lpfa.place.norm)
    if features is None:
        return F.leaky_relu(encoded, SLOPE).max(dim=3).values.transpose(1, 2)
    steps = rows(features, near) - features[:, :, None]
    edges = F.leaky_relu(encoded + steps.permute(0, 3, 1, 2), SLOPE)
    mapped = normalise(convolve(edges, lpfa.layer.linear), lpfa.layer.norm)
    return F.leaky_relu(mapped, SLOPE).mean(dim=3).transpose(1, 2)
