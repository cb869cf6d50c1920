"""Walks over the points of a cloud: the curve grouping of CurveNet.

Xiang, Zhang, Song, Yu, Cai, "Walk in the Cloud", ICCV 2021, arXiv 2105.01288, Sec. 3.1 and 3.2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.ops.backend import without_gradient
from pointmcd.ops.neighbours import gather_rows


@dataclass(frozen=True)
class Curves:
    """Sequences of connected points.

    Attributes:
        features: float [B, n, l, C], of the points along each curve; its start is none of them.
        path: int64 [B, n, l], which points they are.
    """

    features: Tensor
    path: Tensor


def walk(
    features: Tensor,
    neighbours: Tensor,
    start: Tensor,
    length: int,
    score: Callable[[Tensor, Tensor], Tensor],
    momentum: Callable[[Tensor, Tensor], Tensor],
    training: bool,
) -> Curves:
    """Walk from point to neighbouring point, always to the one that scores best.

    At s_i, l steps away from the start s_0 at the end, the curve so far is described by
    r_i = b s_i + (1 - b) r_(i-1), where b is the first of two momentum weights, and r_0 = s_0. A
    neighbour's score, given its features and r_i, is scaled by `crossover_factor`. In training the
    straight-through softmax of the scores, without Gumbel noise, carries gradients to them.

    Args:
        features: float [B, N, C].
        neighbours: int64 [B, N, k], where a walk may go from each point.
        start: int64 [B, n].
        length: l, steps of a walk and points on a curve, the start not included.
        score: candidates [B, n, k, C] and descriptors r [B, n, C] -> [B, n, k].
        momentum: points s and descriptors r, both [B, n, C] -> weights [B, n, 2] of sum 1.
        training: whether the scores learn; the same points are chosen either way.
    """
    here, taken, path = start, [], []
    current = descriptor = gather_rows(features, start)
    for step in range(length):
        if step > 0:
            weights = momentum(current, descriptor)
            descriptor = weights[:, :, :1] * current + weights[:, :, 1:] * descriptor
        next_points = gather_rows(neighbours, here)
        candidates = gather_rows(features, next_points)
        scores = score(candidates, descriptor)
        scores = scores * crossover_factor(current, descriptor, candidates)
        current, choice = _choose(scores, candidates, training)
        here = next_points.gather(2, choice).squeeze(2)
        taken.append(current)
        path.append(here)
    return Curves(torch.stack(taken, dim=2), torch.stack(path, dim=2))


@without_gradient
def crossover_factor(current: Tensor, descriptor: Tensor, candidates: Tensor) -> Tensor:
    """Factor that suppresses candidates which would turn a curve back on itself.

    1 + cos of the angle between the curve's direction s - r and the step to the candidate, in
    feature space, no more than 1: up to a right angle nothing is suppressed, and a step straight
    back counts 0. Where either has no length (the first step, coinciding points) it is 1.
    A constant in the backward pass: the derivative of an angle is unbounded at short steps.

    Args:
        current: s, float [B, n, C].
        descriptor: r, float [B, n, C].
        candidates: float [B, n, k, C].

    Returns:
        float [B, n, k] in 0 to 1.
    """
    ahead = current - descriptor
    steps = candidates - current[:, :, None]
    cosine = F.normalize(steps, dim=3) @ F.normalize(ahead, dim=2)[:, :, :, None]
    return (1 + cosine.squeeze(3)).clamp_(0, 1)


def _choose(scores: Tensor, candidates: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Choose the next point: its features [B, n, C] and its number, int64 [B, n, 1]."""
    choice = scores.argmax(dim=2, keepdim=True)
    if training:
        soft = scores.softmax(dim=2)
        weights = torch.zeros_like(soft).scatter_(2, choice, 1) + soft - soft.detach()
        return (weights[:, :, None] @ candidates).squeeze(2), choice
    index = choice[:, :, :, None].expand(-1, -1, -1, candidates.shape[3])
    return candidates.gather(2, index).squeeze(2), choice
