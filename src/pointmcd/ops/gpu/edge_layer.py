"""Triton kernels of pointmcd.ops.edge_layer.

A tile is some points and one neighbour of each, so that the extremes are running ones and no k is
padded. Products are in full float32: batch statistics follow from them. Moments are taken about a
centre near the mean, and summed apart by each program. What neighbours receive is added
atomically: the order of that sum, and with it the last bits of `other`'s gradient, may change from
run to run.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from pointmcd.ops.gpu.compare import beats
from pointmcd.typing import gpu_kernel

#: Points of a tile, 16 being the least that tl.dot takes, and warps: more points, or fewer warps,
#: and the registers of 64 x 128 channels spill into memory.
_POINTS, _WARPS = 16, 8
#: Programs that sum apart: a fixed number, so that no GPU's size changes the sums.
_PROGRAMS = 512


def forward(
    own: Tensor, other: Tensor, index: Tensor, weight: Tensor, sign: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the extreme, its neighbour's number (int32), both [B, N, C2], mean and covariance.

    The moments are [C1] and [C1, C1]. `sign` [C2] is -1 where the extreme is the min.
    """
    own, other, index = own.contiguous(), other.contiguous(), index.contiguous()
    wide, narrow = weight.shape
    batch, count, k = index.shape
    extreme = own.new_empty(batch, count, wide)
    where = torch.empty_like(extreme, dtype=torch.int32)
    programs = _programs(index)
    totals = own.new_empty(programs, narrow)
    grams = own.new_empty(programs, narrow, narrow)
    centre = F.leaky_relu(own.mean(dim=(0, 1)) + other.mean(dim=(0, 1)), slope)
    with torch.cuda.device_of(own):
        forward_kernel[(programs,)](
            own,
            other,
            index,
            (sign[:, None] * weight).contiguous(),
            sign,
            centre,
            extreme,
            where,
            totals,
            grams,
            batch * count,
            count,
            k,
            narrow,
            wide,
            slope,
            _POINTS,
            _tile(narrow),
            _tile(wide),
            num_warps=_WARPS,
        )
    offset = totals.sum(dim=0) / index.numel()
    gram = grams.sum(dim=0) / index.numel()
    return extreme, where, centre + offset, gram - offset[:, None] * offset


def backward(
    saved: tuple[Tensor, ...], grad: Tensor, mix: Tensor, share: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return gradients of own and other [B, N, C1], and of the weight [C2, C1].

    `saved` is (own, other, index, weight, where, mean). Through the moments, every edge h receives
    (h - mean) mix + share.
    """
    own, other, index, weight, where, mean = saved
    wide, narrow = weight.shape
    batch, count, k = index.shape
    grad_own = torch.empty_like(own, memory_format=torch.contiguous_format)
    grad_other = torch.zeros_like(other, memory_format=torch.contiguous_format)
    programs = _programs(index)
    grad_weight = own.new_empty(programs, wide, narrow)
    with torch.cuda.device_of(own):
        backward_kernel[(programs,)](
            own.contiguous(),
            other.contiguous(),
            index.contiguous(),
            weight.contiguous(),
            where,
            grad.contiguous(),
            mean.float(),
            mix.float().contiguous(),
            share.float(),
            grad_own,
            grad_other,
            grad_weight,
            batch * count,
            count,
            k,
            narrow,
            wide,
            slope,
            _POINTS,
            _tile(narrow),
            _tile(wide),
            num_warps=_WARPS,
        )
    return grad_own, grad_other, grad_weight.sum(dim=0)


def _programs(index: Tensor) -> int:
    batch, count, _ = index.shape
    return min(_PROGRAMS, -(-batch * count // _POINTS))


def _tile(channels: int) -> int:
    """Return a side of a tile that holds all channels: a power of 2 that tl.dot takes."""
    side: int = triton.next_power_of_2(channels)
    return max(16, side)


@gpu_kernel
def forward_kernel(
    own: tl.tensor,
    other: tl.tensor,
    index: tl.tensor,
    weight: tl.tensor,
    sign: tl.tensor,
    centre: tl.tensor,
    extreme: tl.tensor,
    where: tl.tensor,
    totals: tl.tensor,
    grams: tl.tensor,
    points: tl.tensor,
    count: tl.tensor,
    k: tl.tensor,
    narrow: tl.tensor,
    wide: tl.tensor,
    slope: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
    NARROW: tl.constexpr,  # noqa: N803
    WIDE: tl.constexpr,  # noqa: N803
) -> None:
    """Go through every P-th tile of points, of P programs, with all their edges."""
    c, d = tl.arange(0, NARROW), tl.arange(0, WIDE)
    matrix = (d < wide)[None, :] & (c < narrow)[:, None]
    turned = tl.load(weight + d[None, :] * narrow + c[:, None], mask=matrix, other=0.0)
    signs = tl.load(sign + d, mask=d < wide, other=1.0)[None, :]
    middle = tl.load(centre + c, mask=c < narrow, other=0.0)[None, :]
    total = tl.zeros((NARROW,), tl.float32)
    gram = tl.zeros((NARROW, NARROW), tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(points, POINTS), tl.num_programs(0)):
        point = tile * POINTS + tl.arange(0, POINTS).to(tl.int64)
        inside = (point < points)[:, None] & (c < narrow)[None, :]
        mine = tl.load(own + point[:, None] * narrow + c[None, :], mask=inside, other=0.0)
        best = tl.full((POINTS, WIDE), float("-inf"), tl.float32)
        chosen = tl.zeros((POINTS, WIDE), tl.int32)
        for j in range(k):
            near = tl.load(index + point * k + j, mask=point < points, other=0)
            row = (point // count * count + near)[:, None]
            edge = mine + tl.load(other + row * narrow + c[None, :], mask=inside, other=0.0)
            edge = tl.where(edge > 0, edge, slope * edge)
            product = tl.dot(edge, turned, input_precision="ieee")
            better = (j == 0) | beats(product, best)
            best = tl.where(better, product, best)
            chosen = tl.where(better, j, chosen)
            edge = tl.where(inside, edge - middle, 0.0)
            total += tl.sum(edge, axis=0)
            gram = tl.dot(tl.trans(edge), edge, gram, input_precision="ieee")
        output = point[:, None] * wide + d[None, :]
        inside = (point < points)[:, None] & (d < wide)[None, :]
        tl.store(extreme + output, best * signs, mask=inside)
        tl.store(where + output, chosen, mask=inside)
    program = tl.program_id(0)
    tl.store(totals + program * narrow + c, total, mask=c < narrow)
    square = (c < narrow)[:, None] & (c < narrow)[None, :]
    output = (program * narrow + c[:, None]) * narrow + c[None, :]
    tl.store(grams + output, gram, mask=square)


@gpu_kernel
def backward_kernel(
    own: tl.tensor,
    other: tl.tensor,
    index: tl.tensor,
    weight: tl.tensor,
    where: tl.tensor,
    grad: tl.tensor,
    mean: tl.tensor,
    mix: tl.tensor,
    share: tl.tensor,
    grad_own: tl.tensor,
    grad_other: tl.tensor,
    grad_weight: tl.tensor,
    points: tl.tensor,
    count: tl.tensor,
    k: tl.tensor,
    narrow: tl.tensor,
    wide: tl.tensor,
    slope: tl.tensor,
    POINTS: tl.constexpr,  # noqa: N803
    NARROW: tl.constexpr,  # noqa: N803
    WIDE: tl.constexpr,  # noqa: N803
) -> None:
    """Go through the same tiles and make their edges again."""
    c, d = tl.arange(0, NARROW), tl.arange(0, WIDE)
    matrix = (d < wide)[:, None] & (c < narrow)[None, :]
    square = (c < narrow)[:, None] & (c < narrow)[None, :]
    rows = tl.load(weight + d[:, None] * narrow + c[None, :], mask=matrix, other=0.0)
    mixing = tl.load(mix + c[:, None] * narrow + c[None, :], mask=square, other=0.0)
    middle = tl.load(mean + c, mask=c < narrow, other=0.0)[None, :]
    shift = tl.load(share + c, mask=c < narrow, other=0.0)[None, :]
    to_weight = tl.zeros((WIDE, NARROW), tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(points, POINTS), tl.num_programs(0)):
        point = tile * POINTS + tl.arange(0, POINTS).to(tl.int64)
        inside = (point < points)[:, None] & (c < narrow)[None, :]
        mine = tl.load(own + point[:, None] * narrow + c[None, :], mask=inside, other=0.0)
        output = point[:, None] * wide + d[None, :]
        known = (point < points)[:, None] & (d < wide)[None, :]
        chosen = tl.load(where + output, mask=known, other=-1)
        given = tl.load(grad + output, mask=known, other=0.0)
        to_own = tl.zeros((POINTS, NARROW), tl.float32)
        for j in range(k):
            near = tl.load(index + point * k + j, mask=point < points, other=0)
            row = (point // count * count + near)[:, None]
            before = mine + tl.load(other + row * narrow + c[None, :], mask=inside, other=0.0)
            edge = tl.where(before > 0, before, slope * before)
            taken = tl.where(chosen == j, given, 0.0)
            to_weight = tl.dot(tl.trans(taken), edge, to_weight, input_precision="ieee")
            received = tl.dot(taken, rows, input_precision="ieee") + shift
            received = tl.dot(edge - middle, mixing, received, input_precision="ieee")
            received = tl.where(before > 0, received, slope * received)
            to_own += received
            tl.atomic_add(
                grad_other + row * narrow + c[None, :], received, mask=inside, sem="relaxed"
            )
        tl.store(grad_own + point[:, None] * narrow + c[None, :], to_own, mask=inside)
    output = (tl.program_id(0) * wide + d[:, None]) * narrow + c[None, :]
    tl.store(grad_weight + output, to_weight, mask=matrix)
