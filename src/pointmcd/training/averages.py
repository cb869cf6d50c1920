"""Exponential moving average (EMA) of the weights: what is judged and kept in their place."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


class ExponentialAverage(nn.Module):
    """A copy of a module whose parameters and batch statistics follow its own as an average.

    After step t (from 1) the average is d of itself and 1 - d of the module, with d the smaller of
    `decay` and t / (9 + t): a short training is not dominated by its first weights (as in
    TensorFlow's ExponentialMovingAverage). Running means and variances of norms are averaged like
    the weights that they belong to; all other buffers (counters, queues, tables) are the module's.

    `torch.optim.swa_utils.AveragedModel` asks the device in each step whether it is the first, so
    that a step could not be recorded on a GPU (`capture.py`): here the count stays in a tensor.

    Args:
        module: what is averaged; it is copied.
        decay: above 0 and below 1.
        device: where the average is kept.
    """

    steps: Tensor

    def __init__(self, module: nn.Module, decay: float, device: torch.device) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).to(device)
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64, device=device))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take a step of the module into the average."""
        share = torch.clamp((self.steps + 1) / (self.steps + 10), max=self.decay)
        rest = 1 - share * (self.steps > 0)  # the first step is taken whole
        for own, now in zip(_averaged(self.module), _averaged(model), strict=True):
            own.lerp_(now, rest.to(own))
        kept = {id(statistic) for statistic in _statistics(self.module)}
        for own, now in zip(self.module.buffers(), model.buffers(), strict=True):
            if id(own) not in kept:
                own.copy_(now)
        self.steps += 1


def _averaged(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from _statistics(module)


def _statistics(module: nn.Module) -> Iterator[Tensor]:
    """Yield running means and variances of all norms."""
    for part in module.modules():
        if isinstance(part, _NormBase) and part.running_mean is not None:
            assert part.running_var is not None
            yield from (part.running_mean, part.running_var)
