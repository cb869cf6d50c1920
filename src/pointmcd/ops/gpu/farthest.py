"""Triton kernels of pointmcd.ops.farthest_batch: one program samples a whole cloud.

Distances stay in its registers, those of larger clouds in memory. Products and sums are not fused:
distances are those of the CPU to the last bit, and so is the order.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from pointmcd.typing import gpu_kernel

#: Points of the largest cloud whose distances registers hold, and of a tile of larger ones.
MOST_POINTS = 2**14
TILE = 2**13
#: Points for each warp, up to 16 warps.
_WARP_POINTS = 256


def sample(points: Tensor, order: Tensor) -> None:
    """Fill `order` int64 [B, count] from its second column on; points float32 [B, N, 3]."""
    batch, count, _ = points.shape
    size = triton.next_power_of_2(count)
    warps = min(max(size // _WARP_POINTS, 1), 16)
    options = {"num_warps": warps, "enable_fp_fusion": False}
    cloud, taken = points.contiguous(), order.shape[1]
    with torch.cuda.device_of(points):
        if count <= MOST_POINTS:
            farthest_kernel[(batch,)](cloud, order, count, taken, size, **options)
        else:
            nearest = torch.full_like(cloud[:, :, 0], torch.inf)
            farthest_tiles_kernel[(batch,)](cloud, nearest, order, count, taken, TILE, **options)


@gpu_kernel
def farthest_kernel(
    points: tl.tensor,
    order: tl.tensor,
    count: tl.tensor,
    taken: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
) -> None:
    """Sample one cloud; as in the reference, a distance that is not a number changes nothing."""
    cloud = points + tl.program_id(0).to(tl.int64) * count * 3
    order += tl.program_id(0).to(tl.int64) * taken
    place = tl.arange(0, POINTS)
    inside = place < count
    x = tl.load(cloud + place * 3, mask=inside, other=0.0)
    y = tl.load(cloud + place * 3 + 1, mask=inside, other=0.0)
    z = tl.load(cloud + place * 3 + 2, mask=inside, other=0.0)
    nearest = tl.where(inside, float("inf"), -2.0)
    last = tl.load(order).to(tl.int32)
    for i in range(1, taken):
        dx = x - tl.load(cloud + last * 3)
        dy = y - tl.load(cloud + last * 3 + 1)
        dz = z - tl.load(cloud + last * 3 + 2)
        square = dx * dx + dy * dy + dz * dz
        nearest = tl.where(square < nearest, square, nearest)
        nearest = tl.where(place == last, -1.0, nearest)
        last = tl.argmax(nearest, axis=0).to(tl.int32)
        tl.store(order + i, last.to(tl.int64))


@gpu_kernel
def farthest_tiles_kernel(
    points: tl.tensor,
    nearest: tl.tensor,
    order: tl.tensor,
    count: tl.tensor,
    taken: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
) -> None:
    """Sample one cloud, `POINTS` of it at a time; `nearest` [B, N] is infinite at first.

    Each thread reads back the distances alone that it wrote itself: nothing waits.
    """
    cloud = points + tl.program_id(0).to(tl.int64) * count * 3
    nearest += tl.program_id(0).to(tl.int64) * count
    order += tl.program_id(0).to(tl.int64) * taken
    last = tl.load(order).to(tl.int32)
    for i in range(1, taken):
        lastx = tl.load(cloud + last * 3)
        lasty = tl.load(cloud + last * 3 + 1)
        lastz = tl.load(cloud + last * 3 + 2)
        most = -3.0
        found = last
        for start in range(0, count, POINTS):
            place = start + tl.arange(0, POINTS)
            inside = place < count
            dx = tl.load(cloud + place * 3, mask=inside, other=0.0) - lastx
            dy = tl.load(cloud + place * 3 + 1, mask=inside, other=0.0) - lasty
            dz = tl.load(cloud + place * 3 + 2, mask=inside, other=0.0) - lastz
            square = dx * dx + dy * dy + dz * dz
            near = tl.load(nearest + place, mask=inside, other=-2.0)
            near = tl.where(square < near, square, near)
            near = tl.where(place == last, -1.0, near)
            tl.store(nearest + place, near, mask=inside)
            best = tl.max(near, axis=0)
            found = tl.where(best > most, start + tl.argmax(near, axis=0).to(tl.int32), found)
            most = tl.maximum(best, most)
        last = found
        tl.store(order + i, last.to(tl.int64))
