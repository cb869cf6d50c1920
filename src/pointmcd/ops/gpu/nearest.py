"""Triton kernel of pointmcd.ops.nearest: some points against a whole cloud, in registers."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from pointmcd.typing import gpu_kernel

#: Points of the largest cloud, and values that a program holds.
MOST_POINTS = 2**13
_VALUES = 2**14


def nearest(points: Tensor, squares: Tensor, k: int) -> Tensor:
    """Return int64 [B, N, k] for points [B, N, C], of squared lengths [B, N]; k at most N."""
    batch, count, channels = points.shape
    index = torch.empty(batch, count, k, dtype=torch.int64, device=points.device)
    if index.numel() == 0:
        return index
    columns = triton.next_power_of_2(count)
    rows = min(max(_VALUES // columns, 1), 16)
    with torch.cuda.device_of(points):
        nearest_kernel[(batch, triton.cdiv(count, rows))](
            points.transpose(1, 2).contiguous(),
            squares.contiguous(),
            index,
            count,
            channels,
            k,
            rows,
            columns,
            num_warps=8,
        )
    return index


@gpu_kernel
def nearest_kernel(
    points: tl.tensor,
    squares: tl.tensor,
    index: tl.tensor,
    count: tl.tensor,
    channels: tl.tensor,
    k: tl.tensor,
    ROWS: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
) -> None:
    """Take k times the largest of 2 x.y - |y|^2, the first of equals.

    What is not a number or infinitely far comes last, but before what is taken already.
    """
    cloud = points + tl.program_id(0).to(tl.int64) * channels * count
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    product = tl.zeros((ROWS, COLUMNS), tl.float32)
    for c in range(channels):
        mine = tl.load(cloud + c * count + row, mask=row < count, other=0.0)
        other = tl.load(cloud + c * count + column, mask=column < count, other=0.0)
        product += mine[:, None] * other[None, :]
    lengths = tl.load(
        squares + tl.program_id(0).to(tl.int64) * count + column, mask=column < count, other=0.0
    )
    nearness = 2 * product - lengths[None, :]
    nearness = tl.where(nearness > -3.0e38, nearness, -3.0e38)
    nearness = tl.where((column < count)[None, :], nearness, float("-inf"))
    output = index + (tl.program_id(0).to(tl.int64) * count + row) * k
    for rank in range(k):
        taken = tl.argmax(nearness, axis=1)
        tl.store(output + rank, taken.to(tl.int64), mask=row < count)
        nearness = tl.where(column[None, :] == taken[:, None], float("-inf"), nearness)
