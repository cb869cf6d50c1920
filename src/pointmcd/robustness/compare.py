"""Arms held against a baseline on corrupted clouds, over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pointmcd.errors import RunError
from pointmcd.evaluation.arms import Arm
from pointmcd.evaluation.compare import Comparison, compare
from pointmcd.evaluation.run_result import Checkpoint
from pointmcd.evaluation.statistics import Interval, Spread, bootstrap_difference
from pointmcd.robustness.result import (
    CorruptionResult,
    check_same_clouds,
    corruption_errors,
    mean_corruption_error,
    read_predictions,
)
from pointmcd.training.run import Run


@dataclass(frozen=True)
class CorruptedArm:
    """How one arm does on corrupted clouds; errors are fractions.

    Attributes:
        label: its name in the comparison.
        seeds: of its runs.
        results: one per seed.
        clean: error on the clouds as they are.
        error: mean error over corruptions and severities.
        mce: mean corruption error in shares of the baseline's, seed by seed where both sides have
            the same seeds, else against the mean of its seeds; None without a baseline.
        ratios: CE of each corruption, mean over seeds; None without a baseline.
        difference: `error` minus the baseline's with its 95% interval; None for the baseline.
    """

    label: str
    seeds: tuple[int, ...]
    results: tuple[CorruptionResult, ...]
    clean: Spread
    error: Spread
    mce: Spread | None = None
    ratios: dict[str, float] | None = None
    difference: Interval | None = None

    @property
    def scores(self) -> NDArray[np.float64]:
        """Float64 [S, n]: share of each shape's corrupted clouds that are told right, by seed."""
        return np.stack([result.scores for result in self.results])


@dataclass(frozen=True)
class CorruptedComparison:
    """What `compare_corrupted` found: the comparison on clean clouds, and the arms on others.

    The baseline comes first where there is one.
    """

    clean: Comparison
    arms: tuple[CorruptedArm, ...]


def compare_corrupted(
    runs: Sequence[Path], baseline: Sequence[Path] = (), checkpoint: Checkpoint = "last"
) -> CorruptedComparison:
    """Compare runs with baseline runs on corrupted test clouds.

    Args:
        runs: run folders of any number of arms and seeds, evaluated without and with `--corrupt`.
        baseline: run folders of one arm.
        checkpoint: which weights to judge, "last" or "best".

    Raises:
        RunError: for what `compare` refuses, when a run was not evaluated on corrupted clouds, or
            not on the same as the others.
    """
    clean = compare(runs, baseline, checkpoint)
    arms = [_read(arm, checkpoint) for arm in clean.all_arms]
    check_same_clouds(
        [
            (run.path, result)
            for arm, known in zip(clean.all_arms, arms, strict=True)
            for run, result in zip(arm.results, known.results, strict=True)
        ]
    )
    if clean.baseline is not None:
        reference = arms[0]
        arms = [_against(arm, reference, arm is not reference) for arm in arms]
    return CorruptedComparison(clean, tuple(arms))


def ratios_against(
    baseline: Path, run: Path, result: CorruptionResult, split: str, checkpoint: Checkpoint
) -> dict[str, float]:
    """CE of each corruption of one run against another, which may have been shown more of them.

    Raises:
        RunError: when the other was not shown all of them, or is of another store.
    """
    stores = {Run(path).meta["store_fingerprint"] for path in (run, baseline)}
    if len(stores) > 1:
        raise RunError(f"{run} and {baseline}: trained on different stores; use runs of one")
    theirs = read_predictions(baseline, split, checkpoint)
    shared = [name for name in result.predictions if name in theirs.predictions]
    check_same_clouds([(run, result), (baseline, theirs.only(shared))])
    return corruption_errors(result, theirs)


def _read(arm: Arm, checkpoint: Checkpoint) -> CorruptedArm:
    results = tuple(read_predictions(run.path, "test", checkpoint) for run in arm.results)
    return CorruptedArm(
        label=arm.label,
        seeds=arm.seeds,
        results=results,
        clean=Spread.of([result.clean_error for result in results]),
        error=Spread.of([result.mean_error for result in results]),
    )


def _against(arm: CorruptedArm, baseline: CorruptedArm, differs: bool) -> CorruptedArm:
    paired = arm.seeds == baseline.seeds
    references = baseline.results if paired else (_joined(baseline.results),) * len(arm.results)
    pairs = list(zip(arm.results, references, strict=True))
    every = [corruption_errors(ours, theirs) for ours, theirs in pairs]
    scores = bootstrap_difference(arm.scores, baseline.scores, arm.seeds, baseline.seeds)
    return CorruptedArm(
        *(arm.label, arm.seeds, arm.results, arm.clean, arm.error),
        mce=Spread.of([mean_corruption_error(ours, theirs) for ours, theirs in pairs]),
        ratios={name: float(np.mean([one[name] for one in every])) for name in every[0]},
        # Scores are shares that are right: of errors the sign and the ends are the other way.
        difference=Interval(-scores.mean, -scores.high, -scores.low) if differs else None,
    )


def _joined(results: Sequence[CorruptionResult]) -> CorruptionResult:
    """All seeds as one run on so many times the shapes: its errors are the means over seeds."""
    return CorruptionResult(
        names=tuple(name for result in results for name in result.names),
        labels=np.concatenate([result.labels for result in results]),
        clean=np.concatenate([result.clean for result in results]),
        predictions={
            name: np.concatenate([result.predictions[name] for result in results], axis=1)
            for name in results[0].predictions
        },
    )
