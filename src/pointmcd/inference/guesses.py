"""Guesses for the shapes of a store, by a trained model, to be confirmed or corrected."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pointmcd.data.dataset import ShapeDataset, evaluation_loader
from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.inference.predictor import Predictor, open_predictor
from pointmcd.metrics.calibration import soften
from pointmcd.tasks.task import Labels, Task, task_of_lesson
from pointmcd.teachers.stored import is_teacher, map_output, open_teacher_store
from pointmcd.training.run import Run
from pointmcd.training.weights import is_weights
from pointmcd.typing import Doubles, Indices


class Guesses(NamedTuple):
    """Predictions of a model for S shapes of a store.

    Attributes:
        classes: the K names.
        probabilities: float64 [S, K].
        label_file: the labels of this store that the model learnt; None where the store's own,
            or none.
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


def guess(
    model: str | Path,
    store: Store,
    device: str = "auto",
    indices: Indices | None = None,
    checkpoint: str = "last",
) -> Guesses:
    """Return the guesses of a trained model for shapes of a store, by default for all S.

    Args:
        model: a run, of this store or of another; exported weights: a folder, a name of
            `list_pretrained`, or `hf-hub:OWNER/NAME`; or a teacher of this store. Its guesses are
            calibrated as those of `predict`.
        store: the shapes; turned where another axis is up than in those that the model knows.
        device: cpu, cuda, mps or auto.
        indices: which shapes.
        checkpoint: of a run: "last" or "best".

    Raises:
        RunError: when it names no classes, or is not finished.
        StoreError: when the teacher does not match its store or is of another, or the shapes have
            fewer points, or other features, than the model takes.
    """
    place, shapes = Path(model), np.arange(len(store.shapes)) if indices is None else indices
    if is_teacher(place):
        return _of_teacher(place, store, shapes)
    return _of_model(open_predictor(place, checkpoint, device), place, store, shapes)


def _of_model(opened: Predictor, place: Path, store: Store, shapes: Indices) -> Guesses:
    _check_task(place, opened.task)
    dataset = ShapeDataset(
        store.with_up(opened.up), shapes, opened.points, labelled=False, features=opened.features
    )
    device = next(opened.model.parameters()).device
    arrays = opened.task.predictions(opened.model, evaluation_loader(dataset), device)
    probabilities = soften(arrays["probabilities"], opened.temperature)
    learnt = None if is_weights(place) else Run(place).label_file_of(store)
    return Guesses(opened.labels.classes, probabilities, learnt)


def _of_teacher(path: Path, store: Store, shapes: Indices) -> Guesses:
    own, meta = open_teacher_store(path, store)
    task = task_of_lesson(meta["task"])
    _check_task(path, task)
    assert task is not None
    answer = torch.from_numpy(map_output(own, meta, str(task.teacher_answer), shapes)[:]).float()
    unread = np.full(len(shapes), -1)
    arrays = task.teacher_predictions(answer, unread, Labels(own.classes, own.parts), {})
    return Guesses(own.classes, arrays["probabilities"].astype(np.float64), own.label_file)


def _check_task(path: Path, task: Task | None) -> None:
    if task is None or "probabilities" not in task.arrays:
        raise RunError(
            f"{path}: names no classes of shapes; give a run of classification, or for parts"
            " pointmcd label --parts"
        )
