"""Nearest neighbours in any number of dimensions, some rows of the distances at a time."""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from pointmcd.ops.backend import (
    blas_on_one_thread,
    numba_fits,
    parallel_kernel,
    smaller,
    triton_fits,
    without_gradient,
)
from pointmcd.typing import Array, kernel

#: Points whose nearness to all others is multiplied out at a time: it stays in a CPU's cache.
_ROWS = 64
#: Columns of a row whose largest are found side by side.
_LANES = 64


@without_gradient
def nearest_neighbours(points: Tensor, k: int) -> Tensor:
    """Find the k nearest points of each point, itself included.

    Args:
        points: float [B, N, C].
        k: how many; N where the cloud is smaller.

    Returns:
        int64 [B, N, min(k, N)], in no particular order.
    """
    k = smaller(k, points.shape[1])
    squares = points.square().sum(dim=2)
    if _triton_fits(points):
        from pointmcd.ops.gpu import nearest as gpu

        return gpu.nearest(points, squares, k)
    if not numba_fits(points):
        return _nearest_torch(points, squares, k)
    index = torch.empty(*points.shape[:2], k, dtype=torch.int64)
    with blas_on_one_thread():  # the threads are numba's
        _nearest_kernel(points, (2 * points).transpose(1, 2), squares, index)
    return index


def _nearest_torch(points: Tensor, squares: Tensor, k: int) -> Tensor:
    nearness = torch.baddbmm(-squares[:, None, :], points, points.transpose(1, 2), alpha=2)
    return nearness.topk(k, dim=2, sorted=False).indices


def _triton_fits(points: Tensor) -> bool:
    if not triton_fits(points) or points.dtype != torch.float32:
        return False
    from pointmcd.ops.gpu.nearest import MOST_POINTS

    return points.shape[1] <= MOST_POINTS


@parallel_kernel
def _nearest_kernel(points: Array, doubled: Array, squares: Array, index: Array) -> None:
    """`doubled` [B, C, N] holds 2 x, `squares` [B, N] what is subtracted from 2 x.y."""
    batch, count = squares.shape
    blocks = (count + _ROWS - 1) // _ROWS
    for task in numba.prange(batch * blocks):
        b, start = task // blocks, task % blocks * _ROWS
        stop = min(start + _ROWS, count)
        nearness = np.dot(points[b, start:stop], doubled[b])
        best = np.empty(index.shape[2], np.float32)
        for n in range(start, stop):
            row = nearness[n - start]
            for j in range(count):  # no branch: runs on vector registers
                row[j] -= squares[b, j]
            _largest(row, best, index[b, n])


@kernel
def _largest(row: Array, best: Array, index: Array) -> None:
    """Find the k largest of a row by insertion, the first of equals; fill `index` [k]."""
    least = _lower_bound(row, best)
    k, found = len(best), 0
    for j in range(len(row)):
        value = row[j]
        if value < least or (found == k and not value > best[k - 1]):
            continue
        place = min(found, k - 1)
        while place > 0 and value > best[place - 1]:
            best[place], index[place] = best[place - 1], index[place - 1]
            place -= 1
        best[place], index[place] = value, j
        found = min(found + 1, k)


@kernel
def _lower_bound(row: Array, best: Array) -> Any:
    """Return a value that at least k of a row reach: the k-th largest of its lanes' maxima.

    With it few values are left to be inserted. `best` [k] is overwritten.
    """
    k = len(best)
    if k > _LANES or len(row) < 4 * _LANES:
        return np.float32(-np.inf)
    lanes = np.full(_LANES, np.float32(-np.inf))
    for start in range(0, len(row) - _LANES + 1, _LANES):
        for lane in range(_LANES):  # no branch: runs on vector registers
            value = row[start + lane]
            lanes[lane] = value if value > lanes[lane] else lanes[lane]
    best[:] = np.float32(-np.inf)
    for value in lanes:
        if not value > best[k - 1]:
            continue
        place = k - 1
        while place > 0 and value > best[place - 1]:
            best[place] = best[place - 1]
            place -= 1
        best[place] = value
    return best[k - 1]
