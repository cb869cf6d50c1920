"""Linear, batch norm, ReLU, max over points, without the normalised [B, N, C] tensor.

Batch norm and ReLU are monotone in each channel, so the max over points commutes with them up to
the sign of gamma; the batch statistics of W x follow from the mean and covariance of x. The
backward pass then touches the B x C extreme points only. Values, gradients and running statistics
equal those of the plain order of operations.
"""

from typing import Any

import torch
from torch import Tensor, nn


def linear_bn_relu_max(points: Tensor, linear: nn.Linear, norm: nn.BatchNorm1d) -> Tensor:
    """max over n of ReLU(BN(W x_n)).

    Args:
        points: float [B, N, C_in].
        linear: C_in -> C, without bias.
        norm: batch norm over C; in training its running statistics are updated.

    Returns:
        float [B, C].
    """
    extreme: Tensor = _ExtremeLinear.apply(points, linear.weight, norm.weight.detach() >= 0)  # type: ignore[no-untyped-call]
    mean, var = linear_statistics(points, linear.weight, norm)
    scale = norm.weight * torch.rsqrt(var + norm.eps)
    return torch.relu((extreme - mean) * scale + norm.bias)


def linear_statistics(
    points: Tensor, weight: Tensor, norm: nn.BatchNorm1d
) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] that `norm` applies to W x; updates the running ones."""
    if not norm.training:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return norm.running_mean, norm.running_var
    flat = points.flatten(0, 1)
    centre = flat.mean(dim=0)
    centred = flat - centre
    covariance = centred.T @ centred / len(flat)
    mean = weight @ centre
    var = ((weight @ covariance) * weight).sum(dim=1).clamp(min=0)
    update_running(norm, mean, var, len(flat))
    return mean, var


@torch.no_grad()
def update_running(norm: nn.BatchNorm1d, mean: Tensor, var: Tensor, count: int) -> None:
    """What `nn.BatchNorm1d` does to its buffers in training, with `count` samples a channel."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    momentum = 0.1 if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(var * (count / max(count - 1, 1)), momentum)
    norm.num_batches_tracked += 1


class _ExtremeLinear(torch.autograd.Function):
    """W x_n at the n where it is largest (or smallest, where `largest` is False): [B, C]."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, weight: Tensor, largest: Tensor) -> Tensor:
        signed = torch.where(largest[:, None], weight, -weight)
        values, where = zip(*((x @ signed.T).max(dim=0) for x in points), strict=True)
        index = torch.stack(where)
        ctx.save_for_backward(points, weight, index)
        extreme = torch.stack(values)
        return torch.where(largest, extreme, -extreme)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        points, weight, index = ctx.saved_tensors
        batch, count, channels_in = points.shape
        picked = points.gather(1, index[:, :, None].expand(-1, -1, channels_in))
        grad_weight = torch.einsum("bc,bci->ci", grad, picked)
        rows = (index + count * torch.arange(batch, device=index.device)[:, None]).flatten()
        grad_points = torch.zeros_like(points).view(-1, channels_in)
        grad_points.index_add_(0, rows, (grad[:, :, None] * weight).view(-1, channels_in))
        return grad_points.view_as(points), grad_weight, None
