"""Linear layer with batch norm and ReLU in fewer passes over memory.

The batch statistics of W x follow from the mean and covariance of x, so batch norm folds into the
weights even in training, and the normalised tensor is never made apart. Values, gradients and
running statistics equal those of the plain order of operations, which a GPU takes where it is
faster.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import full_precision, numba_fits, parallel_kernel, torch_alone
from pointmcd.ops.batch_norm import batch_statistics, running_statistics
from pointmcd.ops.moments import mean_and_covariance
from pointmcd.typing import Array

#: Values that a GPU's cache holds, and the ratio of C_in squared to C up to which folding pays,
#: from the arithmetic and the bandwidth of an H100.
_CACHED, _NARROW = 2**24, 64


def linear_bn_relu(
    points: Tensor, linear: nn.Linear, norm: nn.BatchNorm1d, slope: float = 0.0
) -> Tensor:
    """Compute ReLU(BN(W x)), LeakyReLU with a `slope`: [B, N, C_in] -> [B, N, C]; no bias."""
    if norm.training and not _folding_pays(points, linear):
        if not torch.is_autocast_enabled(points.device.type):
            points = points.to(linear.weight)
        # In place on the norm's own result; on a view of it autograd would copy the gradient.
        normed = norm(linear(points).flatten(0, 1))
        normed = F.leaky_relu_(normed, slope) if slope else torch.relu_(normed)
        return normed.view(*points.shape[:2], -1)
    with full_precision(points):  # statistics need full precision
        points = points.to(linear.weight)
        mean, var = _linear_statistics(points, linear.weight, norm)
        scale = norm.weight * torch.rsqrt(var + norm.eps)
        weight, shift = linear.weight * scale[:, None], norm.bias - mean * scale
        if numba_fits(points, weight):
            rows = points.flatten(0, 1)
            flat: Tensor = _LinearReLU.apply(rows, weight, shift, slope)  # type: ignore[no-untyped-call]
            return flat.view(*points.shape[:2], -1)
    mapped = F.linear(points, weight, shift)
    return F.leaky_relu(mapped, slope) if slope else torch.relu(mapped)


def _folding_pays(points: Tensor, linear: nn.Linear) -> bool:
    """Return whether to fold in training: always on a CPU, on a GPU where much memory is spared.

    There, folding costs about fifty launches and the covariance of x, and spares seven passes over
    W x; those over what its cache holds cost nothing.
    """
    if torch_alone():  # the covariance's backward pass is ours
        return False
    if points.device.type == "cpu":
        return True
    wide, narrow = linear.weight.shape
    values = points.shape[0] * points.shape[1] * wide
    return values > _CACHED and narrow**2 <= _NARROW * wide


def _linear_statistics(
    points: Tensor, weight: Tensor, norm: nn.BatchNorm1d
) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance [C] of W x for `norm`; update the running ones."""
    if not norm.training:
        return running_statistics(norm)
    rows = points.flatten(0, 1)
    return moment_statistics(*mean_and_covariance(rows), len(rows), weight, norm)


def moment_statistics(
    centre: Tensor, covariance: Tensor, count: int, weight: Tensor, norm: nn.BatchNorm1d
) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance [C] of W x for `norm`; update the running ones.

    Args:
        centre: mean of x, [C_in].
        covariance: of x, biased, [C_in, C_in].
        count: how many x there are.
        weight: W, [C, C_in].
        norm: in training.
    """
    mean = weight @ centre
    var = ((weight @ covariance) * weight).sum(dim=1).clamp(min=0)
    return batch_statistics(norm, mean, var, count)


class _LinearReLU(torch.autograd.Function):
    """LeakyReLU(x W^T + s) of float32 rows on a CPU.

    Behind a max over points the gradient is zero but for a few entries of each channel; it is then
    taken entry by entry, and no matrix product is made.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, shift: Tensor, slope: float) -> Tensor:
        out = rows @ weight.T
        _shift_relu_kernel(out, shift, np.float32(slope))
        ctx.save_for_backward(rows, weight, out)
        ctx.slope = slope
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        rows, weight, out = ctx.saved_tensors
        sampled = grad[::_SAMPLED]
        if int(sampled.count_nonzero()) < _SPARSE * sampled.numel():
            return *_sparse_backward(grad, rows, weight, out, ctx.slope), None
        passed = torch.where(out > 0, grad, ctx.slope * grad) if ctx.slope else grad * (out > 0)
        return passed @ weight, passed.T @ rows, passed.sum(dim=0), None


#: Row blocks that are summed apart: a fixed number, so that no thread count changes the result.
_BLOCKS = 16
#: Every 16th row tells how dense a gradient is; below this density it counts as sparse.
_SAMPLED, _SPARSE = 16, 0.1


def _sparse_backward(
    grad: Tensor, rows: Tensor, weight: Tensor, out: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    grad_rows = rows.new_zeros(rows.shape)
    grad_weight = torch.zeros(_BLOCKS, *weight.shape)
    grad_shift = torch.zeros(_BLOCKS, len(weight))
    _sparse_kernel(grad, out, rows, weight, np.float32(slope), grad_rows, grad_weight, grad_shift)
    return grad_rows, grad_weight.sum(dim=0), grad_shift.sum(dim=0)


@parallel_kernel
def _shift_relu_kernel(out: Array, shift: Array, slope: float) -> None:
    for n in numba.prange(out.shape[0]):
        for c in range(out.shape[1]):
            value = out[n, c] + shift[c]
            out[n, c] = value if value > 0 else slope * value


@parallel_kernel
def _sparse_kernel(
    grad: Array,
    out: Array,
    rows: Array,
    weight: Array,
    slope: float,
    grad_rows: Array,
    grad_weight: Array,
    grad_shift: Array,
) -> None:
    count, blocks = len(rows), len(grad_weight)
    for block in numba.prange(blocks):
        for n in range(count * block // blocks, count * (block + 1) // blocks):
            for c in range(grad.shape[1]):
                g = grad[n, c]
                if g != 0 and out[n, c] <= 0:
                    g *= slope
                if g == 0:
                    continue
                grad_shift[block, c] += g
                for i in range(rows.shape[1]):
                    grad_rows[n, i] += g * weight[c, i]
                    grad_weight[block, c, i] += g * rows[n, i]
