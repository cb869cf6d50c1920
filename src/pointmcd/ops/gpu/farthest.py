"""Triton kernel of pointmcd.ops.farthest_batch: a whole cloud in the registers of one program.

Products and sums are not fused: distances are those of the CPU to the last bit, and so is the
order.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from pointmcd.typing import gpu_kernel

#: Points of the largest cloud, and points for each warp, up to 16 warps.
MOST_POINTS = 2**14
_WARP_POINTS = 256


def sample(points: Tensor, order: Tensor) -> None:
    """Fill `order` int64 [B, count] from its second column on; points float32 [B, N, 3]."""
    batch, count, _ = points.shape
    size = triton.next_power_of_2(count)
    warps = min(max(size // _WARP_POINTS, 1), 16)
    with torch.cuda.device_of(points):
        farthest_kernel[(batch,)](
            points.contiguous(),
            order,
            count,
            order.shape[1],
            size,
            num_warps=warps,
            enable_fp_fusion=False,
        )


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
