"""Train, evaluate and compare in one go, with several seeds."""

import re
from collections.abc import Sequence
from dataclasses import replace

from pointmcd.data.splits import held_back
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import Comparison
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.evaluation.shape_sets import FOLDS, REST
from pointmcd.training.config import TrainConfig, beside
from pointmcd.training.folds import check_folds, cross_validate, plan_folds
from pointmcd.training.processes import join, process_count
from pointmcd.training.several import check_at_once, make_teacher, train_all
from pointmcd.training.trackers import check_trackers

_SEEDS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")


def read_seeds(text: str) -> list[int]:
    """Return the seeds of a list such as `0-4` or `0,2,5`, in order, each once.

    Raises:
        ConfigError: when it is not such a list.
    """
    if not _SEEDS.fullmatch(text):
        raise ConfigError(f"--seeds {text}: write a list such as 0-4 or 0,2,5")
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise ConfigError(f"--seeds {text}: {part} counts down; write {last}-{first}")
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)


def train_seeds(
    config: TrainConfig, seeds: Sequence[int], at_once: int = 1, folds: int | None = None
) -> list[Comparison]:
    """Train a run and its baseline with each seed, evaluate them, and compare them.

    The baseline has the same settings but no teacher; settings without a teacher are trained alone.
    Teachers of a fraction of the labels, for each seed, or of a label file are made where they are
    absent. What is finished is kept.

    Args:
        config: the settings; with `out`, the run folders are OUT-VARIANT-sSEED.
        seeds: one or more, whatever the seed in the settings.
        at_once: how many runs are trained at a time, in processes of their own.
        folds: also cross-validate each of them on the labelled shapes.

    Returns:
        comparisons on each set of shapes that there is: the rest, where the store knows labels that
        the runs did not, the folds, the test split.

    Raises:
        ConfigError: when the task has no labels, or a setting cannot be used.
        StoreError: when the store or a teacher does not fit; nothing is trained then.
        RunError: when a folder holds a run of other settings.
    """
    join(config.device)
    if process_count() > 1:
        raise ConfigError("--seeds: runs in one process; start it without a launcher")
    check_at_once(at_once)
    if not config.described_task.labelled:
        raise ConfigError(
            f"--seeds: --task {config.task} is judged by `pointmcd probe`; leave it out"
        )
    config.check()  # all is refused before the first teacher is made
    check_trackers(config.log_to)
    splits = _splits(config, seeds, folds)
    variants = [config] if config.teacher is None else [replace(config, teacher=None), config]
    runs = [_seeded(variant, seed) for seed in seeds for variant in variants]
    if folds is not None:
        for run in runs:
            check_folds(run, folds)
    for run in runs:
        make_teacher(run)
    if folds is not None:
        for run in runs:
            plan_folds(run, folds)
        for run in runs:
            cross_validate(run, folds, at_once)
    for done in train_all(runs, at_once):
        for split in splits:
            evaluate(done, split, device=config.device)
    ours = [run.folder for run in runs if run.teacher == config.teacher]
    theirs = [run.folder for run in runs if run.teacher != config.teacher]
    return [compare(ours, theirs, split=split) for split in splits]


def _splits(config: TrainConfig, seeds: Sequence[int], folds: int | None) -> list[str]:
    """Return the names of the sets of shapes to compare on.

    Raises:
        ConfigError: when there are none.
    """
    store = Store(config.store, config.labels)
    tested = len(store.indices("test")) > 0
    unknown = [set(held_back(store, config.label_fraction, seed).tolist()) for seed in seeds]
    rest = all(unknown) and (tested or set.intersection(*unknown))
    found = [(REST, rest), (FOLDS, folds is not None), ("test", tested)]
    splits = [name for name, there in found if there]
    if not splits:
        raise ConfigError(f"--seeds: {config.store} has no test split to compare on; add --folds K")
    return splits


def _seeded(config: TrainConfig, seed: int) -> TrainConfig:
    out = None if config.out is None else beside(config.out, f"{config.arm}-s{seed}")
    return replace(config, seed=seed, out=out)
