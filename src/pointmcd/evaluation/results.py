"""Read the results of evaluated runs."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.errors import FormatError, PointMCDError, RunError, own_text
from pointmcd.tasks.results import Arrays, Checkpoint, RunResult
from pointmcd.training.config import LATER_FIELDS
from pointmcd.training.run import Run

_UNREADABLE = "not the arrays of an evaluation"


def read_result(run: Path, checkpoint: Checkpoint = "last") -> RunResult:
    """Read a run folder and its predictions on the test split.

    Raises:
        RunError: when the folder is no run, is not evaluated, or is damaged.
        ConfigError: when this installation lacks its task.
    """
    opened = Run(run)
    opened.refuse_pretrained()
    task = opened.task
    again = f"evaluate it with: pointmcd evaluate {run}"
    file = run / f"predictions-test-{checkpoint}.npz"
    kept = read_arrays(file, again, ("names", "labels", *task.arrays))
    try:  # refuses classes and parts that are out of range
        if len({len(values) for values in kept.values()}) != 1:
            raise FormatError("its arrays differ in length")
        names = kept["names"]
        if len(np.unique(names)) != len(names):
            raise FormatError("a shape occurs twice")
        order = np.argsort(names, kind="stable")
        scored = task.scored(kept)
        rows = order if scored is None else order[scored[order]]
        kept = {name: values[rows] for name, values in kept.items()}
        labels = kept.pop("labels").astype(np.int64)
        metrics = task.measure(labels, kept, opened.labels)
    except (PointMCDError, ValueError) as error:
        raise RunError(f"{file}: is damaged ({own_text(error, _UNREADABLE)}); {again}") from error
    settings: dict[str, Any] = {"init": None, "unlabelled": []} | LATER_FIELDS | opened.settings
    shapes = tuple(map(str, kept.pop("names")))
    return RunResult(run, opened.meta, settings, checkpoint, shapes, labels, kept, metrics)


def has_teacher(run: Path) -> bool:
    """Return whether a run was evaluated beside a teacher that does the task itself."""
    return (run / "predictions-test-teacher.npz").is_file()


def read_arrays(file: Path, again: str, keys: tuple[str, ...] = ()) -> Arrays:
    """Read those arrays, by default all, that `save_arrays` wrote into an .npz file.

    Raises:
        RunError: when the file is absent or damaged; the text ends with `again`, how to make it.
    """
    if not file.is_file():
        raise RunError(f"{file}: does not exist; {again}")
    try:
        with np.load(file, allow_pickle=False) as saved:
            return {key: saved[key] for key in keys or saved.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(f"{file}: is damaged ({own_text(error, _UNREADABLE)}); {again}") from error
