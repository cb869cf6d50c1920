"""What a run makes of corrupted clouds: its predictions, kept in the run folder, and its errors."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointmcd.errors import RunError
from pointmcd.files import replacing
from pointmcd.robustness.registry import CORRUPTION_VERSION, CORRUPTIONS, SEVERITIES


@dataclass(frozen=True)
class CorruptionResult:
    """Predictions of one checkpoint of a run.

    Attributes:
        names: the n shapes.
        labels: int64 [n], true classes.
        clean: int64 [n], predicted classes of the clouds as they are.
        predictions: int64 [5, n] by corruption, one row per severity.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    clean: NDArray[np.int64]
    predictions: Mapping[str, NDArray[np.int64]]

    @property
    def clean_error(self) -> float:
        """Share of the shapes, as they are, whose class is not found."""
        return float((self.clean != self.labels).mean())

    @cached_property
    def errors(self) -> dict[str, list[float]]:
        """The same at each severity of each corruption."""
        return {
            name: (found != self.labels).mean(axis=1).tolist()
            for name, found in self.predictions.items()
        }

    @property
    def mean_error(self) -> float:
        """Mean over corruptions and severities."""
        return float(np.mean(list(self.errors.values())))

    @property
    def scores(self) -> NDArray[np.float64]:
        """Float64 [n]: in which share of its corrupted clouds each shape's class is found."""
        right = [found == self.labels for found in self.predictions.values()]
        return np.asarray(np.mean(right, axis=(0, 1)))

    def only(self, corruptions: Sequence[str]) -> "CorruptionResult":
        """The same of some corruptions."""
        return replace(self, predictions={name: self.predictions[name] for name in corruptions})

    def as_dict(self) -> dict[str, Any]:
        """The figures that the JSON file holds."""
        return {
            "clean_error": self.clean_error,
            "mean_error": self.mean_error,
            "errors": self.errors,
            "count": len(self.names),
        }


def corruption_errors(result: CorruptionResult, baseline: CorruptionResult) -> dict[str, float]:
    """CE of each corruption: the sum of errors over severities, in shares of the baseline's.

    Where the baseline makes no error at all, CE is 1 if the run makes none either, else infinite.
    """
    ratios = {}
    for name, errors in result.errors.items():
        ours, theirs = sum(errors), sum(baseline.errors[name])
        ratios[name] = ours / theirs if theirs else (float("inf") if ours else 1.0)
    return ratios


def mean_corruption_error(result: CorruptionResult, baseline: CorruptionResult) -> float:
    """MCE: the mean of CE over corruptions; below 1 where the run does better."""
    return float(np.mean(list(corruption_errors(result, baseline).values())))


def predictions_file(run: Path, split: str, checkpoint: str) -> Path:
    """Where the predictions of a checkpoint stand."""
    return run / f"corrupted-{split}-{checkpoint}.npz"


def write_predictions(file: Path, result: CorruptionResult) -> None:
    """Write predictions; the names of arrays are `names`, `labels`, `clean` and corruptions'."""
    kept = {name: found.astype(np.int16) for name, found in result.predictions.items()}
    arrays = {"labels": result.labels, "clean": result.clean.astype(np.int16), **kept}
    with replacing(file) as temporary, temporary.open("wb") as opened:
        names = np.array(result.names)
        every: dict[str, Any] = {"version": CORRUPTION_VERSION, "names": names, **arrays}
        np.savez(opened, **every)


def read_predictions(run: Path, split: str, checkpoint: str) -> CorruptionResult:
    """Read what `evaluate --corrupt` wrote.

    Raises:
        RunError: when it is absent, damaged, or of clouds that this version makes otherwise.
    """
    file = predictions_file(run, split, checkpoint)
    again = f"pointmcd evaluate {run} --corrupt all"
    if not file.is_file():
        raise RunError(f"{file}: does not exist; make it with: {again}")
    try:
        with np.load(file, allow_pickle=False) as saved:
            arrays = {key: saved[key] for key in saved.files}
        version = int(arrays.pop("version"))
        names = tuple(map(str, arrays.pop("names")))
        labels, clean = (arrays.pop(key).astype(np.int64) for key in ("labels", "clean"))
        found = {name: arrays[name].astype(np.int64) for name in CORRUPTIONS if name in arrays}
        shapes = {labels.shape, clean.shape, *(one.shape[1:] for one in found.values())}
        if shapes != {(len(names),)} or {len(one) for one in found.values()} != {len(SEVERITIES)}:
            raise ValueError("its arrays do not fit each other")
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RunError(f"{file}: is damaged ({error}); make it again with: {again}") from error
    if version != CORRUPTION_VERSION:
        raise RunError(f"{file}: of corruptions that have changed since; run: {again}")
    return CorruptionResult(names, labels, clean, found)


def check_same_clouds(pairs: Sequence[tuple[Path, CorruptionResult]]) -> None:
    """Make sure that runs were shown the same clouds.

    Raises:
        RunError: naming the first two that were not.
    """
    first, one = pairs[0]
    for other, two in pairs[1:]:
        if two.names != one.names or (two.labels != one.labels).any():
            raise RunError(f"{first} and {other}: evaluated on different shapes; use one store")
        if odd := sorted(set(one.predictions) ^ set(two.predictions)):
            raise RunError(
                f"{first} and {other}: {odd[0]} was evaluated in only one; run pointmcd evaluate"
                " RUN --corrupt all for both"
            )
