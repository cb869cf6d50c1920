"""Read the results of evaluated runs."""

import zipfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.errors import FormatError, PointMCDError, RunError, own_text
from pointmcd.evaluation.shape_sets import FOLDS
from pointmcd.evaluation.voting import suffix
from pointmcd.tasks.results import Arrays, Checkpoint, RunResult
from pointmcd.training.calibration import temperature_of
from pointmcd.training.config import LATER_FIELDS
from pointmcd.training.run import Run

_UNREADABLE = "not the arrays of an evaluation"


def read_result(
    run: str | Path, checkpoint: Checkpoint = "last", voting: int = 1, split: str = "test"
) -> RunResult:
    """Read a run folder and its predictions on the shapes of a split, of so many votes each.

    Raises:
        RunError: when the folder is not a run, is not evaluated (so), or is damaged.
        ConfigError: when this installation lacks its task.
    """
    run = Path(run)
    opened = Run(run)
    opened.refuse_pretrained()
    if split == FOLDS and checkpoint == "best":
        raise RunError(f"{run}: its folds chose their best epoch on these shapes; take the last")
    opened.require(checkpoint)
    task = opened.task
    again = f"evaluate it with: pointmcd evaluate {run}" + (f" --voting {voting}" * (voting > 1))
    again += f" --split {split}" * (split != "test")
    file = run / f"predictions-{split}-{checkpoint}{suffix(voting)}.npz"
    if not file.exists():
        opened.refuse_unfinished()
        if split == "test":
            _refuse_untested(opened)
    every = read_arrays(file, again)
    if not np.array_equal(every.get("voting", np.array(1)), voting):
        raise RunError(f"{file}: holds results of another number of votes; {again}")
    try:  # refuses classes and parts that are out of range
        kept = {name: every[name] for name in ("names", "labels", *task.arrays)}
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
    except (PointMCDError, ValueError, KeyError) as error:
        raise RunError(f"{file}: is damaged ({own_text(error, _UNREADABLE)}); {again}") from error
    settings: dict[str, Any] = (
        {"init": None, "unlabelled": [], "features": []} | LATER_FIELDS | opened.settings
    )
    shapes = tuple(map(str, kept.pop("names")))
    temperature = 1.0 if checkpoint == "teacher" else temperature_of(opened, checkpoint)
    folds = int(every.get("folds", 0))
    facts = (shapes, labels, kept, metrics, voting, temperature, folds)
    return RunResult(run, opened.meta, settings, checkpoint, *facts)


def _refuse_untested(run: Run) -> None:
    """Refuse a run that `evaluate` would refuse: its store has no test split."""
    try:
        tested = len(run.open_store().indices("test"))
    except PointMCDError:  # it is gone, or has changed: evaluate says so
        return
    if not tested:
        raise RunError(
            f"{run.path}: has nothing to be tested on: its store has no test split; add --folds K"
            " to the command that trained it, then compare with --split folds"
        )


def only(result: RunResult, names: Collection[str]) -> RunResult:
    """Return the result on some of its shapes."""
    rows = np.array([i for i, name in enumerate(result.names) if name in names])
    arrays = {name: values[rows] for name, values in result.arrays.items()}
    run, labels = Run(result.path), result.labels[rows]
    return replace(
        result,
        names=tuple(result.names[i] for i in rows),
        labels=labels,
        arrays=arrays,
        metrics=run.task.measure(labels, arrays, run.labels),
    )


def has_teacher(run: Path, split: str = "test") -> bool:
    """Return whether a run was evaluated beside a teacher that does the task itself."""
    return (run / f"predictions-{split}-teacher.npz").is_file()


def read_arrays(file: Path, again: str) -> Arrays:
    """Read the arrays that `save_arrays` wrote into an .npz file.

    Raises:
        RunError: when the file is absent or damaged; the text ends with `again`, how to make it.
    """
    if not file.is_file():
        raise RunError(f"{file}: does not exist; {again}")
    try:
        with np.load(file, allow_pickle=False) as saved:
            return dict(saved)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(f"{file}: is damaged ({own_text(error, _UNREADABLE)}); {again}") from error
