"""Compare variants with a baseline: mean and std over seeds, paired difference, paired test."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pointmcd.errors import RunError
from pointmcd.evaluation.comparison_table import Comparison, Difference
from pointmcd.evaluation.grouping import group_runs, name_variants, unequal_settings
from pointmcd.evaluation.results import has_teacher, only, read_result
from pointmcd.evaluation.shape_sets import FOLDS, REST
from pointmcd.evaluation.voting import check_votes
from pointmcd.metrics.statistics import bootstrap_difference
from pointmcd.tasks.results import NO_FILE, Checkpoint, RunResult, Variant
from pointmcd.tasks.task import Scoring, get_task
from pointmcd.training.config import FEW_STEPS

#: What the settings of a teacher of all labels leave out.
_OF_ALL = {"label_fraction": 1.0, "label file": NO_FILE}


def compare(
    runs: str | Path | Sequence[str | Path],
    baseline: str | Path | Sequence[str | Path] = (),
    checkpoint: Checkpoint = "last",
    read: Callable[[Path, Checkpoint], RunResult] | None = None,
    scoring: Scoring | None = None,
    voting: int = 1,
    split: str = "test",
) -> Comparison:
    """Compare evaluated runs with baseline runs on the test split, on the rest, or by folds.

    Args:
        runs: run folders, or one, of any number of variants and seeds; runs that differ only in
            their seed form a variant, and so do those of label files with equally many labels.
        baseline: run folders of one variant; without them the variants are only summarised.
        checkpoint: which weights to judge, "last" or "best".
        read: reads the result of a run; by default its predictions on the test split.
        scoring: how shapes are compared; by default as the task has it.
        voting: read the results of `evaluate` with so many votes, of every run; teachers, which do
            not vote, are then left out.
        split: "test"; "rest": the shapes in train and test whose labels no run knew, from which a
            run may have learnt without labels; or "folds": the labelled shapes, each as
            classified by the fold trained without it.

    Raises:
        RunError: when a folder is not an evaluated run, the runs are of different tasks, were
            tested on different shapes or trained on stores that do not match, or the baseline is
            not one variant.
    """
    runs, baseline = ([one] if isinstance(one, str | Path) else one for one in (runs, baseline))
    if not runs:
        raise RunError("no runs to compare: give at least one run folder")
    check_votes(voting)
    taught = read is None and voting == 1
    read = read or partial(read_result, voting=voting, split=split)
    found = [read(Path(run), checkpoint) for run in (*baseline, *runs)]
    if split == REST:
        found = _on_common_shapes(found)
    references, results = found[: len(baseline)], found[len(baseline) :]
    _check_comparable(found)
    judge = scoring or get_task(results[0].info["task"])
    reference, variants = _variants(results, references, judge)
    differences = [_difference(judge, one, reference) for one in variants if reference]
    teachers = _teachers(variants, judge, split) if taught else []
    cautions = _cautions([*variants, *teachers], reference, judge)
    warnings = [*_warnings(variants, reference), *cautions]
    count = len(results[0].names)
    against = [(one, _difference(judge, one, reference) if reference else None) for one in teachers]
    rows = (tuple(differences), tuple(warnings), tuple(against))
    return Comparison(checkpoint, count, reference, variants, *rows, voting, split)


def _on_common_shapes(results: Sequence[RunResult]) -> list[RunResult]:
    """Return the results on the shapes that all have; runs of other labels have another rest.

    Raises:
        RunError: when there are none.
    """
    names = set.intersection(*(set(result.names) for result in results))
    if not names:
        raise RunError("every shape's label was known to one of the runs; compare fewer seeds")
    return [only(result, names) for result in results]


def _check_comparable(results: Sequence[RunResult]) -> None:
    """Check that all runs are of one task and were tested on the same shapes of one store."""
    first = results[0]
    for other in results[1:]:
        task, other_task = first.info["task"], other.info["task"]
        if other_task != task:
            odd: str | None = (
                f"one is of {task}, the other of {other_task}; compare runs of one task"
            )
        else:
            odd = _other_store(first, other) or get_task(task).difference(first, other)
            odd = odd and f"{odd}; compare runs of one store, and by folds those of one label file"
        if odd:
            raise RunError(f"{first.path} and {other.path}: {odd}")


def _other_store(first: RunResult, other: RunResult) -> str | None:
    """Return in what the stores or the shapes of two runs differ, or None."""
    if other.classes != first.classes:
        return "trained on different classes"
    fingerprints = [_own_fingerprint(result) for result in (first, other)]
    if len(set(fingerprints)) > 1:
        return (
            "trained on stores of different rig, renderer, points or seed"
            f" ({', '.join(fingerprints)})"
        )
    if odd := sorted(set(first.names) ^ set(other.names)):
        return f"tested on different shapes ({len(odd)} are in only one, such as {odd[0]})"
    wrong = np.flatnonzero(other.labels != first.labels)
    return f"{first.names[wrong[0]]} has another true class" if len(wrong) else None


def _own_fingerprint(result: RunResult) -> str:
    """The fingerprint of a run's store without a label file: runs may have other labels."""
    return str(result.info.get("own_fingerprint", result.info["store_fingerprint"]))


def _difference(scoring: Scoring, variant: Variant, baseline: Variant) -> Difference:
    paired = variant.seeds == baseline.seeds
    classes = zip(variant.per_class.items(), baseline.per_class.values(), strict=True)
    return Difference(
        variant=variant.label,
        paired_by_seed=paired,
        overall=bootstrap_difference(
            variant.scores, baseline.scores, variant.seeds, baseline.seeds
        ),
        class_score=variant.class_score.mean - baseline.class_score.mean,
        per_class={
            name: None if ours is None or theirs is None else ours - theirs
            for (name, ours), theirs in classes
        },
        test=scoring.paired_test(variant.joint_scores, baseline.joint_scores),
        others=scoring.other_differences(variant, baseline),
    )


def _variants(
    results: Sequence[RunResult], references: Sequence[RunResult], scoring: Scoring
) -> tuple[Variant | None, tuple[Variant, ...]]:
    groups, reference = group_runs(results), group_runs(references)
    if len(reference) > 1:
        names = ", ".join(variant.label for variant in name_variants(reference, scoring))
        raise RunError(
            f"the baseline runs are of several variants ({names}); give runs of one variant"
        )
    # Named together: a student may be held against another student, a setting against another.
    named = name_variants(reference + groups, scoring)
    if not reference:
        return None, tuple(named)
    baseline, *variants = named
    if baseline.label in {variant.label for variant in variants}:
        baseline = replace(baseline, label=f"{baseline.label} (as baseline)")
    return baseline, tuple(variants)


def _teachers(variants: Sequence[Variant], scoring: Scoring, split: str) -> list[Variant]:
    """The teachers of the runs, each once; those that differ only in their seed are one variant."""
    groups: dict[str, dict[str, RunResult]] = defaultdict(dict)
    for result in (result for variant in variants for result in variant.results):
        if has_teacher(result.path, split):
            settings = result.info["teacher"]["settings"]
            kept = {k: v for k, v in settings.items() if k not in ("name", "seed", "labels")}
            if "labels" in settings:
                kept["label file"] = result.known_labels["label file"]
            group = groups[json.dumps(_OF_ALL | kept, sort_keys=True)]
            said = read_result(result.path, "teacher", split=split)
            said = only(said, result.names) if split == REST else said
            # One teacher may serve several seeds, but each seed has folds of its own.
            own = str(result.seed) if split == FOLDS else result.info["teacher"]["fingerprint"]
            group.setdefault(own, said)
    runs = [tuple(sorted(group.values(), key=lambda r: r.seed)) for group in groups.values()]
    settings = [json.loads(kept) for kept in groups]
    labels = []
    for own in settings:  # "teacher", and what it was made of where that differs
        differs = {key for key in own for other in settings if other.get(key) != own[key]}
        odd = ", ".join(f"{key} {own[key]}" for key in own if key in differs)
        labels.append(f"teacher ({odd})" if odd else "teacher")
    return [
        Variant(label, group, scoring.joint_scores(group))
        for label, group in zip(labels, runs, strict=True)
    ]


def _other_labels(first: Variant, second: Variant) -> str:
    """The seeds of two variants with equally many labels in files that say other things."""
    if first.results[0].known_labels != second.results[0].known_labels:
        return ""  # their names say so
    one, two = (
        {r.seed: r.info.get("settings", {}).get("labels") for r in v.results}
        for v in (first, second)
    )
    return ", ".join(str(seed) for seed in one if seed in two and one[seed] != two[seed])


def _cautions(
    variants: Sequence[Variant], baseline: Variant | None, judge: Scoring
) -> Iterator[str]:
    for variant in (*([baseline] if baseline else []), *variants):
        if caution := judge.caution(variant.results[0].metrics):
            yield f"{variant.label}, seed {variant.seeds[0]}: {caution}"


def _warnings(variants: Sequence[Variant], baseline: Variant | None) -> list[str]:
    everyone = ((baseline,) if baseline else ()) + tuple(variants)
    found = [
        f"{result.path}: the training is not finished"
        for variant in everyone
        for result in variant.results
        if not result.info.get("finished", True)
    ]
    first = everyone[0]
    for variant in everyone[1:]:
        unequal = unequal_settings(first.results[0], variant.results[0])
        found += [f"{first.label} and {variant.label} differ in {text}" for text in unequal]
        if differing := _other_labels(first, variant):
            found.append(
                f"{first.label} and {variant.label} were trained with different label files"
                f" (seed {differing})"
            )
        counts = [{result.folds for result in one.results} for one in (first, variant)]
        if counts[0] != counts[1]:
            numbers = " and ".join(", ".join(map(str, sorted(count))) for count in counts)
            found.append(
                f"{first.label} and {variant.label} have different numbers of folds: {numbers}"
            )
        if baseline and variant.seeds != baseline.seeds:
            ours, theirs = (", ".join(map(str, one.seeds)) for one in (variant, baseline))
            found.append(
                f"{variant.label} has seeds {ours}, {baseline.label} {theirs}: not paired by seed"
            )
    steps = ((one.label, one.results[0].info.get("steps")) for one in everyone)
    found += [
        f"{label} was trained for {count} steps: too few to compare results ({FEW_STEPS} or more)"
        for label, count in steps
        if count is not None and count < FEW_STEPS
    ]
    alone = [variant.label for variant in everyone if len(variant.seeds) == 1]
    return found + [f"{label} has one seed: its spread is unknown" for label in alone]
