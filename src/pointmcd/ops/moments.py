"""Mean and covariance of many rows, whose backward pass is one matrix product."""

from typing import Any

import torch
from torch import Tensor

#: Rows centred at a time: what stays in a CPU's cache.
_CHUNK = 2048


def mean_and_covariance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean [C] and biased covariance [C, C] of rows [E, C]; no centred copy is kept."""
    found: tuple[Tensor, Tensor] = _Moments.apply(rows)  # type: ignore[no-untyped-call]
    return found


def moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same without a gradient; zeros if there are no rows."""
    mean = rows.sum(dim=0) / max(len(rows), 1)
    covariance = rows.new_zeros(rows.shape[1], rows.shape[1])
    for chunk in rows.split(_CHUNK) if rows.device.type == "cpu" else [rows]:
        centred = chunk - mean
        covariance.addmm_(centred.T, centred, alpha=1 / max(len(rows), 1))
    return mean, covariance


def moments_backward(
    rows: Tensor, mean: Tensor, grad_mean: Tensor, grad_covariance: Tensor
) -> Tensor:
    """Return the gradient of rows [E, C] from those of their mean [C] and covariance [C, C]."""
    slope = (grad_covariance + grad_covariance.T) / len(rows)
    return torch.addmm(grad_mean / len(rows) - mean @ slope, rows, slope)


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        mean, covariance = moments(rows)
        ctx.save_for_backward(rows, mean)
        return mean, covariance

    @staticmethod
    def backward(ctx: Any, grad_mean: Tensor, grad_covariance: Tensor) -> Tensor:
        rows, mean = ctx.saved_tensors
        return moments_backward(rows, mean, grad_mean, grad_covariance)
