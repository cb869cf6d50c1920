"""Save each epoch's record and checkpoints together."""

from typing import Any

from torch import Tensor

from pointmcd.checkpoint import SaveTimer, save_checkpoint
from pointmcd.training.run import Run
from pointmcd.training.trainer import Trainer


class Keeper:
    """Keeps the results of epochs in a run folder.

    Args:
        trainer: whose state they are.
        run: the folder.

    Attributes:
        best: the score of the best epoch so far; None before the first.
    """

    def __init__(self, trainer: Trainer, run: Run) -> None:
        self.trainer, self.run = trainer, run
        self.best: float | None = None
        self._records: list[dict[str, Any]] = []
        self._unwritten: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        self._timer = SaveTimer()

    def keep(self, record: dict[str, Any], due: bool | None = None) -> None:
        """Keep the results of an epoch, of the last one at once.

        Args:
            record: of the epoch.
            due: whether to write now; None: as `is_due` says.
        """
        due = self.is_due(record["epoch"]) if due is None else due
        self._records.append(record)
        self._keep_if_best(record)
        if due:
            self._write(record["epoch"])

    def is_due(self, epoch: int) -> bool:
        """Return whether to write after that epoch, counted from 1."""
        return self._timer.is_due(epoch == self.trainer.config.epochs)

    def _keep_if_best(self, record: dict[str, Any]) -> None:
        score: float | None = record[self.trainer.task.best]
        # Without a validation split the best epoch is the last.
        better = score is None or self.best is None or score > self.best
        if better and "best" in self.run.checkpoints:
            self.best = score
            tensors = {n: t.detach().clone() for n, t in self.trainer.model_tensors().items()}
            self._unwritten = tensors, {"epoch": record["epoch"]}

    def _write(self, epoch: int) -> None:
        """Write all; `last` is last, so that a kill before it repeats the epochs."""
        self.run.append(*self._records)
        if self._unwritten is not None:
            save_checkpoint(self.run.checkpoint("best"), *self._unwritten)
        state = {"epoch": epoch, "best": self.best}
        save_checkpoint(self.run.checkpoint("last"), self.trainer.tensors(), state)
        self._records, self._unwritten = [], None
        self._timer.written()
