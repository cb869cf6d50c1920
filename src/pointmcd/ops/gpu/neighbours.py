"""Triton kernels of pointmcd.ops.neighbours.

The backward pass gathers: edges are sorted by the point they lead to, and each point sums what its
own bring, in float32 and in a fixed order. So no kernel adds atomically.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from pointmcd.ops.gpu.compare import beats
from pointmcd.ops.scatter import edges_by_target
from pointmcd.typing import gpu_kernel

#: Points and channels of a tile.
_POINTS, _CHANNELS = 16, 64


def forward(values: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the max [B, M, C] and its point, int32 [B, M, C]."""
    batch, count, channels = values.shape
    near = index.shape[1]
    pooled = values.new_empty(batch, near, channels)
    where = torch.empty_like(pooled, dtype=torch.int32)
    if pooled.numel() == 0:
        return pooled, where
    grid = (triton.cdiv(batch * near, _POINTS), triton.cdiv(channels, _CHANNELS))
    with torch.cuda.device_of(values):
        pool_kernel[grid](
            values.contiguous(),
            index.contiguous(),
            pooled,
            where,
            batch * near,
            near,
            count,
            index.shape[2],
            channels,
            _POINTS,
            _CHANNELS,
        )
    return pooled, where


def backward(grad: Tensor, index: Tensor, where: Tensor, count: int) -> Tensor:
    """Return the gradient of each of `count` points, [B, N, C]."""
    batch, _, channels = grad.shape
    out = grad.new_empty(batch, count, channels)
    if out.numel() == 0:
        return out
    sources, starts = edges_by_target(index, count)
    grid = (batch * count, triton.cdiv(channels, _CHANNELS))
    with torch.cuda.device_of(grad):
        unpool_kernel[grid](
            grad.contiguous(),
            where,
            sources,
            starts,
            out,
            count,
            channels,
            _CHANNELS,
            num_warps=1,
        )
    return out


@gpu_kernel
def pool_kernel(
    values: tl.tensor,
    index: tl.tensor,
    pooled: tl.tensor,
    where: tl.tensor,
    points: tl.tensor,
    near: tl.tensor,
    count: tl.tensor,
    k: tl.tensor,
    channels: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> None:
    """Pool some of M points (counted through all clouds) in some channels."""
    point = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (point < points)[:, None] & (channel < channels)[None, :]
    best = tl.full((POINTS, CHANNELS), float("-inf"), tl.float32)
    chosen = tl.zeros((POINTS, CHANNELS), tl.int32)
    for j in range(k):
        neighbour = tl.load(index + point * k + j, mask=point < points, other=0)
        row = point // near * count + neighbour
        offset = row[:, None] * channels + channel[None, :]
        value = tl.load(values + offset, mask=inside, other=0.0).to(tl.float32)
        better = (j == 0) | beats(value, best)
        best = tl.where(better, value, best)
        chosen = tl.where(better, neighbour[:, None].to(tl.int32), chosen)
    offset = point[:, None] * channels + channel[None, :]
    tl.store(pooled + offset, best, mask=inside)
    tl.store(where + offset, chosen, mask=inside)


@gpu_kernel
def unpool_kernel(
    grad: tl.tensor,
    where: tl.tensor,
    sources: tl.tensor,
    starts: tl.tensor,
    out: tl.tensor,
    count: tl.tensor,
    channels: tl.tensor,
    CHANNELS: tl.constexpr,  # noqa: N803
) -> None:
    """Sum the gradients of one point in some channels over the edges that lead to it."""
    target = tl.program_id(0)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel < channels
    total = tl.zeros((CHANNELS,), tl.float32)
    previous = target * 0 - 1
    for edge in range(tl.load(starts + target), tl.load(starts + target + 1)):
        source = tl.load(sources + edge)
        offset = source.to(tl.int64) * channels + channel
        # A point may name the same neighbour twice; its max was taken there once.
        asked = tl.where(source != previous, target % count, -2)
        taken = tl.load(where + offset, mask=inside, other=-1) == asked
        total += tl.load(grad + offset, mask=inside & taken, other=0.0).to(tl.float32)
        previous = source
    tl.store(out + target.to(tl.int64) * channels + channel, total, mask=inside)
