"""Triton kernels of pointmcd.ops.group_max.

No product of a member is stored, and the gradients of all members are made where they are needed:
a tile of them is zero but for the extreme members. Products take three passes in tf32, which is as
exact as float32, or one where members and weights are bfloat16, which tf32 represents exactly. No
kernel adds atomically: the same input gives the same bits.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from pointmcd.ops.gpu.compare import beats
from pointmcd.typing import gpu_kernel

#: Channels of the members: what a tile holds.
MOST_CHANNELS = 128
#: Members of a tile at most (at least the 16 that tl.dot takes), and channels of the layer: the
#: fastest on an H100 of those that its registers hold.
_MEMBERS, _CHANNELS = 32, 64
#: Programs that share the groups among them: fixed numbers, so that no GPU changes the sums.
_PROGRAMS, _SPLITS = 1024, 256
#: Channels of the layer of one program that sums the gradient of the weight.
_ROWS = 16


def forward(groups: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the max of W x over each group, float32 [G, C], and its first member, int32."""
    count, members, narrow = groups.shape
    wide = len(weight)
    values = torch.empty(count, wide, dtype=torch.float32, device=groups.device)
    where = torch.empty(count, wide, dtype=torch.int32, device=groups.device)
    with torch.cuda.device_of(groups):
        extreme_kernel[(min(count, _PROGRAMS), triton.cdiv(wide, _CHANNELS))](
            groups.contiguous(),
            weight.to(groups).contiguous(),
            values,
            where,
            count,
            members,
            narrow,
            wide,
            _tile(members, _MEMBERS),
            _tile(narrow, MOST_CHANNELS),
            _CHANNELS,
            "tf32x3" if groups.dtype is torch.float32 else "tf32",
        )
    return values, where


def backward(
    grad: Tensor, groups: Tensor, weight: Tensor, where: Tensor, grad_groups: Tensor
) -> Tensor:
    """Return the weight's gradient [C, C_in]; add that of the groups to `grad_groups`."""
    count, members, narrow = groups.shape
    wide, splits = len(weight), min(len(groups), _SPLITS)
    grad, groups = grad.contiguous(), groups.contiguous()
    parts = torch.empty(splits, wide, narrow, dtype=torch.float32, device=groups.device)
    tile, channels = _tile(members, _MEMBERS), _tile(narrow, MOST_CHANNELS)
    with torch.cuda.device_of(groups):
        members_kernel[(count, triton.cdiv(members, tile))](
            grad,
            where,
            weight.to(groups).contiguous(),
            grad_groups,
            members,
            narrow,
            wide,
            tile,
            channels,
            _CHANNELS,
        )
        weight_kernel[(splits, triton.cdiv(wide, _ROWS))](
            grad, where, groups, parts, count, members, narrow, wide, channels, _ROWS
        )
    return parts.sum(dim=0)


def _tile(size: int, most: int) -> int:
    """Return a side of a tile, a power of 2 that tl.dot takes."""
    side: int = triton.next_power_of_2(size)
    return min(max(16, side), most)


@gpu_kernel
def extreme_kernel(
    groups: tl.tensor,
    weight: tl.tensor,
    values: tl.tensor,
    where: tl.tensor,
    count: tl.tensor,
    members: tl.tensor,
    narrow: tl.tensor,
    wide: tl.tensor,
    MEMBERS: tl.constexpr,  # noqa: N803
    NARROW: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
    PRECISION: tl.constexpr,  # noqa: N803
) -> None:
    """Go through every P-th group, of P programs, in some channels of the layer."""
    c = tl.arange(0, NARROW)
    channel = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)).to(tl.int64)
    known = (c < narrow)[:, None] & (channel < wide)[None, :]
    turned = tl.load(weight + channel[None, :] * narrow + c[:, None], mask=known, other=0.0)
    turned = turned.to(tl.float32)
    for group in range(tl.program_id(0), count, tl.num_programs(0)):
        best = tl.full((MEMBERS, CHANNELS), float("-inf"), tl.float32)
        chosen = tl.full((MEMBERS, CHANNELS), -1, tl.int32)
        for first in range(0, members, MEMBERS):
            member = first + tl.arange(0, MEMBERS)
            row = group * members + member.to(tl.int64)
            inside = (member < members)[:, None] & (c < narrow)[None, :]
            offset = row[:, None] * narrow + c[None, :]
            rows = tl.load(groups + offset, mask=inside, other=0.0)
            product = tl.dot(rows.to(tl.float32), turned, input_precision=PRECISION)
            better = (member < members)[:, None] & ((chosen < 0) | beats(product, best))
            best = tl.where(better, product, best)
            chosen = tl.where(better, member[:, None], chosen)
        broken = best != best
        hidden = tl.max(broken.to(tl.int32), axis=0)[None, :] > 0
        top = tl.where(hidden, broken, best == tl.max(best, axis=0)[None, :]) & (chosen >= 0)
        extreme = tl.min(tl.where(top, chosen, members), axis=0)
        # No two rows hold the same member, so one value at most is added.
        value = tl.sum(tl.where(chosen == extreme[None, :], best, 0.0), axis=0)
        output = group * wide + channel
        tl.store(values + output, value, mask=channel < wide)
        tl.store(where + output, extreme, mask=channel < wide)


@gpu_kernel
def members_kernel(
    grad: tl.tensor,
    where: tl.tensor,
    weight: tl.tensor,
    grad_groups: tl.tensor,
    members: tl.tensor,
    narrow: tl.tensor,
    wide: tl.tensor,
    MEMBERS: tl.constexpr,  # noqa: N803
    NARROW: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> None:
    """Add to the gradients of some members of one group."""
    group = tl.program_id(0).to(tl.int64)
    c, member = tl.arange(0, NARROW), tl.program_id(1) * MEMBERS + tl.arange(0, MEMBERS)
    total = tl.zeros((MEMBERS, NARROW), tl.float32)
    for first in range(0, wide, CHANNELS):
        channel = first + tl.arange(0, CHANNELS)
        chosen = tl.load(where + group * wide + channel, mask=channel < wide, other=-1)
        given = tl.load(grad + group * wide + channel, mask=channel < wide, other=0.0)
        taken = tl.where(chosen[None, :] == member[:, None], given[None, :], 0.0)
        known = (channel < wide)[:, None] & (c < narrow)[None, :]
        rows = tl.load(weight + channel[:, None] * narrow + c[None, :], mask=known, other=0.0)
        total = tl.dot(taken, rows.to(tl.float32), total, input_precision="tf32x3")
    inside = (member < members)[:, None] & (c < narrow)[None, :]
    place = grad_groups + (group * members + member)[:, None] * narrow + c[None, :]
    tl.store(place, tl.load(place, mask=inside, other=0.0) + total, mask=inside)


@gpu_kernel
def weight_kernel(
    grad: tl.tensor,
    where: tl.tensor,
    groups: tl.tensor,
    parts: tl.tensor,
    count: tl.tensor,
    members: tl.tensor,
    narrow: tl.tensor,
    wide: tl.tensor,
    NARROW: tl.constexpr,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
) -> None:
    """Sum over every S-th group, of S splits, the extreme members of some channels."""
    c = tl.arange(0, NARROW)
    channel = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    inside = (channel < wide)[:, None] & (c < narrow)[None, :]
    total = tl.zeros((ROWS, NARROW), tl.float32)
    for group in range(tl.program_id(0), count, tl.num_programs(0)):
        output = group * wide + channel
        chosen = tl.load(where + output, mask=channel < wide, other=0)
        given = tl.load(grad + output, mask=channel < wide, other=0.0)
        row = group * members + chosen.to(tl.int64)
        member = tl.load(groups + row[:, None] * narrow + c[None, :], mask=inside, other=0.0)
        total += given[:, None] * member.to(tl.float32)
    output = (tl.program_id(0) * wide + channel[:, None]) * narrow + c[None, :]
    tl.store(parts + output, total, mask=inside)
