"""Runs grouped into arms: the same settings trained with several seeds."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointmcd.errors import RunError
from pointmcd.evaluation.metrics import per_class_accuracy
from pointmcd.evaluation.results import RunResult
from pointmcd.evaluation.statistics import Spread, majority_vote
from pointmcd.training.config import DISTILLATION_FIELDS, PLACE_FIELDS

#: Settings that cannot change what is learnt, and the store's place (its fingerprint counts).
_NEUTRAL = PLACE_FIELDS | {"seed"}
#: Settings that only say which arm a run belongs to.
_ARM = DISTILLATION_FIELDS | {"teacher"}


@dataclass(frozen=True)
class Arm:
    """The runs of one arm, one per seed, sorted by seed.

    Attributes:
        label: short name, unique in a comparison.
        results: at least one run.
    """

    label: str
    results: tuple[RunResult, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each run."""
        return tuple(result.seed for result in self.results)

    @property
    def overall_accuracy(self) -> Spread:
        """Share of right answers, over seeds."""
        return Spread.of([result.metrics.overall_accuracy for result in self.results])

    @property
    def class_accuracy(self) -> Spread:
        """Mean class accuracy, over seeds."""
        return Spread.of([result.metrics.class_accuracy for result in self.results])

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Bool [S, n]: right or wrong per seed and shape."""
        return np.stack([result.correct for result in self.results])

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Float32 [n, K], mean over seeds."""
        mean: NDArray[np.float32] = np.mean([r.probabilities for r in self.results], axis=0)
        return mean

    @cached_property
    def vote(self) -> NDArray[np.int64]:
        """Int64 [n]: the class that most seeds chose."""
        return majority_vote(
            np.stack([result.predictions for result in self.results]),
            np.stack([result.probabilities for result in self.results]),
        )

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Int64 [K, K], summed over seeds."""
        total: NDArray[np.int64] = np.sum([r.metrics.confusion for r in self.results], axis=0)
        return total

    @property
    def per_class(self) -> dict[str, float | None]:
        """Accuracy of each class, mean over seeds; None for a class without test shapes."""
        return per_class_accuracy(self.confusion, self.results[0].classes)


def group_runs(results: Sequence[RunResult]) -> list[tuple[RunResult, ...]]:
    """Group runs that differ in nothing but their seed, in order of first appearance.

    Raises:
        RunError: when one group holds two runs of one seed.
    """
    groups: dict[str, list[RunResult]] = defaultdict(list)
    for result in results:
        groups[_identity(result)].append(result)
    runs = [tuple(sorted(group, key=lambda result: result.seed)) for group in groups.values()]
    for group in runs:
        _check_seeds(group)
    return runs


def name_arms(groups: Sequence[tuple[RunResult, ...]]) -> list[Arm]:
    """Call each group by what was varied ("distilled").

    Where two would share that name, the student or the settings that differ are added.
    """
    labels = _labels([group[0] for group in groups])
    return [Arm(label, group) for label, group in zip(labels, groups, strict=True)]


def unequal_settings(first: RunResult, second: RunResult) -> list[str]:
    """Settings that should be equal in two arms and are not, as "lr: 0.1 and 0.02"."""
    one, two = _settings(first), _settings(second)
    return [
        f"{key}: {one.get(key)} and {two.get(key)}"
        for key in sorted(one.keys() | two.keys())
        if one.get(key) != two.get(key)
    ]


def _settings(result: RunResult) -> dict[str, Any]:
    """What has to be equal for a fair comparison of arms."""
    shapes = result.info.get("shapes", {})
    settings = {f"{split} shapes": count for split, count in shapes.items()}
    for key, value in result.config.items():
        if key not in _NEUTRAL | _ARM:
            settings[key] = value
    return settings


def _identity(result: RunResult) -> str:
    unread = _NEUTRAL if result.config.get("teacher") else _NEUTRAL | DISTILLATION_FIELDS
    settings = {key: value for key, value in result.config.items() if key not in unread}
    return json.dumps([result.student, result.arm, settings], sort_keys=True, default=str)


def _check_seeds(results: tuple[RunResult, ...]) -> None:
    for one, two in pairwise(results):
        if one.seed == two.seed:
            raise RunError(
                f"{one.path} and {two.path}: are both seed {one.seed} of arm {one.arm};"
                " give each run once, one per seed"
            )


def _labels(firsts: Sequence[RunResult]) -> list[str]:
    several = len({result.student for result in firsts}) > 1
    names = [f"{result.student} {result.arm}" if several else result.arm for result in firsts]
    labels = []
    for name, result in zip(names, firsts, strict=True):
        twins = [r for n, r in zip(names, firsts, strict=True) if n == name]
        odd = _odd_settings(result, twins)
        labels.append(f"{name} ({odd})" if odd else name)
    return labels


def _odd_settings(result: RunResult, twins: Sequence[RunResult]) -> str:
    """The settings of `result` that are not the same in all runs of its name."""
    keys = [
        key
        for key in result.config
        if key not in _NEUTRAL and any(t.config.get(key) != result.config[key] for t in twins)
    ]
    return ", ".join(f"{key} {result.config[key]}" for key in keys)
