"""Cross-validation: how sure one can be of a run whose shapes have few labels and no test split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.splits import fold_members
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.files import read_json, write_json
from pointmcd.teachers.settings import config_of
from pointmcd.teachers.stored import resolve_teacher
from pointmcd.teachers.teach import teach
from pointmcd.training.calibration import FOLD_KEYS, FOLDS_FILE, fit, folds_folder, held_out
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.several import train_all


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

    Teachers that read labels are made anew for every fold, so that none knows what is held out.
    The runs lie in RUN-folds/1, 2, ...; finished ones are kept.

    Args:
        config: of the run that the folds stand for.
        folds: at least 2, at most the number of labelled shapes outside the test split.
        at_once: how many folds are trained at a time, in processes of their own.

    Raises:
        ConfigError: when there cannot be so many folds, or the task cannot be judged so.
        StoreError, RunError: as `train`.
    """
    task = config.described_task
    if task.best != "val_accuracy":
        raise ConfigError(f"--folds: is for classification, not --task {config.task}")
    if config.init is not None and Run(config.init).task.labelled:
        raise ConfigError("--folds: the run of --init learnt labels that a fold holds out")
    if config.label_fraction < 1:
        raise ConfigError("--folds: takes turns with all labels; leave out --label-fraction")
    store = Store(config.store, config.labels)
    rows = _labelled(store)
    parent = folds_folder(config.folder)
    configs = []
    for number, held in enumerate(_folds(rows, folds, config), start=1):
        file = parent / f"{number}.csv"
        write_labels(file, [r._replace(split="val" if r.path in held else "train") for r in rows])
        fold = replace(config, labels=file, out=parent / str(number), fit_on="train")
        configs.append(replace(fold, teacher=_teacher(fold, store)))
    runs = map(Run, train_all(configs, at_once))
    held_out_said = [held_out(run, run.open_store(), "last") for run in runs]
    correct = sum(
        int((said["probabilities"].argmax(axis=1) == said["labels"]).sum())
        for said in held_out_said
    )
    interval = binomtest(correct, len(rows)).proportion_ci(method="wilson")
    found = CrossValidation(correct, len(rows), float(interval.low), float(interval.high))
    of = dict(zip(FOLD_KEYS, (config.student, config.arm, store.fingerprint), strict=True))
    about = {**of, "accuracy": found.accuracy, "folds": folds, "calibration": fit(held_out_said)}
    write_json(parent / FOLDS_FILE, {**vars(found), **about})
    return found


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
    folder = folds_folder(run.path)
    about = read_json(folder / FOLDS_FILE) if (folder / FOLDS_FILE).exists() else {}
    again = "train it again with: pointmcd train ... --folds K"
    if not about:
        raise RunError(f"{run.path}: has no folds; {again}")
    found = [folder / str(number + 1) for number in range(about["folds"])]
    ours, theirs = (_common_settings(one) for one in (run, Run(found[0])))
    if any(about[key] != run.meta[key] for key in FOLD_KEYS) or ours != theirs:
        raise RunError(f"{folder}: are the folds of another run than {run.path}; {again}")
    return found


def _common_settings(run: Run) -> dict[str, Any]:
    """The settings in which a run and its folds agree, whatever they have of shapes and labels."""
    own = ("labels", "teacher", "fit_on", "epochs", "batch_size", "objective")
    return {key: value for key, value in run.meta["settings"].items() if key not in own}


def _teacher(config: TrainConfig, store: Store) -> str | None:
    """Return the name of a fold's teacher: the run's own, or one like it that knows less."""
    if config.teacher is None:
        return None
    lesson = config.described_task.lesson
    known = resolve_teacher(store, str(config.teacher), lesson, labels=store.label_file)
    if known["label_free"]:
        return str(known["name"])
    same, _ = config_of(known, store.path)
    fold = replace(same, labels=config.labels, name=None, label_fraction=1.0, device=config.device)
    return teach(fold).name
