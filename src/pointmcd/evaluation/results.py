"""Read the results of evaluated runs."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.errors import PointMCDError, RunError
from pointmcd.tasks.results import Arrays, Checkpoint, RunResult
from pointmcd.training.run import Run

#: Settings that came later, with what runs had before.
_LATER = {"init": None, "label_fraction": 1.0}


def read_result(run: Path, checkpoint: Checkpoint = "last") -> RunResult:
    """Read a run folder and its predictions on the test split.

    Raises:
        RunError: when the folder is no run, is not evaluated, or is damaged; the text names the
            file and says what to do.
        ConfigError: when this installation lacks its task.
    """
    opened = Run(run)
    opened.refuse_pretrained()
    task = opened.task
    again = f"evaluate it with: pointmcd evaluate {run}"
    file = run / f"predictions-test-{checkpoint}.npz"
    arrays = read_arrays(file, ("names", "labels", *task.arrays), again)
    names = arrays["names"].tolist()
    if len(set(names)) != len(names):
        raise RunError(f"{file}: a shape occurs twice; {again}")
    try:  # refuses classes and parts that are out of range
        scored = task.scored(arrays)
        order = np.argsort(arrays["names"], kind="stable")
        rows = order if scored is None else order[scored[order]]
        kept = {name: values[rows] for name, values in arrays.items()}
        labels = kept.pop("labels").astype(np.int64)
        metrics = task.measure(labels, kept, opened.labels)
    except (PointMCDError, ValueError) as error:
        raise RunError(f"{file}: is damaged ({error}); {again}") from error
    settings: dict[str, Any] = _LATER | opened.settings
    shapes = tuple(map(str, kept.pop("names")))
    return RunResult(run, opened.meta, settings, checkpoint, shapes, labels, kept, metrics)


def read_arrays(file: Path, keys: tuple[str, ...], again: str) -> Arrays:
    """Read arrays of one length from an .npz file.

    Args:
        file: as `save_arrays` wrote it.
        keys: names of the arrays.
        again: how to make the file again, to end an error text with.

    Raises:
        RunError: when the file is absent or damaged.
    """
    if not file.is_file():
        raise RunError(f"{file}: does not exist; {again}")
    try:
        with np.load(file, allow_pickle=False) as saved:
            arrays = {key: saved[key] for key in keys}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(f"{file}: is damaged ({error}); {again}") from error
    if len({len(values) for values in arrays.values()}) != 1:
        raise RunError(f"{file}: is damaged (its arrays differ in length); {again}")
    return arrays
