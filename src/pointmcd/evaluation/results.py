"""What a finished run left behind, read side: its description and test predictions."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pointmcd.errors import RunError
from pointmcd.evaluation.metrics import ClassificationMetrics, classification_metrics
from pointmcd.training.run import Run

Checkpoint = Literal["last", "best"]

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
    opened = Run(run)
    file = run / f"predictions-test-{checkpoint}.npz"
    arrays = _read_predictions(file, run)
    order = np.argsort(arrays["names"], kind="stable")
    names = tuple(str(name) for name in arrays["names"][order])
    if len(set(names)) != len(names):
        raise RunError(f"{file}: a shape occurs twice; evaluate again: pointmcd evaluate {run}")
    return RunResult(
        path=run,
        info=opened.meta,
        config=opened.settings,
        checkpoint=checkpoint,
        names=names,
        labels=arrays["labels"][order].astype(np.int64),
        predictions=arrays["predictions"][order].astype(np.int64),
        probabilities=arrays["probabilities"][order].astype(np.float32),
    )


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
