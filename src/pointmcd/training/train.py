"""Train a student on a store, with or without distillation, everything else equal."""

from pathlib import Path
from typing import Any

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.store import Store
from pointmcd.errors import RunError, StoreError
from pointmcd.files import is_temporary, remove, remove_stale
from pointmcd.progress import progress_bar
from pointmcd.teachers.export import read_teacher
from pointmcd.training.config import TrainConfig
from pointmcd.training.loop import Trainer
from pointmcd.training.run import Run, create_run
from pointmcd.training.targets import find_teacher


def train(config: TrainConfig) -> Path:
    """Train a student; a finished run is kept, an interrupted one goes on where it stood.

    The run holds the checkpoint of the last epoch and the one that was best on the validation
    part. The test part is not read here.

    Returns:
        the run folder.

    Raises:
        StoreError: when the store or the teacher does not fit.
        ConfigError: when a setting cannot be used.
        RunError: when the folder holds a run of other settings.
    """
    config.check()
    store = Store(config.store)
    _check_store(config, store)
    teacher = None
    if config.teacher is not None:
        teacher = read_teacher(store, find_teacher(store, config.teacher, config.task))
    run = _existing(config, store, teacher)
    if run is not None and run.finished:
        return run.path
    trainer = Trainer(config, store)
    if run is None:
        if (config.folder / "run.json").exists():
            _clear(config.folder)
        parameters = sum(p.numel() for p in trainer.module.parameters())
        run = create_run(config, store, teacher, parameters)
    _run_epochs(trainer, run)
    return run.path


def _check_store(config: TrainConfig, store: Store) -> None:
    if len(store.indices("train")) < 2:
        raise StoreError(
            f"{store.path}: {len(store.indices('train'))} train shapes; training needs at least two"
        )
    if config.task == "segmentation":
        if store.num_parts < 2:  # a store without part labels is refused here too
            raise StoreError(f"{store.path}: one part in all; segmentation needs at least two")
    elif len(store.classes) < 2:
        raise StoreError(
            f"{store.path}: {len(store.classes)} classes; classification needs at least two, in"
            " CLASS/NAME or CLASS/{train,test}/NAME folders"
        )


def _existing(config: TrainConfig, store: Store, teacher: dict[str, Any] | None) -> Run | None:
    """The run in the folder, if it is this very one; others are refused unless told to replace."""
    folder = config.folder
    remove_stale(folder)
    if not (folder / "run.json").exists():
        if folder.exists() and not (folder.is_dir() and all(map(_is_begun, folder.iterdir()))):
            raise RunError(f"{folder}: a folder that is no run; choose another --out")
        return None
    run = Run(folder)
    field = _first_difference(config, store, teacher, run.meta)
    if field is None:
        return run
    if not config.overwrite:
        raise RunError(
            f"{folder}: holds a run with another {field}; choose another --out, or --overwrite"
        )
    return None


def _clear(folder: Path) -> None:
    """Remove a run; run.json goes last, so that what a kill leaves can still be replaced."""
    for path in folder.iterdir():
        if path.name != "run.json":
            remove(path)
    remove(folder)


def _is_begun(path: Path) -> bool:
    """Whether a file is what a run that was killed at its very start leaves behind."""
    return path.name == "config.yaml" or is_temporary(path)


def _first_difference(
    config: TrainConfig, store: Store, teacher: dict[str, Any] | None, meta: dict[str, Any]
) -> str | None:
    settings = config.decisive()
    every = settings.keys() | meta["settings"].keys()
    # The teacher first: without one, all fields that only distillation reads differ too.
    fields: list[str] = sorted(every, key=lambda field: (field != "teacher", field))
    for field in fields:
        if settings.get(field) != meta["settings"].get(field):
            return field
    if meta["store_fingerprint"] != store.fingerprint or meta["classes"] != store.classes:
        return "store"
    made = (meta["teacher"] or {}).get("fingerprint")
    return None if made == (teacher or {}).get("fingerprint") else "teacher"


def _run_epochs(trainer: Trainer, run: Run) -> None:
    last = run.checkpoint("last")
    start, best = 0, -1.0
    if last.exists():
        tensors, state = load_checkpoint(last)
        trainer.load(tensors, str(last))
        start, best = int(state["epoch"]), float(state["best"])
    total = trainer.config.epochs
    with progress_bar() as progress:
        task = progress.add_task(run.path.name, total=total, completed=start, note="")
        for epoch in range(start, total):
            record = trainer.epoch(epoch)
            best = _keep(trainer, run, record, best)
            progress.update(task, advance=1, note=_note(record, trainer.task.best))
    run.finish()


def _keep(trainer: Trainer, run: Run, record: dict[str, Any], best: float) -> float:
    """Write what the epoch left; `last` goes last, so that a kill before it repeats the epoch."""
    if not trainer.is_main:
        return best
    score = record[trainer.task.best]
    run.append(record)
    # Without a validation part the best epoch is the last.
    if score is None or score > best:
        best = -1.0 if score is None else score
        trainer.save(run.checkpoint("best"), {"epoch": record["epoch"]}, whole=False)
    trainer.save(run.checkpoint("last"), {"epoch": record["epoch"], "best": best}, whole=True)
    return best


def _note(record: dict[str, Any], best: str) -> str:
    val = record[best]
    shown = "" if val is None else f"  validation {val:.1%}"
    return f"loss {record['task_loss']:.3f}{shown}"
