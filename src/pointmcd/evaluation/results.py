"""What a finished run left behind, read side."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointmcd.errors import PointMCDError, RunError
from pointmcd.evaluation.run_result import (
    Checkpoint,
    ClassificationResult,
    RunResult,
    SegmentationResult,
)
from pointmcd.metrics.part_iou import UNLABELLED
from pointmcd.training.run import Run

#: Which arrays a predictions file holds beside names and labels, by task.
_ARRAYS = {
    "classification": ("predictions", "probabilities"),
    "segmentation": ("truth", "predictions"),
}

#: Settings that came later, with what runs had before.
_LATER = {"init": None, "label_fraction": 1.0}


def read_result(run: Path, checkpoint: Checkpoint = "last") -> RunResult:
    """Read a run folder and its predictions on the test split.

    Raises:
        RunError: when the folder is no run, is not evaluated, or is damaged; the text names the
            file and says what to do.
    """
    opened = Run(run)
    opened.refuse_pretrained()
    task = opened.meta.get("task")
    if task not in _ARRAYS:
        raise RunError(f"{run}: its task is {task}, use one of {', '.join(_ARRAYS)}; train again")
    file = run / f"predictions-test-{checkpoint}.npz"
    arrays = _read_predictions(file, run, ("names", "labels", *_ARRAYS[task]))
    names = arrays["names"].tolist()
    if len(set(names)) != len(names):
        raise RunError(f"{file}: a shape occurs twice; evaluate again: pointmcd evaluate {run}")
    try:
        result = _result(opened, checkpoint, arrays)
        _ = result.score  # refuses classes and parts that are out of range
    except (PointMCDError, ValueError) as error:
        raise RunError(_damaged(file, error, run)) from error
    return result


def _result(run: Run, checkpoint: Checkpoint, arrays: dict[str, NDArray[Any]]) -> RunResult:
    order = np.argsort(arrays["names"], kind="stable")
    if "truth" in arrays:
        order = order[(arrays["truth"] != UNLABELLED).any(axis=1)[order]]
    rows = {key: values[order] for key, values in arrays.items()}
    names, labels = tuple(map(str, rows["names"])), rows["labels"].astype(np.int64)
    common = (run.path, run.meta, _LATER | run.settings, checkpoint, names, labels)
    predictions = rows["predictions"].astype(np.int64)
    if "truth" in rows:
        return SegmentationResult(*common, rows["truth"].astype(np.int64), predictions)
    return ClassificationResult(*common, predictions, rows["probabilities"].astype(np.float32))


def _read_predictions(file: Path, run: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    if not file.is_file():
        raise RunError(f"{file}: does not exist; evaluate it with: pointmcd evaluate {run}")
    try:
        with np.load(file, allow_pickle=False) as saved:
            arrays = {key: saved[key] for key in keys}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(_damaged(file, error, run)) from error
    if len({len(values) for values in arrays.values()}) != 1:
        raise RunError(_damaged(file, "its arrays differ in length", run))
    return arrays


def _damaged(file: Path, why: object, run: Path) -> str:
    return f"{file}: is damaged ({why}); evaluate it with: pointmcd evaluate {run}"
