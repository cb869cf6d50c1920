"""What training and evaluation must know of a task."""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from pointmcd.data.dataset import Batch

Scores = dict[str, float | None]


class Task(Protocol):
    """One task: its inputs, its loss, and how a model is judged while it trains.

    Attributes:
        name: as `--task` has it.
        best: the validation figure by which the best epoch is chosen.
        figures: all validation figures.
    """

    name: str
    best: str
    figures: tuple[str, ...]

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the model is called with."""

    def pairs(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [m, K] and true ids [m] of everything that is labelled in a batch."""

    def validate(self, model: nn.Module, batches: Iterable[Batch], device: torch.device) -> Scores:
        """The validation figures of a model in evaluation mode."""
