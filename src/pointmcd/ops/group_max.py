"""Linear layer, batch norm, ReLU and the max over each group: a neighbourhood or a whole cloud.

As in pointmcd.ops.linear_norm, the batch statistics follow from the moments of the input; batch
norm and ReLU commute with the max up to the sign of gamma, the layer's output at every member
[G, k, C] is never kept, and the backward pass touches the extreme members only. Values, gradients
and running statistics equal those of the plain order of operations.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.ops.backend import (
    beats,
    full_precision,
    numba_fits,
    parallel_kernel,
    torch_alone,
    triton_fits,
)
from pointmcd.ops.batch_norm import running_statistics
from pointmcd.ops.linear_norm import linear_bn_relu, moment_statistics
from pointmcd.ops.moments import moments, moments_backward
from pointmcd.typing import Array

#: Rows multiplied at a time: products that stay in a CPU's cache, or few launches elsewhere.
_CPU_ROWS, _OTHER_ROWS = 2048, 2**18
#: Group blocks that are summed apart: a fixed number, so that no thread count changes the result.
_BLOCKS = 16


def linear_bn_relu_max(groups: Tensor, linear: nn.Linear, norm: nn.BatchNorm1d) -> Tensor:
    """Compute the max over the members of each group of ReLU(BN(W x)).

    Args:
        groups: float [G, k, C_in]; on a GPU bfloat16 is multiplied as such.
        linear: C_in -> C, without bias.
        norm: batch norm over C and all G x k members; in training its running statistics are
            updated.

    Returns:
        float [G, C]. On ties the first member takes the gradient.
    """
    with full_precision(groups):  # statistics need full precision
        if torch_alone():
            return linear_bn_relu(groups, linear, norm).amax(dim=1)
        if not (groups.dtype == torch.bfloat16 and _triton_fits(groups)):
            groups = groups.to(linear.weight)
        weight, largest = linear.weight, norm.weight.detach() >= 0
        extreme, centre, covariance = _Extremes.apply(groups, weight, largest, norm.training)  # type: ignore[no-untyped-call]
        if norm.training:
            count = groups.shape[0] * groups.shape[1]
            mean, var = moment_statistics(centre, covariance, count, weight, norm)
        else:
            mean, var = running_statistics(norm)
        scale = norm.weight * torch.rsqrt(var + norm.eps)
        return torch.relu((extreme - mean) * scale + norm.bias)


class _Extremes(torch.autograd.Function):
    """W x at the member of each group where it is largest (smallest, where `largest` is False).

    With them the moments of all members, so that the backward pass fills one gradient of theirs.
    """

    @staticmethod
    def forward(
        ctx: Any, groups: Tensor, weight: Tensor, largest: Tensor, with_moments: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        signed = torch.where(largest[:, None], weight, -weight)
        if _triton_fits(groups):
            from pointmcd.ops.gpu import group_max as gpu

            values, where = gpu.forward(groups.detach(), signed)
        else:
            values, where = _extremes(groups, signed)
        members = groups.flatten(0, 1) if with_moments else groups[:0, 0]
        mean, covariance = moments(members.to(weight))
        ctx.save_for_backward(groups, weight, where, mean)
        ctx.with_moments = with_moments
        return torch.where(largest, values, -values), mean, covariance

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor, grad_mean: Tensor, grad_covariance: Tensor
    ) -> tuple[Tensor, Tensor, None, None]:
        groups, weight, where, mean = ctx.saved_tensors
        if ctx.with_moments:
            members = groups.flatten(0, 1).to(weight)
            through = moments_backward(members, mean, grad_mean, grad_covariance).view_as(groups)
        else:
            through = groups.new_zeros(groups.shape, dtype=weight.dtype)
        grad_weight = _backward(groups)(grad, groups, weight, where, through)
        return through.to(groups), grad_weight, None, None


def _triton_fits(groups: Tensor) -> bool:
    """Return whether Triton's kernels serve: as many channels as a tile holds."""
    if not triton_fits(groups) or 0 in groups.shape:
        return False
    from pointmcd.ops.gpu.group_max import MOST_CHANNELS

    return groups.shape[2] <= MOST_CHANNELS


def _backward(groups: Tensor) -> Callable[..., Tensor]:
    if _triton_fits(groups):
        from pointmcd.ops.gpu import group_max as gpu

        return gpu.backward
    return _backward_numba if numba_fits(groups) else _backward_torch


def _extremes(groups: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the max of W x over the members and the first one that has it, [G, C] each."""
    rows = _CPU_ROWS if groups.device.type == "cpu" else _OTHER_ROWS
    values = groups.new_empty(len(groups), len(weight))
    where = torch.empty_like(values, dtype=torch.int64)
    at_once = max(1, rows // groups.shape[1])
    for start in range(0, len(groups), at_once):
        part = slice(start, start + at_once)
        _extreme(groups[part] @ weight.T, values[part], where[part])
    return values, where


def _extreme(products: Tensor, values: Tensor, where: Tensor) -> None:
    """Write the max over the members of [g, k, C] and the first one that has it, [g, C] each."""
    if numba_fits(products):
        _max_kernel(products, values, where)
    else:
        torch.max(products, dim=1, out=(values, where))


def _backward_torch(
    grad: Tensor, groups: Tensor, weight: Tensor, where: Tensor, grad_groups: Tensor
) -> Tensor:
    """Return the weight's gradient; add that of the groups to `grad_groups`."""
    spread = grad.new_zeros(len(groups), groups.shape[1], grad.shape[1])
    spread.scatter_(1, where[:, None], grad[:, None])
    grad_groups += spread @ weight
    return spread.flatten(0, 1).T @ groups.flatten(0, 1)


def _backward_numba(
    grad: Tensor, groups: Tensor, weight: Tensor, where: Tensor, grad_groups: Tensor
) -> Tensor:
    grad_weight = torch.zeros(_BLOCKS, *weight.shape)
    _backward_kernel(grad, groups, weight, where, grad_groups, grad_weight)
    return grad_weight.sum(dim=0)


@parallel_kernel
def _max_kernel(products: Array, values: Array, where: Array) -> None:
    count, members, channels = products.shape
    for g in numba.prange(count):
        best, arg = values[g], np.zeros(channels, np.int32)
        best[:] = products[g, 0]
        for m in range(1, members):
            row = products[g, m]
            for c in range(channels):
                better = beats(row[c], best[c])
                best[c] = row[c] if better else best[c]
                arg[c] = np.int32(m) if better else arg[c]
        where[g] = arg


@parallel_kernel
def _backward_kernel(
    grad: Array, groups: Array, weight: Array, where: Array, grad_groups: Array, grad_weight: Array
) -> None:
    count, blocks = len(groups), len(grad_weight)
    for block in numba.prange(blocks):
        for g in range(count * block // blocks, count * (block + 1) // blocks):
            for c in range(grad.shape[1]):
                value = grad[g, c]
                if value == 0:
                    continue
                row, to = groups[g, where[g, c]], grad_groups[g, where[g, c]]
                for i in range(len(row)):
                    to[i] += value * weight[c, i]
                    grad_weight[block, c, i] += value * row[i]
