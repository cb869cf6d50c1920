"""Train a student on a store, with or without distillation, everything else equal."""

import contextlib
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pointmcd.checkpoint import load_checkpoint, save_checkpoint, under_prefix, with_prefix
from pointmcd.data.store import Store
from pointmcd.device import settle
from pointmcd.errors import ConfigError, OtherSettingsError, RunError, StoreError
from pointmcd.files import remove_stale
from pointmcd.progress import Estimate, fitting, note, progress_bar
from pointmcd.tasks.task import Task
from pointmcd.teachers.stored import check_labels
from pointmcd.training import trackers
from pointmcd.training.calibration import calibrate, is_calibrated
from pointmcd.training.capture import WARM_UP
from pointmcd.training.config import FEW_STEPS, TrainConfig
from pointmcd.training.finetune import check_start, describe_start, open_start
from pointmcd.training.inputs import (
    check_control,
    count_shapes,
    describe_unlabelled,
    find_teacher,
    with_objectives,
)
from pointmcd.training.keeper import Keeper
from pointmcd.training.processes import agreed, is_main, join, main_first
from pointmcd.training.run import Run, changed_code, clear_run, create_run, is_begun, lock_folder
from pointmcd.training.trainer import Trainer
from pointmcd.training.unlikeness import keep_labelled


@dataclass(frozen=True)
class Plan:
    """Settings, store, teacher and start of a run."""

    config: TrainConfig
    store: Store
    teacher: dict[str, Any] | None
    start: dict[str, Any] | None


def train(config: TrainConfig) -> Path:
    """Train a student; a finished run is kept, an interrupted one continues.

    The run holds the checkpoint of the last epoch and the one that was best on the validation
    split, if that is not fitted too. The test split is not read here. Under `accelerate launch`
    every process calls this; one writes, and all return, or raise the same error.

    Returns:
        the run folder.

    Raises:
        StoreError: when the store or the teacher does not fit.
        ConfigError: when a setting cannot be used.
        RunError: when the folder holds a run of other settings, or another process trains in it.
    """
    join(config.device)
    plan = main_first(lambda: plan_run(config))
    with agreed():
        unlock = lock_folder(plan.config.folder) if is_main() else contextlib.nullcontext()
    with unlock:
        run = main_first(lambda: existing_run(plan))
        if run is not None and run.finished:
            with agreed():
                _recalibrate(run, plan.store)
            return run.path
        # By one process: all would write the same files.
        main_first(lambda: describe_unlabelled(plan.config, plan.store, plan.teacher))
        trainer = Trainer(plan.config, plan.store, plan.teacher)
        run = run or begin(plan, trainer, config.points)
        _run_epochs(trainer, run)
    return run.path


def begin(plan: Plan, trainer: Trainer, points: int) -> Run:
    """Make the folder of a run, with notes on what is to come; `points` were asked for."""
    config = plan.config
    if is_main():
        _warn_of_few_steps(trainer)
        if config.points < points:
            note(f"{config.points} points: the store holds no more")
        if config.fit_on == "train+val":
            note("fits train and val: nothing is validated, the last epoch counts")
    return main_first(lambda: _create(plan, trainer))


def _warn_of_few_steps(trainer: Trainer) -> None:
    """Say before hours of waiting that a training is too short to compare results."""
    steps = trainer.steps * trainer.config.epochs
    if steps < FEW_STEPS:
        note(
            f"too few steps to compare results: {steps} in all, {trainer.steps} in each epoch; use"
            f" --epochs {math.ceil(FEW_STEPS / trainer.steps)} or more, or smaller batches",
            kind="few steps",
        )


def plan_run(config: TrainConfig) -> Plan:
    """Check everything that can be refused before the model is made.

    Raises:
        StoreError, ConfigError, RunError: as `train`.
    """
    config.check()
    trackers.check_trackers(config.log_to)
    store = Store(config.store, config.labels)
    if config.fit_on == "train+val":
        store = store.with_validation()
    _check_store(config, store)
    teacher = find_teacher(config, store)
    if teacher is not None and not config.described_task.labelled:
        check_labels(teacher, f"--task {config.task}", 0, config.seed)
    if teacher is not None and config.label_fraction < 1:
        option = f"--label-fraction {config.label_fraction}"
        check_labels(teacher, option, config.label_fraction, config.seed)
    config = with_objectives(config, store, teacher).for_shapes(count_shapes(config, store))
    check_control(config, store, teacher)
    config = config.for_points(store.num_points)
    start = _start(config, store)
    # A student goes on with the axis that it knows.
    return Plan(config, store.with_up(start["up"] if start else None), teacher, start)


def _create(plan: Plan, trainer: Trainer) -> Run:
    """Make the run folder, or read what the main process has made."""
    config = plan.config
    if not is_main():
        return Run(config.folder)
    if (config.folder / "run.json").exists():
        clear_run(config.folder)
    parameters = sum(p.numel() for p in trainer.module.parameters())
    shapes, steps = len(trainer.dataset.indices), trainer.steps * config.epochs
    return create_run(config, plan.store, plan.teacher, parameters, plan.start, shapes, steps)


def _start(config: TrainConfig, store: Store) -> dict[str, Any] | None:
    """Return the description of what to start from, or None; refuse what must not be."""
    if config.init is None:
        return None
    if config.init.resolve() == config.folder.resolve():
        raise ConfigError(f"--init {config.init}: is the run's own folder; choose another --out")
    start = open_start(config.init)
    student = start.about["student"]
    if student != config.student:
        raise ConfigError(
            f"--init {config.init}: is a {student}, the run a {config.student}; give --student"
            f" {student}"
        )
    if start.features != config.features:
        theirs, ours = (
            " and ".join(one) or "no features" for one in (start.features, config.features)
        )
        again = (
            f"give --features {' '.join(start.features)}"
            if start.features
            else "leave out --features"
        )
        raise ConfigError(f"--init {config.init}: takes {theirs}, the run {ours}; {again}")
    described = describe_start(start)
    check_start(described, config, store)
    return described


def _check_store(config: TrainConfig, store: Store) -> None:
    if len(store.indices("train")) < 2:
        raise StoreError(
            f"{store.path}: {len(store.indices('train'))} train shapes; training needs at least two"
        )
    task = config.described_task
    if store.known_parts is not None and not (task.labelled and task.dense):
        raise ConfigError(
            f"--labels {config.labels}: names parts, which --task {config.task} does not learn; use"
            " --task segmentation"
        )
    task.check_store(store)


def existing_run(plan: Plan) -> Run | None:
    """Return the run in the folder if it has these settings; refuse others without --overwrite."""
    config, folder = plan.config, plan.config.folder
    if is_main():  # it alone writes, and knows its own unfinished files from stale ones
        remove_stale(folder)
    if not (folder / "run.json").exists():
        if folder.exists() and not (folder.is_dir() and all(map(is_begun, folder.iterdir()))):
            raise OtherSettingsError(f"{folder}: is not a run folder; choose another --out")
        return None
    try:
        run = Run(folder)
    except RunError:  # damaged, or of another version
        if config.overwrite:
            return None
        raise
    field = _first_difference(plan, run.meta)
    if field is None:
        return run
    if not config.overwrite:
        raise OtherSettingsError(
            f"{folder}: holds a run that differs in {field}; choose another --out, or --overwrite"
        )
    return None


def _first_difference(plan: Plan, meta: dict[str, Any]) -> str | None:
    settings, store = plan.config.decisive(), plan.store
    every = settings.keys() | meta["settings"].keys()
    # The teacher first: without one, all fields that only distillation reads differ too.
    fields: list[str] = sorted(every, key=lambda field: (field != "teacher", field))
    for field in fields:
        if field != "code" and settings.get(field) != meta["settings"].get(field):
            return field
    if changed := changed_code(meta["settings"], settings.get("code", {})):
        return f"code of {changed}"
    if meta["store_fingerprint"] != store.fingerprint or meta["classes"] != store.classes:
        return "store"
    if meta.get("up") not in (None, store.up):
        return "up"
    for name, now in {"teacher": plan.teacher, "init": plan.start}.items():
        if (meta.get(name) or {}).get("fingerprint") != (now or {}).get("fingerprint"):
            return name
    return None


def _run_epochs(trainer: Trainer, run: Run) -> None:
    total = trainer.config.epochs
    start, keeper = resume(trainer, run)
    if start and is_main():
        note(f"{run.path}: goes on after epoch {start} of {total}")
    trackers.start(trainer.accelerator, run.path.name, run.settings)
    estimate = _estimate(trainer, total - start)
    with progress_bar(shown=is_main()) as progress:
        name = run.path.name
        told = f"fold {name}" if run.path.parent.name.endswith("-folds") else fitting(name)
        task = progress.add_task(told, total=total, completed=start, note="")

        def step(epoch: int, share: float) -> None:
            # Parts of an epoch too; none is done before its validation is.
            progress.update(task, completed=epoch + min(share, 0.99))
            apart = trainer.validation is not None and epoch == start
            done = round((epoch - start + share) * trainer.steps)
            estimate.reach(done, ", validation not counted" if apart else "")

        trainer.on_step = step
        for epoch in range(start, total):
            record = trainer.epoch(epoch)
            trackers.log(trainer.accelerator, record)
            with agreed():
                if is_main():
                    keeper.keep(record)
            progress.update(task, completed=epoch + 1, note=_note(record, trainer.task))
    trackers.finish(trainer.accelerator)
    with agreed():
        if is_main():
            finish(trainer, run)


def resume(trainer: Trainer, run: Run) -> tuple[int, Keeper]:
    """Load what was reached; return how many epochs are done, and what keeps the next."""
    start, keeper = 0, Keeper(trainer, run)
    with agreed():
        last = run.checkpoint("last")
        if last.exists():
            tensors, state = load_checkpoint(last)
            start, keeper.best = int(state["epoch"]), state["best"]
            if start < trainer.config.epochs:
                trainer.load(tensors, str(last))
    return start, keeper


def finish(trainer: Trainer, run: Run) -> None:
    """Add what a run has once it is trained: calibration, what its labelled shapes look like."""
    calibrate(run, trainer.store)
    keep_labelled(run, trainer.store)
    if not trainer.config.keep_checkpoints:
        _drop_optimizer(run.checkpoint("last"))
    run.finish()


def _recalibrate(run: Run, store: Store) -> None:
    """Calibrate a finished run that had too few shapes for it, if folds have been made since."""
    if is_main() and not is_calibrated(run, "last"):
        calibrate(run, store)


def _estimate(trainer: Trainer, epochs: int) -> Estimate:
    """The estimate of the time that so many epochs take, not yet said."""
    return Estimate(
        epochs * trainer.steps,
        skipped=WARM_UP + 2 if trainer.captures else 1,  # the recording, and the first replay
        wait=partial(settle, trainer.accelerator.device),
        shown=is_main(),
    )


def _drop_optimizer(checkpoint: Path) -> None:
    """Leave the model alone in the checkpoint of the last epoch, with which nothing goes on."""
    tensors, state = load_checkpoint(checkpoint)
    save_checkpoint(checkpoint, with_prefix("model", under_prefix("model", tensors)), state)


def _note(record: dict[str, Any], task: Task) -> str:
    val, named = record[task.best], task.best_name.removeprefix("overall ")
    shown = ""
    if val is not None:
        told = f"{named} {val:.1%}" if named else f"{task.best.removeprefix('val_')} {val:.3f}"
        shown = f"  validation {told}"
    loss = next(value for name, value in record.items() if name.endswith("_loss"))
    return f"loss {loss:.3f}{shown}"
