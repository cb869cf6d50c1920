"""Runs grouped into variants: the same settings trained with several seeds."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from pointmcd.errors import RunError
from pointmcd.tasks.results import RunResult, Variant
from pointmcd.tasks.task import Scoring
from pointmcd.training.config import DISTILLATION_FIELDS, PLACE_FIELDS

#: Settings that cannot change what is learnt, and the store's place (its fingerprint counts).
_NEUTRAL = PLACE_FIELDS | {"seed"}
#: Settings that only say which variant a run is of.
_ARM = DISTILLATION_FIELDS | {"teacher"}


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


def name_variants(groups: Sequence[tuple[RunResult, ...]], scoring: Scoring) -> list[Variant]:
    """Call each group by what was varied ("distilled").

    Where two would share that name, the student or the settings that differ are added.
    """
    labels = _labels([group[0] for group in groups])
    return [
        Variant(label, group, scoring.joint_scores(group))
        for label, group in zip(labels, groups, strict=True)
    ]


def unequal_settings(first: RunResult, second: RunResult) -> list[str]:
    """Settings that should be equal in two variants and are not, as "lr: 0.1 and 0.02"."""
    one, two = _settings(first), _settings(second)
    return [
        f"{key}: {one.get(key)} and {two.get(key)}"
        for key in sorted(one.keys() | two.keys())
        if one.get(key) != two.get(key)
    ]


def _settings(result: RunResult) -> dict[str, Any]:
    """Settings that have to be equal for a fair comparison of variants."""
    shapes = result.info.get("shapes", {})
    settings = {f"{split} shapes": count for split, count in shapes.items()}
    for key, value in result.config.items():
        if key not in _NEUTRAL | _ARM:
            settings[key] = value
    return settings


def _identity(result: RunResult) -> str:
    unread = _NEUTRAL if result.config.get("teacher") else _NEUTRAL | DISTILLATION_FIELDS
    settings = {key: value for key, value in result.config.items() if key not in unread}
    identity = [result.student, result.arm, settings, _start(result)]
    return json.dumps(identity, sort_keys=True, default=str)


def _start(result: RunResult) -> dict[str, Any]:
    """Settings, except the seed, of the run that a fine-tuned run starts from."""
    start = result.info.get("init") or {}
    settings = {key: value for key, value in start.get("settings", {}).items() if key != "seed"}
    kept = ("task", "student", "arm", "teacher", "store_fingerprint")
    return {key: start.get(key) for key in kept} | {"settings": settings} if start else {}


def _check_seeds(results: tuple[RunResult, ...]) -> None:
    for one, two in pairwise(results):
        if one.seed == two.seed:
            raise RunError(
                f"{one.path} and {two.path}: are both seed {one.seed} of {one.arm};"
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
    found = [f"{key} {_shown(result.config[key])}" for key in keys]
    return ", ".join([*found, *_odd_start(result, twins)])


def _odd_start(result: RunResult, twins: Sequence[RunResult]) -> Iterator[str]:
    """Settings in which the run that it started from differs from those of the other seeds."""
    mine, *others = (_flat_start(r) for r in (result, *twins))
    for key, value in mine.items():
        if any(other.get(key) != value for other in others):
            yield f"from {key} {_shown(value)}"


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _flat_start(result: RunResult) -> dict[str, Any]:
    start = _start(result)
    settings: dict[str, Any] = start.pop("settings", {})
    return start | settings
