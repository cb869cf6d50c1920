"""What a finished run left behind, read side: its description, history and test predictions."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from pointmcd.errors import PointMCDError, RunError
from pointmcd.evaluation.metrics import ClassificationMetrics, classification_metrics
from pointmcd.files import read_json

Checkpoint = Literal["last", "best"]

#: Raised whenever run folders change in a way that older code would misread.
RUN_FORMAT = 1

_RUN_KEYS = ("arm", "classes", "seed", "store", "store_fingerprint", "student")
_ARRAYS = ("names", "labels", "predictions", "probabilities")


@dataclass(frozen=True)
class RunResult:
    """One evaluated run; shapes are sorted by name, so that rows of two runs can be compared.

    Attributes:
        path: the run folder.
        info: the content of run.json.
        config: the content of config.yaml.
        checkpoint: which weights made the predictions, "last" or "best".
        names: the n test shapes.
        labels: int64 [n], true classes.
        predictions: int64 [n], predicted classes.
        probabilities: float32 [n, K].
    """

    path: Path
    info: dict[str, Any]
    config: dict[str, Any]
    checkpoint: Checkpoint
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @property
    def arm(self) -> str:
        """What was varied: "baseline", "distilled", or a control."""
        return str(self.info["arm"])

    @property
    def student(self) -> str:
        """Name of the point encoder."""
        return str(self.info["student"])

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.info["seed"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names; class i is `classes[i]`."""
        return tuple(self.info["classes"])

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Bool [n]: the predicted class is the true one."""
        right: NDArray[np.bool_] = self.predictions == self.labels
        return right

    @cached_property
    def metrics(self) -> ClassificationMetrics:
        """Accuracies and confusion of the predictions."""
        return classification_metrics(self.labels, self.predictions, self.classes)


def read_result(run: Path, checkpoint: Checkpoint = "last") -> RunResult:
    """Read a run folder and its predictions on the test split.

    Raises:
        RunError: when the folder is no run, is not evaluated, or is damaged; the text names the
            file and says what to do.
    """
    info, config = read_run(run)
    file = run / f"predictions-test-{checkpoint}.npz"
    arrays = _read_predictions(file, run)
    order = np.argsort(arrays["names"], kind="stable")
    names = tuple(str(name) for name in arrays["names"][order])
    if len(set(names)) != len(names):
        raise RunError(f"{file}: a shape occurs twice; evaluate again: pointmcd evaluate {run}")
    return RunResult(
        path=run,
        info=info,
        config=config,
        checkpoint=checkpoint,
        names=names,
        labels=arrays["labels"][order].astype(np.int64),
        predictions=arrays["predictions"][order].astype(np.int64),
        probabilities=arrays["probabilities"][order].astype(np.float32),
    )


def read_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read run.json and config.yaml of a run folder.

    Raises:
        RunError: when the folder is no run of this version.
    """
    file = run / "run.json"
    if not file.is_file():
        raise RunError(f"{run}: is not a run folder (no run.json); make one with pointmcd train")
    info = _read_json(file)
    found = info.get("format") if isinstance(info, dict) else None
    if found != RUN_FORMAT:
        raise RunError(f"{file}: run format {found}, this version reads {RUN_FORMAT}; train again")
    missing = [key for key in _RUN_KEYS if key not in info]
    if missing:
        raise RunError(f"{file}: lacks {', '.join(missing)}; train again")
    return dict(info), _read_config(run / "config.yaml")


def read_history(run: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl: one record per epoch, empty where there is none.

    A last line that a killed run left half-written is dropped.

    Raises:
        RunError: when another line is damaged.
    """
    file = run / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise RunError(f"{file}: line {number} is not JSON; train again") from error
    return records


def check_comparable(results: Sequence[RunResult]) -> None:
    """Make sure that all runs were tested on the same shapes with the same store settings.

    Raises:
        RunError: naming the first two runs that differ, and in what.
    """
    first = results[0]
    for other in results[1:]:
        pair = f"{first.path} and {other.path}"
        if other.classes != first.classes:
            raise RunError(f"{pair}: trained on different classes; compare runs of one store")
        if other.info["store_fingerprint"] != first.info["store_fingerprint"]:
            raise RunError(
                f"{pair}: trained on stores of different rig, renderer, points or seed"
                f" ({first.info['store_fingerprint']}, {other.info['store_fingerprint']});"
                " compare runs of one store"
            )
        _check_same_shapes(pair, first, other)


def _check_same_shapes(pair: str, first: RunResult, other: RunResult) -> None:
    if other.names != first.names:
        odd = sorted(set(first.names) ^ set(other.names))
        raise RunError(
            f"{pair}: tested on different shapes ({len(odd)} are in only one, such as {odd[0]});"
            " compare runs of one store"
        )
    wrong = np.flatnonzero(other.labels != first.labels)
    if len(wrong):
        raise RunError(
            f"{pair}: {first.names[wrong[0]]} has another true class; compare runs of one store"
        )


def _read_json(file: Path) -> Any:
    try:
        return read_json(file)
    except PointMCDError as error:
        raise RunError(str(error)) from error


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunError(f"{file}: cannot be read as YAML; train again") from error
    if not isinstance(config, dict):
        raise RunError(f"{file}: holds no settings; train again")
    return config


def _read_predictions(file: Path, run: Path) -> dict[str, NDArray[Any]]:
    again = f"evaluate it with: pointmcd evaluate {run}"
    if not file.is_file():
        raise RunError(f"{file}: does not exist; {again}")
    try:
        with np.load(file, allow_pickle=False) as saved:
            arrays = {key: saved[key] for key in _ARRAYS}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(f"{file}: is damaged ({error}); {again}") from error
    if len({len(values) for values in arrays.values()}) != 1:
        raise RunError(f"{file}: its arrays differ in length; {again}")
    return arrays
