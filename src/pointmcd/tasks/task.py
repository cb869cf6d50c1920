"""What training and evaluation must know of a task."""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from pointmcd.data.dataset import Batch
from pointmcd.distill.distillation import ViewDistillation

Scores = dict[str, float | None]
Branch = ViewDistillation | None


class Task(Protocol):
    """One task: its inputs, its loss, and how a model is judged while it trains.

    Attributes:
        name: as `--task` has it.
        best: the validation figure by which the best epoch is chosen.
        figures: all validation figures.
        labelled: whether it learns from labels at all.
    """

    name: str
    best: str
    figures: tuple[str, ...]
    labelled: bool

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the model is called with."""

    def pairs(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [m, K] and true ids [m] of everything that is labelled in a batch."""

    def validate(
        self, model: nn.Module, batches: Iterable[Batch], device: torch.device, branch: Branch
    ) -> Scores:
        """The validation figures of a model, and of its distillation branch, in evaluation mode."""
