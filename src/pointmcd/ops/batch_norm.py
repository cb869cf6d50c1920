"""Batch statistics: of this process's batch or, synchronised, of the batch of all processes.

torch's own SyncBatchNorm takes no CPU tensors, and layers whose batch norm is folded into other
operations (pointmcd.ops.linear_norm) never call it, on any device. Here the kind of the norm
decides for both.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SyncedBatchNorm(nn.BatchNorm1d):
    """Batch norm of [B, C, ...] whose statistics in training are those of all processes' batches.

    The processes must have met (`torch.distributed`), and each must hold equally many samples.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of dimensions: this stands in for torch's 1d, 2d and 3d norms."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, ...] -> the same shape and dtype."""
        if not self.training:
            return super().forward(input)
        samples = input.float() if input.dtype in (torch.half, torch.bfloat16) else input
        dims = [d for d in range(samples.dim()) if d != 1]
        var, mean = torch.var_mean(samples, dim=dims, correction=0)
        mean, var = batch_statistics(self, mean, var, samples.numel() // samples.shape[1])
        scale = torch.rsqrt(var + self.eps)
        scale = scale if self.weight is None else scale * self.weight
        shape = [1, -1, *[1] * (samples.dim() - 2)]
        normed = (samples - mean.view(shape)) * scale.view(shape)
        normed = normed if self.bias is None else normed + self.bias.view(shape)
        return normed.to(input.dtype)


def synchronise(module: nn.Module) -> None:
    """Turn every batch norm of a module into a `SyncedBatchNorm`, in place; names stay.

    Norms of a class of their own, torch's SyncBatchNorm among them, are left as they are.
    """
    for part in module.modules():
        if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            part.__class__ = SyncedBatchNorm


def batch_statistics(
    norm: nn.BatchNorm1d, mean: Tensor, var: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance [C] for `norm` in training; update the running ones.

    Args:
        norm: any batch norm; a `SyncedBatchNorm` takes the samples of all processes.
        mean: of the samples here, [C].
        var: their biased variance, [C].
        count: how many they are, the same in every process.
    """
    if isinstance(norm, SyncedBatchNorm):
        here, mean = mean, _mean_over_processes(mean)
        # About the common mean: a difference of squares would lose the digits of a small variance.
        var = _mean_over_processes(var + (here - mean).square())
        count *= dist.get_world_size()
    if norm.running_mean is not None:
        _update_running(norm, mean, var, count)
    return mean, var


def running_statistics(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Return mean and variance [C] for `norm` in evaluation."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


@torch.no_grad()
def _update_running(norm: nn.BatchNorm1d, mean: Tensor, var: Tensor, count: int) -> None:
    """Update the buffers as `nn.BatchNorm1d` does, with `count` samples a channel."""
    running_mean, running_var = running_statistics(norm)
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    # None means the plain mean over all batches, as in torch.
    momentum = norm.momentum
    if momentum is None:
        momentum = 1 / int(norm.num_batches_tracked)
    running_mean.lerp_(mean.to(running_mean), momentum)
    running_var.lerp_((var * (count / max(count - 1, 1))).to(running_var), momentum)


def _mean_over_processes(values: Tensor) -> Tensor:
    """Return the mean over processes of one tensor each; all call this in the same order.

    The gradient is that of the mean of all processes' losses, where gradients of parameters are
    averaged too, as DistributedDataParallel does. (torch.distributed.nn's is deprecated.)
    """
    mean: Tensor = _Mean.apply(values)  # type: ignore[no-untyped-call]
    return mean


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # Each process's values reach the losses of all, and each is 1 / P of the mean.
        return _Mean.forward(ctx, grad)
