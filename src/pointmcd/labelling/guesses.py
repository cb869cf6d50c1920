"""Guesses for the shapes of a store, by a run or a teacher, to be confirmed or corrected."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pointmcd.data.dataset import ShapeDataset, evaluation_loader
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import RunError
from pointmcd.metrics.calibration import soften
from pointmcd.tasks.task import Labels, Task, task_of_lesson
from pointmcd.teachers.stored import is_teacher, map_output, open_teacher_store
from pointmcd.training.calibration import temperature_of
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.typing import Doubles


class Guesses(NamedTuple):
    """Predictions of a model for all shapes of a store.

    Attributes:
        classes: the K names.
        probabilities: float64 [S, K].
        label_file: the labels that the model learnt from; None where the store's own.
    """

    classes: list[str]
    probabilities: Doubles
    label_file: Path | None

    def summary(self) -> dict[str, Any]:
        """Return classes, and for each shape the likeliest and its percentage, as JSON values."""
        # Rounded down: 100% is for what is certain.
        sure = np.floor(100 * self.probabilities.max(axis=1)).astype(int).tolist()
        best = self.probabilities.argmax(axis=1).tolist()
        return {"best": best, "classes": self.classes, "sure": sure}


def guess(model: str | Path, store: Store, device: str = "auto") -> Guesses:
    """Return the guesses of a run, or of a teacher of the store, for every shape.

    A run's are of the last epoch, calibrated as those of `predict`.

    Raises:
        RunError: when it names no classes, is not finished, or learnt from other shapes.
        StoreError: when the teacher does not match its store.
    """
    model = Path(model)
    return _of_teacher(model, store) if is_teacher(model) else _of_run(model, store, device)


def _of_run(path: Path, store: Store, device: str) -> Guesses:
    run = Run(path)
    run.refuse_unfinished()
    run.refuse_pretrained()
    _check_task(path, run.task)
    check_store(run, store)
    where = pick_device(device)
    every = np.arange(len(store.shapes))
    shown = store.with_up(run.up)
    dataset = ShapeDataset(shown, every, run.config.points, labelled=False, features=run.features)
    arrays = run.task.predictions(load_model(run, "last", where), evaluation_loader(dataset), where)
    probabilities = soften(arrays["probabilities"], temperature_of(run, "last"))
    return Guesses(run.labels.classes, probabilities, run.label_file)


def _of_teacher(path: Path, store: Store) -> Guesses:
    own, meta = open_teacher_store(path)
    task = task_of_lesson(meta["task"])
    _check_task(path, task)
    _check_fingerprint(path, own.own_fingerprint, store)
    assert task is not None
    every = np.arange(len(own.shapes))
    answer = torch.from_numpy(map_output(own, meta, str(task.teacher_answer), every)[:]).float()
    unread = np.full(len(every), -1)
    arrays = task.teacher_predictions(answer, unread, Labels(own.classes, own.parts), {})
    return Guesses(own.classes, arrays["probabilities"].astype(np.float64), own.label_file)


def check_store(run: Run, store: Store) -> None:
    """Refuse a run that learnt from another store.

    Raises:
        RunError: saying so.
    """
    _check_fingerprint(run.path, run.own_fingerprint, store)


def _check_task(path: Path, task: Task | None) -> None:
    if task is None or "probabilities" not in task.arrays:
        raise RunError(
            f"{path}: names no classes of shapes; give a run of classification, or --parts"
        )


def _check_fingerprint(path: Path, fingerprint: str, store: Store) -> None:
    if fingerprint != store.own_fingerprint:
        raise RunError(
            f"{path}: learnt from another store than {store.path}; label that one, or train on"
            " this one"
        )
