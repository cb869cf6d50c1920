"""Exponential moving average (EMA) of the weights: what is judged and kept in their place."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class ExponentialAverage(AveragedModel):
    """A copy of a module whose parameters and batch statistics follow its own as an average.

    After step t (from 1) the average is d of itself and 1 - d of the module, with d the smaller of
    `decay` and t / (9 + t): a short training is not dominated by its first weights (as in
    TensorFlow's ExponentialMovingAverage). Running means and variances of norms are averaged like
    the weights that they belong to; all other buffers (counters, queues, tables) are the module's.

    Args:
        module: what is averaged; it is copied.
        decay: above 0 and below 1.
        device: where the average is kept.
    """

    def __init__(self, module: nn.Module, decay: float, device: torch.device) -> None:
        super().__init__(module, device, multi_avg_fn=self._blend)
        self.decay = decay

    def share(self) -> float:
        """Return d of the next step."""
        step = int(self.n_averaged) + 1
        return min(self.decay, step / (9 + step))

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take a step of the module into the average."""
        share, first = self.share(), not self.n_averaged
        kept = [statistic.clone() for statistic in _statistics(self.module)]
        super().update_parameters(model)  # copies every buffer
        if not first:
            for statistic, before in zip(_statistics(self.module), kept, strict=True):
                statistic.lerp_(before, share)

    def _blend(self, averages: Any, values: Any, steps: Tensor | int) -> None:
        get_ema_multi_avg_fn(self.share())(averages, values, steps)


def _statistics(module: nn.Module) -> Iterator[Tensor]:
    """Yield running means and variances of all norms."""
    for part in module.modules():
        if isinstance(part, _NormBase) and part.running_mean is not None:
            assert part.running_var is not None
            yield from (part.running_mean, part.running_var)
