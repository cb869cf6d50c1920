"""Triton kernels of pointmcd.ops.masked_max.

Values are compared and summed in float32, whatever the type of the embeddings. No kernel adds
atomically: the same input gives the same bits.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from pointmcd.ops.gpu.compare import beats
from pointmcd.typing import gpu_kernel

#: Points and channels of a tile.
_POINTS, _CHANNELS = 32, 64


def forward(embeddings: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
    """Return pooled [B, V, C] and the first argmax, int32, -1 where a view sees nothing."""
    batch, points, channels = embeddings.shape
    views = visibility.shape[2]
    pooled = embeddings.new_empty(batch, views, channels)
    argmax = torch.empty_like(pooled, dtype=torch.int32)
    if pooled.numel() == 0:
        return pooled, argmax
    by_view = visibility.transpose(1, 2).contiguous().view(torch.uint8)
    grid = (batch * views, triton.cdiv(channels, _CHANNELS))
    with torch.cuda.device_of(embeddings):
        max_kernel[grid](
            embeddings.contiguous(),
            by_view,
            pooled,
            argmax,
            views,
            points,
            channels,
            _POINTS,
            _CHANNELS,
        )
    return pooled, argmax


def backward(grad: Tensor, argmax: Tensor, points: int) -> Tensor:
    """Return the gradient of each point, [B, M, C]."""
    batch, views, channels = grad.shape
    out = grad.new_empty(batch, points, channels)
    if out.numel() == 0:
        return out
    grid = (batch * triton.cdiv(points, _POINTS), triton.cdiv(channels, _CHANNELS))
    with torch.cuda.device_of(grad):
        gather_kernel[grid](
            grad.contiguous(), argmax, out, views, points, channels, _POINTS, _CHANNELS
        )
    return out


@gpu_kernel
def max_kernel(
    embeddings: tl.tensor,
    by_view: tl.tensor,
    pooled: tl.tensor,
    argmax: tl.tensor,
    views: tl.tensor,
    points: tl.tensor,
    channels: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> None:
    """Pool one view of one shape in some channels; each row of the tile keeps its own best."""
    task = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    best = tl.full((POINTS, CHANNELS), float("-inf"), tl.float32)
    where = tl.full((POINTS, CHANNELS), -1, tl.int32)
    for start in range(0, points, POINTS):
        point = start + tl.arange(0, POINTS)
        seen = tl.load(by_view + task * points + point, mask=point < points, other=0) != 0
        read = seen[:, None] & (channel < channels)[None, :]
        offset = (task // views * points + point)[:, None] * channels + channel[None, :]
        value = tl.load(embeddings + offset, mask=read, other=0.0).to(tl.float32)
        better = read & ((where < 0) | beats(value, best))
        best = tl.where(better, value, best)
        where = tl.where(better, point[:, None], where)
    broken = best != best
    hidden = tl.max(broken.to(tl.int32), axis=0)[None, :] > 0
    top = tl.where(hidden, broken, best == tl.max(best, axis=0)[None, :]) & (where >= 0)
    first = tl.min(tl.where(top, where, points), axis=0)
    # No two rows hold the same point, so one value at most is added.
    value = tl.sum(tl.where(where == first[None, :], best, 0.0), axis=0)
    output = task * channels + channel
    tl.store(pooled + output, value, mask=channel < channels)
    tl.store(argmax + output, tl.where(first < points, first, -1), mask=channel < channels)


@gpu_kernel
def gather_kernel(
    grad: tl.tensor,
    argmax: tl.tensor,
    out: tl.tensor,
    views: tl.tensor,
    points: tl.tensor,
    channels: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> None:
    """Sum over views the gradients of some points and channels of one shape."""
    blocks = tl.cdiv(points, POINTS)
    shape = (tl.program_id(0) // blocks).to(tl.int64)
    point = tl.program_id(0) % blocks * POINTS + tl.arange(0, POINTS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    total = tl.zeros((POINTS, CHANNELS), tl.float32)
    for view in range(views):
        offset = (shape * views + view) * channels + channel
        where = tl.load(argmax + offset, mask=channel < channels, other=-1)
        value = tl.load(grad + offset, mask=channel < channels, other=0.0).to(tl.float32)
        total += tl.where(where[None, :] == point[:, None], value[None, :], 0.0)
    offset = (shape * points + point)[:, None] * channels + channel[None, :]
    inside = (point < points)[:, None] & (channel < channels)[None, :]
    tl.store(out + offset, total, mask=inside)
