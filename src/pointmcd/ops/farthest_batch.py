"""Farthest point sampling of a batch of clouds, on any device (Eldar et al., IEEE TIP 1997).

Apart from pointmcd.ops.farthest_points, which prepares shapes without importing torch.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from pointmcd.ops.backend import (
    double_of,
    numba_fits,
    parallel_kernel,
    smaller,
    triton_fits,
    without_gradient,
)
from pointmcd.typing import Array


@without_gradient
def sample_farthest(points: Tensor, count: int | None = None) -> Tensor:
    """Sample farthest points of each cloud, beginning with the one farthest from the centroid.

    That start belongs to the shape, not to the order in the file: permuted clouds give the same
    points (of equally far ones the first is taken).

    Args:
        points: float [B, N, 3], N at least 1.
        count: how many; None, or where the cloud is smaller: all N.

    Returns:
        int64 [B, min(count, N)], distinct in each cloud, even where its points coincide.

    Raises:
        ValueError: when the clouds are empty or `count` is not positive.
    """
    every = points.shape[1]
    if every < 1 or (count is not None and count < 1):
        raise ValueError(f"count is {count} of {every} points; both must be 1 or more")
    count = every if count is None else smaller(count, every)
    if torch.compiler.is_compiling():  # which would unroll the loop
        traced: Tensor = _sample_traced(points, count)
        return traced
    centroid = points.to(double_of(points)).mean(dim=1, keepdim=True).to(points)
    order = points.new_zeros(len(points), count, dtype=torch.int64)
    order[:, 0] = _squared_distance(points, centroid).argmax(dim=1)
    if triton_fits(points) and points.dtype == torch.float32:
        from pointmcd.ops.gpu import farthest as gpu

        gpu.sample(points, order)
    elif numba_fits(points):
        _sample_kernel(points.transpose(1, 2), order)
    else:
        _sample_torch(points, order)
    return order


def _sample_torch(points: Tensor, order: Tensor) -> None:
    """Fill `order` [B, count] from its second column on; chosen points count as distance -1."""
    nearest = torch.full_like(points[:, :, 0], torch.inf)
    for i in range(1, order.shape[1]):
        chosen = order[:, i - 1, None]
        last = points.gather(1, chosen[:, :, None].expand(-1, -1, 3))
        square = _squared_distance(points, last)
        nearest = torch.where(square < nearest, square, nearest)  # NaN is passed over
        nearest.scatter_(1, chosen, -1)
        order[:, i] = nearest.argmax(dim=1)


@torch.library.custom_op("pointmcd::sample_farthest", mutates_args=())
def _sample_traced(points: Tensor, count: int) -> Tensor:
    """The same as one operation of a traced program; `farthest_onnx` has it in ONNX."""
    return sample_farthest(points, count)


@_sample_traced.register_fake
def _(points: Tensor, count: int) -> Tensor:
    return points.new_empty(points.shape[0], count, dtype=torch.int64)


def _squared_distance(points: Tensor, other: Tensor) -> Tensor:
    """[B, N, 3] and [B, 1, 3] -> [B, N], summed in the order of the kernels."""
    x, y, z = (points - other).square().unbind(dim=2)
    return x + y + z


@parallel_kernel
def _sample_kernel(points: Array, order: Array) -> None:
    """`points` [B, 3, N]; the first column of `order` [B, count] is given."""
    batch, _, count = points.shape
    for b in numba.prange(batch):
        xs, ys, zs = points[b, 0], points[b, 1], points[b, 2]
        nearest = np.full(count, np.float32(np.inf))
        for i in range(1, order.shape[1]):
            last = order[b, i - 1]
            for j in range(count):  # no branch: runs on vector registers
                x, y, z = xs[j] - xs[last], ys[j] - ys[last], zs[j] - zs[last]
                square = x * x + y * y + z * z
                nearest[j] = square if square < nearest[j] else nearest[j]
            nearest[last] = -1
            order[b, i] = np.argmax(nearest)
