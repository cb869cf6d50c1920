"""Cross-validation: how sure one can be of a run whose shapes have few labels and no test split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pointmcd.data.label_file import labels_digest
from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.splits import fold_members
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.files import write_json
from pointmcd.metrics.statistics import mean_interval
from pointmcd.teachers.settings import config_of
from pointmcd.teachers.stored import resolve_teacher
from pointmcd.teachers.teach import teach
from pointmcd.training.calibration import (
    FOLDS_FILE,
    fit,
    folds_folder,
    held_out,
    identity,
    read_folds,
)
from pointmcd.training.config import TrainConfig
from pointmcd.training.finetune import open_start
from pointmcd.training.run import Run
from pointmcd.training.several import make_teacher, train_all
from pointmcd.training.train import Plan, existing_run, plan_run


@dataclass(frozen=True)
class CrossValidation:
    """Accuracy on shapes that were held out in turn.

    Attributes:
        correct: shapes whose class was right in the last epoch of the run that left them out.
        shapes: all that were held out.
        low: lower end of the 95% Wilson interval of the accuracy.
        high: its upper end.
    """

    correct: int
    shapes: int
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        """Fraction of the shapes whose class was right."""
        return self.correct / self.shapes


def cross_validate(config: TrainConfig, folds: int, at_once: int = 1) -> CrossValidation:
    """Train once per fold, with the labels of the others, and score the fold's shapes.

    Teachers that read labels are made anew for every fold, so that none knows what is held out;
    that of a label file, for the run itself, is made too where the store lacks it.
    The runs lie in RUN-folds/1, 2, ...; finished ones are kept.

    Args:
        config: of the run that the folds stand for.
        folds: at least 2, at most the number of labelled shapes outside the test split.
        at_once: how many folds are trained at a time, in processes of their own.

    Raises:
        ConfigError: when there cannot be so many folds, or the task cannot be judged so.
        StoreError, RunError: as `train`.
    """
    check_folds(config, folds)
    make_teacher(config)
    plan = plan_folds(config, folds)
    store, rows = plan.run.store, plan.rows
    parent = folds_folder(config.folder)
    (parent / FOLDS_FILE).unlink(missing_ok=True)  # until these are whole
    for old in plan.run.config.folder.glob("predictions-folds-*"):
        old.unlink(missing_ok=True)
    configs = []
    for number, held in enumerate(plan.held, start=1):
        file = parent / f"{number}.csv"
        turn = [row._replace(split="val" if row.path in held else "train") for row in rows]
        write_labels(file, turn + _tested(store))
        fold = replace(config, labels=file, out=parent / str(number), fit_on="train")
        configs.append(replace(fold, teacher=_teacher(fold, store)))
    runs = map(Run, train_all(configs, at_once))
    held_out_said = [held_out(run, run.open_store(), "last") for run in runs]
    correct = sum(
        int((said["probabilities"].argmax(axis=1) == said["labels"]).sum())
        for said in held_out_said
    )
    low, high = mean_interval(correct / len(rows), len(rows))
    found = CrossValidation(correct, len(rows), low, high)
    of = identity(
        {
            "settings": plan.run.config.decisive(),
            "store_fingerprint": store.fingerprint,
            "classes": store.classes,
            "teacher": plan.run.teacher,
            "init": plan.run.start,
        }
    )
    about = {"accuracy": found.accuracy, "folds": folds, "calibration": fit(held_out_said)}
    write_json(parent / FOLDS_FILE, {**vars(found), **about, "of": of})
    return found


class FoldsPlan(NamedTuple):
    """Checked inputs of a cross-validation.

    Attributes:
        run: the run that the folds stand for.
        rows: the labelled shapes outside the test split.
        held: the names of those that each fold holds out.
    """

    run: Plan
    rows: list[LabelRow]
    held: list[set[str]]


def plan_folds(config: TrainConfig, folds: int) -> FoldsPlan:
    """Plan what `check_folds` lets pass, and check the rest, before anything is trained.

    Raises:
        ConfigError, StoreError, RunError: as `cross_validate`.
    """
    run = plan_run(config)
    rows = _labelled(run.store)
    existing_run(run)
    return FoldsPlan(run, rows, _folds(rows, folds, config))


def check_folds(config: TrainConfig, folds: int) -> None:
    """Check what `cross_validate` refuses whatever the teacher, before one is made.

    Raises:
        ConfigError, StoreError, RunError: as `cross_validate`.
    """
    config.check()
    task = config.described_task
    if task.best != "val_accuracy":
        raise ConfigError(f"--folds: is for classification, not --task {config.task}")
    if config.init is not None and open_start(config.init).task.labelled:
        raise ConfigError("--folds: what --init names learnt labels that a fold holds out")
    if config.label_fraction < 1:
        raise ConfigError("--folds: takes turns with all labels; leave out --label-fraction")
    _folds(_labelled(Store(config.store, config.labels)), folds, config)


def _tested(store: Store) -> list[LabelRow]:
    """Rows of the labelled test shapes, so that folds know the same classes and test split."""
    shapes = [shape for shape in store.shapes if shape.split == "test" and shape.label]
    return [LabelRow(shape.name, str(shape.label), "test") for shape in shapes]


def _labelled(store: Store) -> list[LabelRow]:
    """Rows of the labelled shapes outside the test split."""
    shapes = [shape for shape in store.shapes if shape.split in ("train", "val") and shape.label]
    return [LabelRow(shape.name, str(shape.label)) for shape in shapes]


def _folds(rows: Sequence[LabelRow], folds: int, config: TrainConfig) -> list[set[str]]:
    if not 2 <= folds <= len(rows):
        raise ConfigError(f"--folds {folds}: must be from 2 to the {len(rows)} labelled shapes")
    names = [row.path for row in rows]
    members = fold_members(names, [row.label for row in rows], folds, config.seed)
    return [{names[i] for i in fold} for fold in members]


def fold_runs(run: Run) -> list[Path]:
    """Return the folders of the folds that stand for a run.

    Raises:
        RunError: when it has none, or they are of another run that had its name.
    """
    if run.task.best != "val_accuracy":
        raise RunError(f"{run.path}: folds are for runs that classify shapes")
    folder, about = folds_folder(run.path), read_folds(run)
    if about is None:
        why = "has no folds"
        if folder.exists():
            why = (
                f"has no folds; those in {folder} are not finished, or of a run with other settings"
            )
        raise RunError(f"{run.path}: {why}; make them with: pointmcd train ... --folds K")
    found = [folder / str(number + 1) for number in range(about["folds"])]
    for fold in map(Run, found):
        if fold.meta["classes"] != run.meta["classes"]:
            raise RunError(f"{fold.path}: knows other classes than {run.path}; use --split test")
    return found


def _teacher(config: TrainConfig, store: Store) -> str | None:
    """Return the name of a fold's teacher: the run's own, or one like it that knows less."""
    if config.teacher is None:
        return None
    lesson = config.described_task.lesson
    known = resolve_teacher(store, str(config.teacher), lesson, labels=store.label_file)
    if known["label_free"]:
        return str(known["name"])
    same, _ = config_of(known, store.path)
    base = str(known["name"]).split("-labels-")[0]
    name = f"{base}-labels-{labels_digest(str(config.labels))}"
    fold = replace(same, labels=config.labels, name=name, label_fraction=1.0, device=config.device)
    return teach(fold).name
