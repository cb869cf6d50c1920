"""Triton kernels of pointmcd.ops.masked_max.

Values are compared and summed in float32, whatever the type of the embeddings. No kernel adds
atomically: the same input gives the same bits.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from pointmcd.typing import gpu_kernel

#: Views of a program of the forward pass, which its kernel spells out: registers hold their best.
_VIEWS = tl.constexpr(4)
#: Points and channels of a tile of the forward pass, and its warps.
_POINTS, _CHANNELS, _WARPS = 8, 64, 4
#: Channels of a program of the backward pass.
_COLUMNS = 64
#: Points whose visibility one program packs into bits.
_PACKED = 128
#: The key of what no point has, below all others.
_UNSEEN = tl.constexpr(-(2**31))


def forward(embeddings: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
    """Return pooled [B, V, C] and the first argmax, int32, -1 where a view sees nothing."""
    batch, points, channels = embeddings.shape
    views = visibility.shape[2]
    pooled = embeddings.new_empty(batch, views, channels)
    argmax = torch.empty_like(pooled, dtype=torch.int32)
    if pooled.numel() == 0:
        return pooled, argmax
    blocks = triton.cdiv(views, _VIEWS.value)
    words = torch.empty(batch, blocks, points, dtype=torch.int32, device=embeddings.device)
    seen = visibility.contiguous().view(torch.uint8)
    with torch.cuda.device_of(embeddings):
        pack_kernel[(batch * triton.cdiv(points, _PACKED), blocks)](
            seen, words, views, points, _VIEWS.value, _PACKED
        )
        max_kernel[(triton.cdiv(channels, _CHANNELS), blocks, batch)](
            embeddings.contiguous(),
            words,
            pooled,
            argmax,
            views,
            points,
            channels,
            _POINTS,
            _CHANNELS,
            num_warps=_WARPS,
        )
    return pooled, argmax


def backward(grad: Tensor, argmax: Tensor, points: int) -> Tensor:
    """Return the gradient of each point, [B, M, C]."""
    batch, views, channels = grad.shape
    out = grad.new_zeros(batch, points, channels)
    if out.numel() == 0:
        return out
    with torch.cuda.device_of(grad):
        spread_kernel[(triton.cdiv(channels, _COLUMNS), views, batch)](
            grad.contiguous(), argmax, out, views, points, channels, _COLUMNS, num_warps=1
        )
    return out


@gpu_kernel
def pack_kernel(
    seen: tl.tensor,
    words: tl.tensor,
    views: tl.tensor,
    points: tl.tensor,
    VIEWS: tl.constexpr,  # noqa: N803
    POINTS: tl.constexpr,  # noqa: N803
) -> None:
    """Write for some points of one shape a word of bits, one for each of some views."""
    blocks = tl.cdiv(points, POINTS)
    shape = (tl.program_id(0) // blocks).to(tl.int64)
    point = tl.program_id(0) % blocks * POINTS + tl.arange(0, POINTS)
    bit = tl.arange(0, VIEWS)
    view = tl.program_id(1) * VIEWS + bit
    inside = (point < points)[:, None] & (view < views)[None, :]
    offset = (shape * points + point)[:, None] * views + view[None, :]
    flags = (tl.load(seen + offset, mask=inside, other=0) != 0).to(tl.int32)
    word = tl.sum(flags << bit[None, :], axis=1)
    output = (shape * tl.num_programs(1) + tl.program_id(1)) * points + point
    tl.store(words + output, word, mask=point < points)


@gpu_kernel
def max_kernel(
    embeddings: tl.tensor,
    words: tl.tensor,
    pooled: tl.tensor,
    argmax: tl.tensor,
    views: tl.tensor,
    points: tl.tensor,
    channels: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> None:
    """Pool some channels of one shape in four views.

    Values are compared as integers of the same order, above which is NaN and below which is what no
    view sees: one comparison each.
    """
    shape = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    words += (shape * tl.num_programs(1) + tl.program_id(1)) * points
    a = tl.full((POINTS, CHANNELS), _UNSEEN, tl.int32)
    at_a = tl.full((POINTS, CHANNELS), -1, tl.int32)
    b, c, d = a, a, a
    at_b, at_c, at_d = at_a, at_a, at_a
    known = (channel < channels)[None, :]
    lane = tl.arange(0, POINTS)
    place = embeddings + (shape * points + lane)[:, None] * channels + channel[None, :]
    for start in range(0, points, POINTS):
        point = start + lane
        inside = point < points
        word = tl.load(words + point, mask=inside, other=0)[:, None]
        value = tl.load(place, mask=inside[:, None] & known, other=0.0)
        key = key_of(value.to(tl.float32))
        place += POINTS * channels
        a, at_a = larger(key, (word & 1) != 0, point, a, at_a)
        b, at_b = larger(key, (word & 2) != 0, point, b, at_b)
        c, at_c = larger(key, (word & 4) != 0, point, c, at_c)
        d, at_d = larger(key, (word & 8) != 0, point, d, at_d)
    view = tl.program_id(1) * _VIEWS
    output = (shape * views + view) * channels + channel
    left = tl.where(channel < channels, views - view, 0)
    store_first(a, at_a, points, pooled + output, argmax + output, left > 0)
    output += channels
    store_first(b, at_b, points, pooled + output, argmax + output, left > 1)
    output += channels
    store_first(c, at_c, points, pooled + output, argmax + output, left > 2)
    output += channels
    store_first(d, at_d, points, pooled + output, argmax + output, left > 3)


@gpu_kernel
def larger(
    key: tl.tensor, seen: tl.tensor, point: tl.tensor, best: tl.tensor, where: tl.tensor
) -> tuple[tl.tensor, tl.tensor]:
    """Return the larger of the best and of what is seen, and its point: the first of equals."""
    better = seen & (key > best)
    return tl.where(better, key, best), tl.where(better, point[:, None], where)


@gpu_kernel
def store_first(
    best: tl.tensor,
    where: tl.tensor,
    points: tl.tensor,
    pooled: tl.tensor,
    argmax: tl.tensor,
    inside: tl.tensor,
) -> None:
    """Store the largest of the rows of a tile and its first point."""
    top = tl.max(best, axis=0)
    first = tl.min(tl.where((best == top[None, :]) & (where >= 0), where, points), axis=0)
    tl.store(pooled, tl.where(first < points, value_of(top), 0.0), mask=inside)
    tl.store(argmax, tl.where(first < points, first, -1), mask=inside)


@gpu_kernel
def key_of(value: tl.tensor) -> tl.tensor:
    """Return int32 keys of the order of float32 values, NaN above all.

    Adding zero makes both zeros alike, and of every NaN the positive one (PTX, add.f32).
    """
    bits = (value + 0.0).to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@gpu_kernel
def value_of(key: tl.tensor) -> tl.tensor:
    """Return the values of keys."""
    bits = key ^ ((key >> 31) & 0x7FFFFFFF)
    return bits.to(tl.float32, bitcast=True)


@gpu_kernel
def spread_kernel(
    grad: tl.tensor,
    argmax: tl.tensor,
    out: tl.tensor,
    views: tl.tensor,
    points: tl.tensor,
    channels: tl.tensor,
    COLUMNS: tl.constexpr,  # noqa: N803
) -> None:
    """Store the gradients of the points that are the first maximum of one view.

    A point that is the maximum of several views gets their sum from the first of these.
    """
    view, shape = tl.program_id(1), tl.program_id(2).to(tl.int64)
    channel = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside = channel < channels
    first = shape * views * channels + channel
    mine = tl.load(argmax + first + view * channels, mask=inside, other=-1)
    total = tl.zeros((COLUMNS,), tl.float32)
    kept = inside & (mine >= 0)
    for other in range(views):
        same = tl.load(argmax + first + other * channels, mask=inside, other=-1) == mine
        value = tl.load(grad + first + other * channels, mask=inside, other=0.0)
        total += tl.where(same, value.to(tl.float32), 0.0)
        kept = kept & (tl.where(same, other, view) >= view)
    tl.store(out + (shape * points + mine) * channels + channel, total, mask=kept)
