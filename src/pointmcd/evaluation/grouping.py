"""Runs grouped into variants: the same settings trained with several seeds."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

from pointmcd.errors import RunError
from pointmcd.tasks.results import RunResult, Variant
from pointmcd.tasks.task import Scoring
from pointmcd.training.config import DISTILLATION_FIELDS, PLACE_FIELDS

#: Settings that cannot change what is learnt, and the store's place (its fingerprint counts).
_NEUTRAL = PLACE_FIELDS | {"seed"}
#: Settings that only say which variant a run is of.
_VARIED = DISTILLATION_FIELDS | {"teacher"}


def group_runs(results: Sequence[RunResult]) -> list[tuple[RunResult, ...]]:
    """Group runs that differ in nothing but their seed, in order of first appearance.

    Of a label file only the number of its labels counts: as with a fraction of them, each seed may
    have others.

    Raises:
        RunError: when one group holds two runs of one seed.
    """
    groups: dict[str, list[RunResult]] = defaultdict(list)
    for result in results:
        unread = set() if result.config.get("teacher") else DISTILLATION_FIELDS
        settings = {key: value for key, value in _settings(result).items() if key not in unread}
        identity = [result.student, result.arm, settings]
        groups[json.dumps(identity, sort_keys=True, default=str)].append(result)
    runs = [tuple(sorted(group, key=lambda result: result.seed)) for group in groups.values()]
    for one, two in chain.from_iterable(map(pairwise, runs)):
        if one.seed == two.seed:
            from_file = one.config.get("labels") is not None
            hint = (
                "; to compare label files of the same size, pass the runs of one file as --baseline"
                * from_file
            )
            raise RunError(
                f"{one.path} and {two.path}: are both seed {one.seed} of {one.arm};"
                f" give each run once, one per seed{hint}"
            )
    return runs


def name_variants(groups: Sequence[tuple[RunResult, ...]], scoring: Scoring) -> list[Variant]:
    """Call each group by what was varied ("distilled").

    Where two would share that name, the student or the settings that differ are added.
    """
    firsts = [group[0] for group in groups]
    several = len({result.student for result in firsts}) > 1
    names = [f"{result.student} {result.arm}" if several else result.arm for result in firsts]
    variants = []
    for name, group in zip(names, groups, strict=True):
        twins = [_settings(r) for n, r in zip(names, firsts, strict=True) if n == name]
        odd = ", ".join(
            f"{key} {' '.join(map(str, value)) or 'none' if isinstance(value, list) else value}"
            for key, value in _settings(group[0]).items()
            if any(twin.get(key) != value for twin in twins)
        )
        label = f"{name} ({odd})" if odd else name
        variants.append(Variant(label, group, scoring.joint_scores(group)))
    return variants


def unequal_settings(first: RunResult, second: RunResult) -> list[str]:
    """Settings that should be equal in two variants and are not, as "lr: 0.1 and 0.02"."""
    one, two = (
        {f"{split} shapes": count for split, count in result.info.get("shapes", {}).items()}
        | {key: value for key, value in result.config.items() if key not in _NEUTRAL | _VARIED}
        for result in (first, second)
    )
    return [
        f"{key}: {one.get(key)} and {two.get(key)}"
        for key in sorted(one.keys() | two.keys())
        if one.get(key) != two.get(key)
    ]


def _settings(result: RunResult) -> dict[str, Any]:
    """Settings, except seeds, of a run and of the run that a fine-tuned one starts from."""
    start = result.info.get("init") or {}
    kept = ("task", "student", "arm", "teacher", "store_fingerprint")
    before = {key: start.get(key) for key in kept if start} | start.get("settings", {})
    own = {key: value for key, value in result.config.items() if key not in _NEUTRAL}
    if own.get("teacher"):  # one for each seed, named by it, is one setting
        own["teacher"] = str(own["teacher"]).removesuffix(f"-s{result.seed}")
    own |= result.known_labels
    return own | {f"from {key}": value for key, value in before.items() if key != "seed"}
