"""Scores of a run on corrupted clouds, kept in the run folder, and its errors."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.errors import RunError
from pointmcd.evaluation.compare import Comparison, compare
from pointmcd.evaluation.evaluate import save_arrays
from pointmcd.robustness.registry import CORRUPTION_VERSION, CORRUPTIONS, SEVERITIES
from pointmcd.tasks.results import Checkpoint, RunResult
from pointmcd.tasks.task import Scoring
from pointmcd.training.run import Run
from pointmcd.typing import Doubles, Indices


@dataclass(frozen=True)
class CorruptionResult:
    """Scores of one checkpoint of a run on corrupted clouds, as metrics.

    Attributes:
        names: the n shapes.
        labels: int64 [n], true classes.
        clean: float64 [n], score of each cloud as it is, 1 (right) or 0 (wrong) for classes.
        found: float64 [5, n] by corruption: the scores at each severity.
    """

    names: tuple[str, ...]
    labels: Indices
    clean: Doubles
    found: Mapping[str, Doubles]

    @classmethod
    def of(
        cls,
        names: tuple[str, ...],
        labels: Indices,
        clean: Doubles,
        found: Mapping[str, Sequence[Doubles] | Doubles],
    ) -> "CorruptionResult":
        """Put corruptions into the order of `CORRUPTIONS`."""
        ordered = {name: np.asarray(found[name]) for name in CORRUPTIONS if name in found}
        return cls(names, labels, clean, ordered)

    @property
    def count(self) -> int:
        """The number of shapes."""
        return len(self.names)

    @property
    def clean_error(self) -> float:
        """Mean error on the shapes as they are."""
        return 1 - float(self.clean.mean())

    @cached_property
    def errors(self) -> dict[str, list[float]]:
        """Mean error at each severity of each corruption."""
        return {name: (1 - found.mean(axis=1)).tolist() for name, found in self.found.items()}

    @property
    def mean_error(self) -> float:
        """Mean over corruptions and severities."""
        return float(np.mean(list(self.errors.values())))

    @property
    def scores(self) -> Doubles:
        """Float64 [n]: the mean score of each shape's corrupted clouds."""
        return np.asarray(np.mean(list(self.found.values()), axis=(0, 1)))

    @property
    def main(self) -> dict[str, float]:
        """Score on corrupted clouds, and on clean ones."""
        return {"corrupted": 1 - self.mean_error, "clean": 1 - self.clean_error}

    @property
    def per_class(self) -> dict[str, float | None]:
        """Score on each corruption."""
        return {name: 1 - float(np.mean(errors)) for name, errors in self.errors.items()}

    def only(self, corruptions: Sequence[str]) -> "CorruptionResult":
        """The result for some of the corruptions."""
        return replace(self, found={name: self.found[name] for name in corruptions})

    def added_to(self, before: "CorruptionResult") -> "CorruptionResult":
        """The result together with corruptions that only an earlier result has."""
        return self.of(self.names, self.labels, self.clean, {**before.found, **self.found})

    def as_dict(self) -> dict[str, Any]:
        """Values for the JSON file."""
        return {
            "clean_error": self.clean_error,
            "mean_error": self.mean_error,
            "errors": self.errors,
            "count": self.count,
        }


def corruption_errors(
    errors: Mapping[str, Sequence[float]], baseline: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """CE of each corruption: the sum of errors over severities, divided by the baseline's.

    Where the baseline makes no error at all, CE is 1 if the run makes none either, else infinite.
    """
    sums = {name: (sum(ours), sum(baseline[name])) for name, ours in errors.items()}
    return {
        name: ours / theirs if theirs else (float("inf") if ours else 1.0)
        for name, (ours, theirs) in sums.items()
    }


def write_corrupted(
    run: Path, split: str, checkpoint: str, result: CorruptionResult, weights: str
) -> None:
    """Write `corrupted-<split>-<checkpoint>.npz`; `weights` says which weights made it."""
    about = {"version": np.array(CORRUPTION_VERSION), "weights": np.array(weights)}
    shapes = {"names": np.array(result.names), "labels": result.labels, "clean": result.clean}
    file = run / f"corrupted-{split}-{checkpoint}.npz"
    save_arrays(file, {**about, **shapes, **result.found})


def read_corrupted(run: Path, split: str, checkpoint: str) -> tuple[CorruptionResult, str]:
    """Read what `evaluate --corrupt` wrote, and which weights made it.

    Raises:
        RunError: when it is absent, damaged, or of clouds that this version makes otherwise.
    """
    file = run / f"corrupted-{split}-{checkpoint}.npz"
    again = f"pointmcd evaluate {run} --corrupt all"
    if not file.is_file():
        raise RunError(f"{file}: does not exist; make it with: {again}")
    try:
        with np.load(file, allow_pickle=False) as saved:
            arrays = {key: saved[key] for key in saved.files}
        version, weights = int(arrays.pop("version")), str(arrays.pop("weights"))
        names = tuple(map(str, arrays.pop("names")))
        labels, clean = arrays.pop("labels").astype(np.int64), arrays.pop("clean")
        result = CorruptionResult.of(names, labels, clean, arrays)
        shapes = {(len(SEVERITIES), *labels.shape), *(one.shape for one in result.found.values())}
        if len(shapes) > 1 or labels.shape != clean.shape != (len(names),):
            raise ValueError("its arrays do not fit each other")
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RunError(f"{file}: is damaged ({error}); make it again with: {again}") from error
    if version != CORRUPTION_VERSION:
        raise RunError(f"{file}: of corruptions that have changed since; run: {again}")
    return result, weights


def compare_corrupted(
    runs: Sequence[Path], baseline: Sequence[Path] = (), checkpoint: Checkpoint = "last"
) -> Comparison:
    """Compare runs with baseline runs on corrupted test clouds: see `compare`.

    The score of a shape is the mean over its corrupted clouds.

    Raises:
        RunError: for what `compare` refuses, when a run was not evaluated on corrupted clouds, or
            not on the same as the others.
    """
    comparison = compare(runs, baseline, checkpoint, _read_result, Scoring())
    results = [result for one in comparison.all_variants for result in one.results]
    for other in results[1:]:
        check_same_corruptions(results[0].path, results[0].metrics, other.path, other.metrics)
    return comparison


def check_same_corruptions(first: Path, one: Any, second: Path, two: Any) -> None:
    """Refuse results that are not of the same corruptions.

    Raises:
        RunError: naming a corruption that only one was evaluated on.
    """
    if odd := sorted(set(one.found) ^ set(two.found)):
        raise RunError(
            f"{first} and {second}: {odd[0]} was evaluated in only one; run pointmcd evaluate RUN"
            " --corrupt all for both"
        )


def _read_result(run: Path, checkpoint: Checkpoint) -> RunResult:
    opened = Run(run)
    found, _ = read_corrupted(run, "test", checkpoint)
    order = np.argsort(np.array(found.names), kind="stable")
    kept = {name: scores[:, order] for name, scores in found.found.items()}
    names = tuple(found.names[i] for i in order)
    sorted_result = CorruptionResult(names, found.labels[order], found.clean[order], kept)
    return RunResult(
        run, opened.meta, opened.settings, checkpoint, names, found.labels[order], {}, sorted_result
    )
