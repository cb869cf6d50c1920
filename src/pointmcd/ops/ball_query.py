"""Neighbours within a radius: the grouping of PointNet++ (Qi et al., NeurIPS 2017, Sec. 3.2)."""

import numba
import numpy as np
import torch
from torch import Tensor

from pointmcd.ops.backend import numba_fits, parallel_kernel, smaller
from pointmcd.typing import Array, kernel


@torch.no_grad()
def ball_query(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    """Find the k nearest points within a radius of each centre.

    Deliberate difference: the published code takes the first k in the order of the file, so that a
    permuted cloud gets other neighbours; the k nearest belong to the shape. A ball of fewer than k
    points repeats the nearest one, and so does an empty ball, with the nearest point of all. A
    centre that is one of the points always finds itself (or a point at the same place).

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
    if k < 1 or points.shape[1] < 1:
        raise ValueError(f"k is {k} of {points.shape[1]} points; both must be 1 or more")
    k = smaller(k, points.shape[1])
    if numba_fits(points, centres):
        return _query_numba(centres, points, radius, k)
    return _query_torch(centres, points, radius, k)


def _query_torch(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    # Distances by differences: those by matrix product are not exactly 0 for a point itself.
    if torch.compiler.is_compiling():  # as the kernel has it, in operations that ONNX knows too
        pairs = zip(centres.unbind(dim=2), points.unbind(dim=2), strict=True)
        x, y, z = ((c[:, :, None] - p[:, None]).square() for c, p in pairs)
        distances, radius = x + y + z, float(np.float32(radius) ** 2)
    else:
        distances = torch.cdist(centres, points, compute_mode="donot_use_mm_for_euclid_dist")
    nearest, index = distances.topk(k, dim=2, largest=False)
    return torch.where(nearest <= radius, index, index[:, :, :1])


def _query_numba(centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
    index = torch.empty(*centres.shape[:2], k, dtype=torch.int64)
    _query_kernel(centres, points.transpose(1, 2), np.float32(radius) ** 2, index)
    return index


@parallel_kernel
def _query_kernel(centres: Array, points: Array, limit: float, index: Array) -> None:
    """`points` [B, 3, N]; `limit` is the squared radius."""
    batch, count = index.shape[:2]
    for task in numba.prange(batch * count):
        b, m = task // count, task % count
        xs, ys, zs = points[b]
        cx, cy, cz = centres[b, m]
        squares = np.empty(len(xs), dtype=points.dtype)
        for j in range(len(xs)):  # no branch: runs on vector registers
            x, y, z = xs[j] - cx, ys[j] - cy, zs[j] - cz
            squares[j] = x * x + y * y + z * z
        found = _sorted_nearest(squares, limit, index[b, m])
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
