"""Arms against a baseline: mean and deviation over seeds, paired difference, paired test."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pointmcd.errors import RunError
from pointmcd.evaluation.arms import Arm
from pointmcd.evaluation.comparable import check_comparable
from pointmcd.evaluation.grouping import group_runs, name_arms, unequal_settings
from pointmcd.evaluation.measures import CLASSIFICATION, Measure
from pointmcd.evaluation.results import read_result
from pointmcd.evaluation.run_result import Checkpoint, RunResult
from pointmcd.evaluation.statistics import (
    Interval,
    PairedTest,
    bootstrap_difference,
    mcnemar,
    signed_rank,
)


@dataclass(frozen=True)
class Difference:
    """One arm minus the baseline; scores are fractions.

    Attributes:
        arm: the arm's label.
        paired_by_seed: both sides have the same seeds, and seed s is held against seed s;
            otherwise each side's score per shape is averaged over its seeds.
        overall: difference in overall accuracy or instance mIoU with its 95% interval.
        class_score: difference in the mean over classes.
        per_class: difference in the score of each class; None without test shapes.
        test: paired test with one score per shape for all seeds of each side: McNemar's on the
            majority vote, or Wilcoxon's on the mean IoU averaged over the seeds.
        by_seed: the same test for each seed; empty unless paired by seed.
    """

    arm: str
    paired_by_seed: bool
    overall: Interval
    class_score: float
    per_class: dict[str, float | None]
    test: PairedTest
    by_seed: dict[int, PairedTest]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        checkpoint: "last" or "best" (on the validation part).
        count: number of test shapes.
        baseline: the arm that the others are held against, or None.
        arms: the other arms.
        differences: one per arm, in the same order; empty without a baseline.
        warnings: what may make the comparison unfair, to be shown beside it.
    """

    checkpoint: Checkpoint
    count: int
    baseline: Arm | None
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]

    @property
    def all_arms(self) -> tuple[Arm, ...]:
        """The baseline, where there is one, and the arms."""
        return ((self.baseline,) if self.baseline else ()) + self.arms

    @property
    def measure(self) -> Measure:
        """What the task calls its figures."""
        return self.arms[0].measure


def compare(
    runs: Sequence[Path], baseline: Sequence[Path] = (), checkpoint: Checkpoint = "last"
) -> Comparison:
    """Compare evaluated runs with baseline runs on the test split.

    Args:
        runs: run folders of any number of arms and seeds; runs that differ only in their seed
            form an arm.
        baseline: run folders of one arm; without them the arms are only summarised.
        checkpoint: which weights to judge, "last" or "best".

    Raises:
        RunError: when a folder is no evaluated run, the runs are of different tasks, were tested
            on different shapes or trained on stores that do not match, or the baseline is not one
            arm.
    """
    if not runs:
        raise RunError("no runs to compare: give at least one run folder")
    results = [read_result(Path(run), checkpoint) for run in runs]
    references = [read_result(Path(run), checkpoint) for run in baseline]
    check_comparable(references + results)
    reference, arms = _arms(results, references)
    return Comparison(
        checkpoint=checkpoint,
        count=len(results[0].names),
        baseline=reference,
        arms=arms,
        differences=tuple(difference(arm, reference) for arm in arms) if reference else (),
        warnings=tuple(_warnings(arms, reference)),
    )


def difference(arm: Arm, baseline: Arm) -> Difference:
    """Hold one arm against the baseline; both were tested on the same shapes in the same order."""
    paired = arm.seeds == baseline.seeds
    ours, theirs = arm.per_class, baseline.per_class
    return Difference(
        arm=arm.label,
        paired_by_seed=paired,
        overall=bootstrap_difference(arm.scores, baseline.scores, arm.seeds, baseline.seeds),
        class_score=arm.class_score.mean - baseline.class_score.mean,
        per_class={name: _minus(ours[name], theirs[name]) for name in ours},
        test=_test(arm.measure, arm.joint_scores, baseline.joint_scores),
        by_seed={
            one.seed: _test(arm.measure, one.scores, two.scores)
            for one, two in zip(arm.results, baseline.results, strict=True)
        }
        if paired
        else {},
    )


def _test(measure: Measure, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> PairedTest:
    if measure is CLASSIFICATION:
        return mcnemar(ours == 1, theirs == 1)
    return signed_rank(ours, theirs)


def _minus(one: float | None, two: float | None) -> float | None:
    return None if one is None or two is None else one - two


def _arms(
    results: Sequence[RunResult], references: Sequence[RunResult]
) -> tuple[Arm | None, tuple[Arm, ...]]:
    groups, reference = group_runs(results), group_runs(references)
    if len(reference) > 1:
        names = ", ".join(arm.label for arm in name_arms(reference))
        raise RunError(f"the baseline runs are of several arms ({names}); give runs of one arm")
    # Named together: a student may be held against another student, a setting against another.
    named = name_arms(reference + groups)
    if not reference:
        return None, tuple(named)
    baseline, *arms = named
    if baseline.label in {arm.label for arm in arms}:
        baseline = replace(baseline, label=f"{baseline.label} (as baseline)")
    return baseline, tuple(arms)


def _warnings(arms: Sequence[Arm], baseline: Arm | None) -> list[str]:
    everyone = ((baseline,) if baseline else ()) + tuple(arms)
    found = [
        f"{result.path}: the training is not finished"
        for arm in everyone
        for result in arm.results
        if not result.info.get("finished", True)
    ]
    for arm in everyone[1:]:
        unequal = unequal_settings(everyone[0].results[0], arm.results[0])
        found += [f"{everyone[0].label} and {arm.label} differ in {text}" for text in unequal]
        if baseline and arm.seeds != baseline.seeds:
            found.append(
                f"{arm.label} has seeds {_list(arm.seeds)}, {baseline.label}"
                f" {_list(baseline.seeds)}: not paired by seed"
            )
    found += [
        f"{arm.label} has one seed: its spread is unknown"
        for arm in everyone
        if len(arm.seeds) == 1
    ]
    return found


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, np.sort(seeds)))
