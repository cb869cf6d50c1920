"""Sums over the processes that train together; one process is the plain case."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """How many processes were launched together and have met: 1 where there is no launcher."""
    return dist.get_world_size() if _met() else 1


def process_index() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if _met() else 0


def _met() -> bool:
    return dist.is_available() and dist.is_initialized()


def mean_over_processes(values: Tensor) -> Tensor:
    """Mean of one tensor per process, float of any shape, the same in each; differentiable.

    Every process must call this, and its backward pass, in the same order. The gradient is that
    of the mean of all processes' losses where gradients of parameters are averaged too, as
    DistributedDataParallel does.
    """
    mean: Tensor = _Mean.apply(values)  # type: ignore[no-untyped-call]
    return mean


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _mean(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # Each process's values reach the losses of all, and each is 1 / P of the mean.
        return _mean(grad)


def _mean(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / dist.get_world_size()
