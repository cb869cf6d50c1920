"""Mean and covariance of the edges of a graph, without a tensor of all edges.

Edge (i, j) is [other_j, own_i]. Every sum over edges is one over points, where a point counts as
often as it is a neighbour, or meets the sum of its neighbours. So batch norm behind a linear layer
on edges costs what one on points does.
"""

from typing import Any

import numba
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import numba_fits, parallel_kernel
from pointmcd.ops.batch_norm import running_statistics
from pointmcd.ops.linear_norm import moment_statistics
from pointmcd.ops.scatter import edges_by_target
from pointmcd.typing import Array


def edge_moments(own: Tensor, other: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean and covariance of [other_j, own_i] over all edges.

    Args:
        own: float [B, M, D], of the points that have neighbours.
        other: float [B, N, C], of those that may be neighbours.
        index: int64 [B, M, k], neighbours of each point.

    Returns:
        (mean [C + D], covariance [C + D, C + D], biased).
    """
    moments: tuple[Tensor, Tensor] = _EdgeMoments.apply(own, other, index)  # type: ignore[no-untyped-call]
    return moments


def normed_edges(
    own: Tensor,
    other: Tensor,
    index: Tensor,
    weight: Tensor,
    norm: nn.BatchNorm1d,
    short: bool = False,
) -> tuple[Tensor, Tensor]:
    """Apply batch norm to W [other_j, own_i] over all edges; return it as a sum a_i + b_j.

    Args:
        own: float [B, M, D].
        other: float [B, N, C].
        index: int64 [B, M, k], neighbours of each point.
        weight: W, float [E, C + D].
        norm: over E and all edges; in training its running statistics are updated.
        short: W takes the difference of ends that lie close together, so that little is left of
            their own moments: these are taken in float64. Where a device has none, make the edges
            (`pointmcd.ops.edge_sum.edge_bn_relu`).

    Returns:
        (a [B, M, E], b [B, N, E]).
    """
    if norm.training:
        kind = torch.float64 if short else own.dtype
        moments = edge_moments(own.to(kind), other.to(kind), index)
        mean, var = moment_statistics(*moments, index.numel(), weight.to(kind), norm)
        mean, var = mean.to(own), var.to(own)
    else:
        mean, var = running_statistics(norm)
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    to_other, to_own = (weight * scale[:, None]).split([other.shape[2], own.shape[2]], dim=1)
    return F.linear(own, to_own, norm.bias - mean * scale), F.linear(other, to_other)


class _EdgeMoments(torch.autograd.Function):
    """Saves its inputs, the sums of neighbours [B, M, C] and their counts [B, N, 1]."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, other: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        k, edges = index.shape[2], index.numel()
        degree = _degree(other, index)
        # Sums of what is centred lose no digits to a cloud far from the origin.
        middle = other.mean(dim=(0, 1)), own.mean(dim=(0, 1))
        other, own = other - middle[0], own - middle[1]
        total = neighbour_sum(other, index)
        shift = (degree * other).sum(dim=(0, 1)) / edges
        u, v, w = (t.flatten(0, 1) for t in (other - shift, total - k * shift, own))
        beside = v.T @ w / edges
        upper = torch.cat([u.T @ (degree.flatten(0, 1) * u) / edges, beside], dim=1)
        lower = torch.cat([beside.T, w.T @ w / len(w)], dim=1)
        ctx.save_for_backward(own, other, index, total, degree, shift)
        return torch.cat([middle[0] + shift, middle[1]]), torch.cat([upper, lower])

    @staticmethod
    def backward(
        ctx: Any, grad_mean: Tensor, grad_covariance: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        own, other, index, total, degree, shift = ctx.saved_tensors
        k, edges, channels = index.shape[2], index.numel(), other.shape[2]
        # An edge e receives mix (e - mean) + constant.
        mix = (grad_covariance + grad_covariance.T) / edges
        mean = torch.cat([shift, torch.zeros_like(own[0, 0])])
        to_other, to_own = (grad_mean / edges - mix @ mean).split([channels, own.shape[2]])
        (uu, uv), (vu, vv) = (
            rows.split([channels, own.shape[2]], 1) for rows in mix.split([channels, own.shape[2]])
        )
        grad_own = total @ vu.T + k * (own @ vv.T + to_own)
        reverse = neighbour_spread(own, index, other.shape[1])
        grad_other = degree * (other @ uu.T + to_other) + reverse @ uv.T
        return grad_own, grad_other, None


def _degree(other: Tensor, index: Tensor) -> Tensor:
    """Count the points that each is a neighbour of, [B, N, 1]."""
    batch, count, _ = other.shape
    near = index.flatten(1)  # bincount would wait for a GPU
    times = other.new_zeros(batch, count).scatter_add_(1, near, other.new_ones(()).expand_as(near))
    return times[:, :, None]


def neighbour_sum(values: Tensor, index: Tensor) -> Tensor:
    """Sum the neighbours' values, [B, N, C] at int64 [B, M, k] -> [B, M, C]; no gradient."""
    batch, count, channels = values.shape
    below = count * torch.arange(batch, device=index.device)[:, None, None]
    bags = (index + below).flatten(0, 1)
    first = torch.arange(0, bags.numel(), bags.shape[1], device=bags.device)
    total, *_ = torch.embedding_bag(values.flatten(0, 1), bags.flatten(), first, mode=0)
    return total.view(batch, index.shape[1], channels)


def neighbour_spread(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Add each point's values [B, M, C] to its neighbours, [B, N, C]: the transpose."""
    batch, _, channels = values.shape
    if numba_fits(values):
        out = values.new_zeros(batch, count, channels)
        _spread_kernel(values, index, out)
        return out
    if values.device.type == "cpu":
        out = values.new_zeros(batch, count, channels)
        for neighbour in index.unbind(dim=2):
            out.scatter_add_(1, neighbour[:, :, None].expand(-1, -1, channels), values)
        return out
    return _spread_sorted(values, index, count)


def _spread_sorted(values: Tensor, index: Tensor, count: int) -> Tensor:
    """The same in a fixed order and few launches, for a GPU."""
    batch, _, channels = values.shape
    sources, starts = edges_by_target(index, count)
    total, *_ = torch.embedding_bag(values.flatten(0, 1), sources, starts[:-1], mode=0)
    return total.view(batch, count, channels)


@parallel_kernel
def _spread_kernel(values: Array, index: Array, out: Array) -> None:
    for b in numba.prange(len(index)):  # clouds share no point: no two threads add to one place
        for n in range(index.shape[1]):
            row = values[b, n]
            for j in range(index.shape[2]):
                to = out[b, index[b, n, j]]
                for c in range(len(row)):
                    to[c] += row[c]
