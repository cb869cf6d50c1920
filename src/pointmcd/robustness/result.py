"""Scores of a run on corrupted clouds, kept in the run folder, and its errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.errors import FormatError, RunError, own_text
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import Comparison
from pointmcd.evaluation.evaluate import save_arrays
from pointmcd.evaluation.results import read_arrays
from pointmcd.files import write_json
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

    def __post_init__(self) -> None:
        """Put corruptions into the order of `CORRUPTIONS`."""
        ordered = {name: self.found[name] for name in CORRUPTIONS if name in self.found}
        object.__setattr__(self, "found", ordered)

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
    """Write `corrupted-<split>-<checkpoint>` `.npz` and `.json`; `weights` says whose they are."""
    about = {"version": np.array(CORRUPTION_VERSION), "weights": np.array(weights)}
    shapes = {"names": np.array(result.names), "labels": result.labels, "clean": result.clean}
    stem = f"corrupted-{split}-{checkpoint}"
    save_arrays(run / f"{stem}.npz", {**about, **shapes, **result.found})
    text = {"split": split, "checkpoint": checkpoint, "version": CORRUPTION_VERSION}
    write_json(run / f"{stem}.json", {**text, **result.as_dict()})


def read_corrupted(
    run: Path, split: str, checkpoint: str, wanted: Sequence[str] = ()
) -> tuple[CorruptionResult, str]:
    """Read what `evaluate --corrupt` wrote, and which weights made it.

    Args:
        run: the folder of the run.
        split: that was evaluated.
        checkpoint: "last" or "best".
        wanted: corruptions that must be there.

    Raises:
        RunError: when it is absent, damaged, of clouds that this version makes otherwise, or lacks
            a corruption.
    """
    file = run / f"corrupted-{split}-{checkpoint}.npz"
    names_wanted = "all" if {*wanted} in (set(), {*CORRUPTIONS}) else ",".join(wanted)
    of_split = "" if split == "test" else f" --split {split}"
    again = f"make it with: pointmcd evaluate {run} --corrupt {names_wanted}{of_split}"
    arrays = read_arrays(file, again)
    try:
        version, weights = int(arrays.pop("version")), str(arrays.pop("weights"))
        names = tuple(map(str, arrays.pop("names")))
        labels, clean = arrays.pop("labels").astype(np.int64), arrays.pop("clean")
        result = CorruptionResult(names, labels, clean, arrays)
        shapes = {(len(SEVERITIES), *labels.shape), *(one.shape for one in result.found.values())}
        if len(shapes) > 1 or not labels.shape == clean.shape == (len(names),):
            raise FormatError("its arrays do not fit each other")
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{file}: is damaged ({own_text(error, 'its arrays do not fit')}); {again}"
        ) from error
    if version != CORRUPTION_VERSION:
        raise RunError(f"{file}: of corruptions that have changed since; {again}")
    if lacking := [name for name in wanted if name not in result.found]:
        raise RunError(f"{file}: lacks {', '.join(lacking)}; {again}")
    return result, weights


def ratios_against(
    baseline: Path, run: Path, result: CorruptionResult, split: str, checkpoint: str
) -> dict[str, float]:
    """CE of each corruption of one run; the baseline may have been evaluated on more of them.

    Raises:
        RunError: when the other was not shown all of them, or is of another store.
    """
    stores = {Run(path).meta["store_fingerprint"] for path in (run, baseline)}
    if len(stores) > 1:
        raise RunError(f"{run} and {baseline}: trained on different stores; use runs of one")
    theirs, _ = read_corrupted(baseline, split, checkpoint, list(result.found))
    return corruption_errors(result.errors, theirs.errors)


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
    first, *others = (result for one in comparison.all_variants for result in one.results)
    for other in others:
        odd = first.metrics.per_class.keys() ^ other.metrics.per_class.keys()
        _refuse_odd(first.path, other.path, odd)
    return comparison


def _refuse_odd(first: Path, second: Path, odd: set[str]) -> None:
    if odd:
        raise RunError(
            f"{first} and {second}: {min(odd)} was evaluated in only one; run pointmcd evaluate"
            f" RUN --corrupt {','.join(sorted(odd))} for both"
        )


def _read_result(run: Path, checkpoint: Checkpoint) -> RunResult:
    opened, (found, _) = Run(run), read_corrupted(run, "test", checkpoint)
    order = np.argsort(np.array(found.names), kind="stable")
    names, labels = tuple(found.names[i] for i in order), found.labels[order]
    kept = {name: scores[:, order] for name, scores in found.found.items()}
    metrics = CorruptionResult(names, labels, found.clean[order], kept)
    info, config = opened.meta, opened.settings
    return RunResult(run, info, config, checkpoint, names, labels, {}, metrics)
