"""Triton kernels of pointmcd.ops.ball_query: one program for each centre, no distance is stored.

The k nearest are found one after the other: each pass makes the distances anew, which in three
dimensions costs less than to keep them. Products and sums are not fused, so distances, and with
them all ties, are those of the CPU to the last bit.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from pointmcd.typing import gpu_kernel

#: Points of a tile at most.
_POINTS = 1024
#: Stands for no point.
_NONE = tl.constexpr(2**31 - 1)


def query(centres: Tensor, points: Tensor, limit: float, k: int, first: bool) -> Tensor:
    """Return int64 [B, M, k] for centres [B, M, 3] and points [B, N, 3], float32, k at most N.

    `limit` is the squared radius; `first`: by place, not by distance.
    """
    batch, near, _ = centres.shape
    index = torch.empty(batch, near, k, dtype=torch.int64, device=points.device)
    if index.numel() == 0:
        return index
    kernel = group_kernel if first else query_kernel
    tile = min(_POINTS, triton.next_power_of_2(points.shape[1]))
    with torch.cuda.device_of(points):
        kernel[(batch * near,)](
            centres.contiguous(),
            points.contiguous(),
            index,
            near,
            points.shape[1],
            k,
            limit,
            tile,
            triton.next_power_of_2(k),
            enable_fp_fusion=False,
        )
    return index


@gpu_kernel
def squares(cloud: tl.tensor, centre: tl.tensor, place: tl.tensor, inside: tl.tensor) -> tl.tensor:
    """Return squared distances of the points at some places of a cloud from a centre."""
    x = tl.load(cloud + place * 3, mask=inside, other=0.0) - tl.load(centre)
    y = tl.load(cloud + place * 3 + 1, mask=inside, other=0.0) - tl.load(centre + 1)
    z = tl.load(cloud + place * 3 + 2, mask=inside, other=0.0) - tl.load(centre + 2)
    return x * x + y * y + z * z


@gpu_kernel
def lowest(best: tl.tensor, where: tl.tensor) -> tl.tensor:
    """Return the first place of the least of some lanes, those at `_NONE` left out."""
    known = where != _NONE
    least = tl.min(tl.where(known, best, float("inf")), axis=0)
    return tl.min(tl.where(known & (best == least), where, _NONE), axis=0)


@gpu_kernel
def nearest_of_all(
    cloud: tl.tensor,
    centre: tl.tensor,
    count: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
) -> tl.tensor:
    """Return the place of the nearest point; as in NumPy, NaN counts as nearest."""
    best = tl.full((POINTS,), float("inf"), tl.float32)
    where = tl.full((POINTS,), _NONE, tl.int32)
    for start in range(0, count, POINTS):
        place = start + tl.arange(0, POINTS)
        square = squares(cloud, centre, place, place < count)
        square = tl.where(square != square, -1.0, square)
        better = (place < count) & ((square < best) | (where == _NONE))
        best = tl.where(better, square, best)
        where = tl.where(better, place, where)
    return lowest(best, where)


@gpu_kernel
def query_kernel(
    centres: tl.tensor,
    points: tl.tensor,
    index: tl.tensor,
    near: tl.tensor,
    count: tl.tensor,
    k: tl.tensor,
    limit: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
    SLOTS: tl.constexpr,  # noqa: N803
) -> None:
    """Find the k nearest in one ball: each time the next after the last, by distance and place."""
    task = tl.program_id(0).to(tl.int64)
    centre, cloud = centres + task * 3, points + task // near * count * 3
    padding = nearest_of_all(cloud, centre, count, POINTS)
    last, at = -1.0, -1
    for rank in range(k):
        best = tl.full((POINTS,), float("inf"), tl.float32)
        where = tl.full((POINTS,), _NONE, tl.int32)
        for start in range(0, count, POINTS):
            place = start + tl.arange(0, POINTS)
            square = squares(cloud, centre, place, place < count)
            later = (square > last) | ((square == last) & (place > at))
            eligible = (place < count) & (square <= limit) & later
            better = eligible & ((square < best) | (where == _NONE))
            best = tl.where(better, square, best)
            where = tl.where(better, place, where)
        found = lowest(best, where)
        padding = tl.where((rank == 0) & (found != _NONE), found, padding)
        tl.store(index + task * k + rank, tl.where(found != _NONE, found, padding).to(tl.int64))
        at = found
        last = tl.min(best, axis=0)


@gpu_kernel
def group_kernel(
    centres: tl.tensor,
    points: tl.tensor,
    index: tl.tensor,
    near: tl.tensor,
    count: tl.tensor,
    k: tl.tensor,
    limit: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
    SLOTS: tl.constexpr,  # noqa: N803
) -> None:
    """Find the first k points in one ball."""
    task = tl.program_id(0).to(tl.int64)
    centre, cloud = centres + task * 3, points + task // near * count * 3
    found, first = 0, _NONE + 0
    for start in range(0, count, POINTS):
        place = start + tl.arange(0, POINTS)
        square = squares(cloud, centre, place, place < count)
        within = (place < count) & (square <= limit)
        slot = found + tl.cumsum(within.to(tl.int32), axis=0) - 1
        tl.store(index + task * k + slot, place.to(tl.int64), mask=within & (slot < k))
        found += tl.sum(within.to(tl.int32), axis=0)
        first = tl.minimum(first, tl.min(tl.where(within, place, _NONE), axis=0))
    padding = tl.where(found > 0, first, nearest_of_all(cloud, centre, count, POINTS))
    slot = tl.arange(0, SLOTS)
    left = (slot >= found) & (slot < k)
    tl.store(index + task * k + slot, padding.to(tl.int64) + slot * 0, mask=left)
