"""Several runs: one after the other, or several at once in processes of their own."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter, time

import numpy as np
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError, StoreError
from pointmcd.progress import (
    LONG_SECONDS,
    bars_hidden,
    console,
    duration,
    note,
    progress_bar,
    repeating,
)
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import LESSONS
from pointmcd.teachers.settings import split_name, teacher_name
from pointmcd.teachers.stored import meant_name
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig, beside
from pointmcd.training.inputs import describe_unlabelled, find_teacher
from pointmcd.training.processes import agreed, is_main, join, process_count
from pointmcd.training.run import METRICS, Run
from pointmcd.training.trackers import check_trackers
from pointmcd.training.train import existing_run, plan_run, train

#: The usual shares of the labels in a learning curve.
SHARES = (0.01, 0.05, 0.1, 0.2, 1.0)


def train_all(configs: Sequence[TrainConfig], at_once: int = 1) -> list[Path]:
    """Train runs, so many at a time, and return their folders in that order.

    What `train` would refuse in any of them, like a missing teacher, is refused before the first.
    Small runs do not fill a GPU, and on a CPU two processes of one thread each are faster than one
    of two. Each process has its share of the cores. A student or objective of your own must be one
    that other processes can import: `module:Name`, or a file.

    Args:
        configs: settings of the runs, each with a folder of its own.
        at_once: how many processes; 1: all runs in this one.

    Raises:
        ConfigError: when `at_once` is below 1, or above it under `accelerate launch`.
        RunError: when a process was killed.
        PointMCDError: as `train`; the others are then stopped, and go on when started again.
    """
    if configs:
        join(configs[0].device)
    check_at_once(at_once)
    with agreed():
        plans = [plan_run(config) for config in configs]
    at_once = min(at_once, len(configs))
    if at_once < 2:
        return [*_one_by_one(configs, [existing_run(plan) for plan in plans])]
    for plan in plans:  # once, not in each process
        describe_unlabelled(plan.config, plan.store, plan.teacher)
    began, kept = time(), [existing_run(plan) is not None for plan in plans]
    logs = [plan.config.folder / METRICS for plan in plans]
    with progress_bar() as progress:
        total = sum(plan.config.epochs for plan in plans)
        task = progress.add_task(f"epochs of {len(plans)} runs", total=total, note="")

        def look() -> None:
            epochs = (
                _lines(log, 0.0 if old else began) for log, old in zip(logs, kept, strict=True)
            )
            progress.update(task, completed=sum(epochs))

        with repeating(look):
            folders = _in_processes(configs, at_once)
        look()
    return folders


def _one_by_one(configs: Sequence[TrainConfig], known: Sequence[Run | None]) -> Iterator[Path]:
    """Train the runs, and say before each how long all that are left take by those before it.

    `known` are the runs that exist already, which say nothing of the time of others.
    """
    took: list[float] = []
    waiting = [run is None or not run.finished for run in known]
    for number, config in enumerate(configs):
        if len(configs) > 1 and is_main():
            left = sum(waiting[number:]) * float(np.mean(took)) if took else 0.0
            told = f": about {duration(left)} for all that are left" if left >= LONG_SECONDS else ""
            console.print(f"run {number + 1} of {len(configs)}{told}", soft_wrap=True)
        start = perf_counter()
        yield train(config)
        if known[number] is None:
            took.append(perf_counter() - start)


def _in_processes(configs: Sequence[TrainConfig], at_once: int) -> list[Path]:
    pool = Parallel(at_once, batch_size=1)
    try:
        with warnings.catch_warnings():
            # A process whose memory has grown makes room for a new one between two runs.
            warnings.filterwarnings("ignore", "A worker stopped while", UserWarning)
            folders: list[Path] = pool(delayed(_train)(config) for config in configs)
    except TerminatedWorkerError as error:
        raise RunError(
            "a process was killed, perhaps because memory ran out; run the same command again, with"
            " a smaller --at-once"
        ) from error
    return folders


def check_at_once(at_once: int) -> None:
    """Refuse a number of processes that `train_all` cannot start.

    Raises:
        ConfigError: saying why.
    """
    if at_once < 1:
        raise ConfigError(f"--at-once {at_once}: must be at least 1")
    if at_once > 1 and process_count() > 1:
        raise ConfigError("--at-once starts its own processes; run it without a launcher")


def _train(config: TrainConfig) -> Path:
    with bars_hidden():  # those of several processes would write over each other
        return train(config)


def _lines(file: Path, since: float) -> int:
    """The number of epochs in a log; 0 of one that is not there, or is older than that time."""
    with suppress(OSError):  # it may just be replaced
        if file.stat().st_mtime >= since:
            return len(file.read_bytes().splitlines())
    return 0


def learning_curve(
    config: TrainConfig, shares: Sequence[float] = SHARES, at_once: int = 1
) -> list[Path]:
    """Train once per share of the labels; a run's folder ends in its share, but for all of them.

    Teachers of fewer labels are made where they are absent. Shares of a single shape, which no
    teacher can learn from, are left out then.

    Args:
        config: the settings, with all labels.
        shares: of the labels, above 0 and up to 1.
        at_once: as in `train_all`.

    Returns:
        the run folders, in that order.

    Raises:
        ConfigError: when the task has no labels, or a share is given already.
        StoreError: when the store has no teacher of all labels, where they are a share.
    """
    join(config.device)
    check_at_once(at_once)
    with agreed():  # all is refused before the first teacher is made
        _check_curve(config)
        config.check()
        check_trackers(config.log_to)
        if 1 in shares:
            plan_run(config)
    runs = [_with_share(config, share) for share in shares]
    if process_count() == 1:
        runs = [run for run in runs if not _is_too_few(run)]
        for run in runs:
            make_teacher(run)
    return train_all(runs, at_once)


def _is_too_few(run: TrainConfig) -> bool:
    """Return whether a run's teacher is absent and cannot be made; this is told."""
    store = Store(run.store, run.labels)
    labelled = len(labelled_train(store, run.label_fraction, run.seed))
    too_few = labelled < 2 and not _has_teacher(run)
    if too_few:
        share = f"{100 * run.label_fraction:g}% of the labels"
        note(f"{share}: one shape is too few for a teacher; left out")
    return too_few


def _check_curve(config: TrainConfig) -> None:
    if not config.described_task.labelled:
        raise ConfigError(f"--learning-curve: --task {config.task} uses no labels; leave it out")
    if config.label_fraction != 1:
        raise ConfigError("--learning-curve: sets the fractions itself; leave out --label-fraction")


def _with_share(config: TrainConfig, share: float) -> TrainConfig:
    """The run of one share; that of all labels is the one that it would be without a curve."""
    if share == 1:
        return config
    out = None if config.out is None else beside(config.out, f"{share:g}")
    return replace(config, label_fraction=share, out=out)


def make_teacher(config: TrainConfig) -> None:
    """Make the teacher of a fraction of the labels, or of a label file, unless the store has it.

    That of all labels of the store is `teach`'s to make, as is one with a name of its own.
    """
    if (config.label_fraction == 1 and config.labels is None) or _has_teacher(config):
        return
    name, lesson = str(config.teacher), config.described_task.lesson
    known = config.label_fraction, config.seed, config.labels
    encoder, _, finetune = split_name(name)
    wanted = TeachConfig(
        config.store,
        encoder,
        task=lesson,
        finetune=finetune,
        label_fraction=config.label_fraction,
        labels=config.labels,
        seed=config.seed,
        device=config.device,
    )
    meant = meant_name(Store(config.store, config.labels), name, lesson, *known)
    if meant == teacher_name(LESSONS.get(lesson), wanted):
        teach(wanted)


def _has_teacher(config: TrainConfig) -> bool:
    """Return whether a run's teacher is in the store, or it needs none."""
    try:
        find_teacher(config, Store(config.store, config.labels))
    except StoreError:
        return False
    return True
