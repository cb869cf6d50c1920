"""Neighbours within a radius: the grouping of PointNet++ (Qi et al., NeurIPS 2017, Sec. 3.2).

`ball_group` takes the first points in the ball, as published; `ball_query` the nearest ones.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from pointmcd.ops.backend import numba_fits, parallel_kernel, smaller, triton_fits, without_gradient
from pointmcd.typing import Array, kernel


@without_gradient
def ball_query(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    """Find the k nearest points within a radius of each centre.

    A ball of fewer than k points repeats the nearest one, and so does an empty ball, with the
    nearest point of all. A centre that is one of the points always finds itself (or a point at the
    same place).

    Args:
        centres: float [B, M, 3].
        points: float [B, N, 3], N at least 1.
        radius: in units of the points; infinity for the k nearest alone.
        k: how many; N where the cloud is smaller.

    Returns:
        int64 [B, M, min(k, N)], the nearest first.

    Raises:
        ValueError: when the clouds are empty or `k` is not positive.
    """
    k = _checked(k, points)
    if _triton_fits(centres, points):
        from pointmcd.ops.gpu import ball_query as gpu

        return gpu.query(centres, points, _limit(radius), k, first=False)
    if numba_fits(centres, points):
        return _query_numba(centres, points, radius, k, first=False)
    return _query_torch(centres, points, radius, k)


@without_gradient
def ball_group(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    """Find the first k points within a radius of each centre, by their place in the cloud.

    Of points in farthest-point order they are spread over the ball, where the k nearest would
    shrink it. A ball of fewer than k points repeats its first one; an empty ball holds the nearest
    point of all.

    Args, raises: as for `ball_query`.

    Returns:
        int64 [B, M, min(k, N)], in the order of the points.
    """
    k = _checked(k, points)
    if _triton_fits(centres, points):
        from pointmcd.ops.gpu import ball_query as gpu

        return gpu.query(centres, points, _limit(radius), k, first=True)
    if numba_fits(centres, points):
        return _query_numba(centres, points, radius, k, first=True)
    return _group_torch(centres, points, radius, k)


def _triton_fits(centres: Tensor, points: Tensor) -> bool:
    return triton_fits(centres, points) and centres.dtype == points.dtype == torch.float32


def _checked(k: int, points: Tensor) -> int:
    if k < 1 or points.shape[1] < 1:
        raise ValueError(f"k is {k} of {points.shape[1]} points; both must be 1 or more")
    return smaller(k, points.shape[1])


def _query_torch(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    nearest, index = _squares(centres, points).topk(k, dim=2, largest=False)
    return torch.where(nearest <= _limit(radius), index, index[:, :, :1])


def _group_torch(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    squares = _squares(centres, points)
    place, count = torch.arange(points.shape[1], device=points.device), points.shape[1]
    inside = torch.where(squares <= _limit(radius), place, count)
    first = inside.topk(k, dim=2, largest=False).values
    nearest = squares.argmin(dim=2, keepdim=True)
    padding = torch.where(first[:, :, :1] < count, first[:, :, :1], nearest)
    return torch.where(first < count, first, padding)


def _squares(centres: Tensor, points: Tensor) -> Tensor:
    """Return squared distances [B, M, N], by differences, as the kernels have them.

    Those by matrix product are not exactly 0 for a point itself.
    """
    pairs = zip(centres.unbind(dim=2), points.unbind(dim=2), strict=True)
    x, y, z = ((c[:, :, None] - p[:, None]).square() for c, p in pairs)
    return x + y + z


def _limit(radius: float) -> float:
    """Return the squared radius, rounded as the kernels of float32 have it."""
    return float(np.float32(radius) ** 2)


def _query_numba(
    centres: Tensor, points: Tensor, radius: float, k: int, first: bool = False
) -> Tensor:
    index = torch.empty(*centres.shape[:2], k, dtype=torch.int64)
    _query_kernel(centres, points.transpose(1, 2), np.float32(radius) ** 2, first, index)
    return index


@parallel_kernel
def _query_kernel(centres: Array, points: Array, limit: float, first: bool, index: Array) -> None:
    """`points` [B, 3, N]; `limit` is the squared radius; `first`: by place, not by distance."""
    batch, count = index.shape[:2]
    for task in numba.prange(batch * count):
        b, m = task // count, task % count
        xs, ys, zs = points[b]
        cx, cy, cz = centres[b, m]
        squares = np.empty(len(xs), dtype=points.dtype)
        for j in range(len(xs)):  # no branch: runs on vector registers
            x, y, z = xs[j] - cx, ys[j] - cy, zs[j] - cz
            squares[j] = x * x + y * y + z * z
        row = index[b, m]
        found = _first(squares, limit, row) if first else _sorted_nearest(squares, limit, row)
        if found == 0:
            index[b, m, 0] = np.argmin(squares)
        index[b, m, max(found, 1) :] = index[b, m, 0]


@kernel
def _sorted_nearest(squares: Array, limit: float, row: Array) -> int:
    """Write the nearest within the limit into `row` [k], nearest first; return their number."""
    k, found = len(row), 0
    for j in range(len(squares)):
        square = squares[j]
        if not square <= limit or (found == k and not square < squares[row[k - 1]]):
            continue
        place = min(found, k - 1)
        while place > 0 and squares[row[place - 1]] > square:
            row[place] = row[place - 1]
            place -= 1
        row[place] = j
        found = min(found + 1, k)
    return found


@kernel
def _first(squares: Array, limit: float, row: Array) -> int:
    """Write the first within the limit into `row` [k], in order; return their number."""
    found = 0
    for j in range(len(squares)):
        if squares[j] <= limit:
            row[found] = j
            found += 1
            if found == len(row):
                break
    return found
