"""Evaluate a finished run on a split or by its folds, once: metrics and predictions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.dataset import ShapeDataset, evaluation_loader
from pointmcd.data.splits import held_back
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, RunError, StoreError
from pointmcd.evaluation.shape_sets import FOLDS, REST
from pointmcd.evaluation.voting import FACTORS, SEED, check_votes, suffix, vote, wording
from pointmcd.files import replacing, write_json
from pointmcd.metrics.metrics import Metrics
from pointmcd.tasks.results import Arrays
from pointmcd.tasks.task import task_of_teacher
from pointmcd.teachers.stored import map_output, open_teacher_store, read_teacher
from pointmcd.training.folds import fold_runs
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.teacher_metrics import teacher_metrics
from pointmcd.typing import Indices


def evaluate(
    run: str | Path,
    split: str = "test",
    store: str | Path | None = None,
    device: str = "auto",
    voting: int = 1,
) -> dict[str, Metrics]:
    """Metrics of a finished run on a split, for its last and its best-on-validation checkpoint.

    A run that fits the validation split too has no such best one.
    With a teacher that does the task itself, its metrics on the same shapes come as "teacher".
    Writes `<split>.json` and `predictions-<split>-<checkpoint>.npz` into the run folder, and the
    pictures of its task, as `confusion-<split>-<checkpoint>.png`. What voting gives is in files of
    its own, whose names end in `-voting<number>`.

    Args:
        run: the run folder.
        split: "test", "val" or "train"; "rest": the shapes whose labels the run did not know, in
            train and test (beside a label file, the store's own labels are what it is held
            against); or "folds": the labelled shapes, each as classified by the fold trained
            without it, in the last epoch.
        store: where the store is now, if it has moved.
        device: cpu, cuda, mps or auto.
        voting: over how many rescaled copies of each cloud to take the mean of the outputs; 1: the
            clouds as they are. A teacher does not vote.

    Raises:
        RunError: when the run is not finished, was trained on another store, knew all labels, or
            has no folds.
        StoreError: when the split has no shapes.
        ConfigError: when `voting` is below 1.
    """
    check_votes(voting)
    where = pick_device(device)
    about: dict[str, Any]
    if split == FOLDS:
        opened = Run(run)
        opened.refuse_pretrained()
        folds = fold_runs(opened)
        said, about = _of_folds(folds, store, where, voting), {"folds": len(folds)}
    else:
        opened, data, indices = open_evaluation(run, split, store)
        said = {
            one: predictions(opened, data, indices, one, where, voting)
            for one in opened.checkpoints
        }
        if voting == 1 and (answers := teacher_predictions(opened, data, indices, said["last"])):
            said["teacher"] = answers
        about = _checkpoint_facts(opened)
    results = {}
    for checkpoint, arrays in said.items():
        results[checkpoint] = opened.task.measure(arrays["labels"], arrays, opened.labels)
        kept = arrays | ({"voting": np.array(voting)} if voting > 1 else {})
        kept |= {"folds": np.array(about["folds"])} if split == FOLDS else {}
        save_arrays(opened.path / f"predictions-{split}-{checkpoint}{suffix(voting)}.npz", kept)
        if checkpoint != "teacher":
            _draw(opened, split, checkpoint, results[checkpoint], voting)
    found = {checkpoint: metrics.as_dict() for checkpoint, metrics in results.items()}
    if voting > 1:
        about["voting"] = {"votes": voting, "factors": FACTORS, "seed": SEED}
    write_json(opened.path / f"{split}{suffix(voting)}.json", {"split": split, **about, **found})
    return results


def _checkpoint_facts(run: Run) -> dict[str, Any]:
    if "best" in run.checkpoints:
        return {"best_epoch": load_checkpoint(run.checkpoint("best"))[1]["epoch"]}
    return {"fit_on": run.fit_on}


def _draw(run: Run, split: str, checkpoint: str, metrics: Metrics, voting: int) -> None:
    """Draw the pictures of the run's task."""
    title = f"{run.path.name}: {split}, {checkpoint} epoch{wording(voting)}"
    for name, figure in run.task.pictures(metrics, run.labels, title).items():
        file = run.path / f"{name}-{split}-{checkpoint}{suffix(voting)}.png"
        with replacing(file) as temporary:
            figure.savefig(temporary, dpi=110, format="png")


def predictions(
    run: Run, store: Store, indices: Indices, checkpoint: str, device: torch.device, voting: int = 1
) -> Arrays:
    """Return the names and labels of shapes, [n] each, and what a checkpoint says of them."""
    task = run.task
    dataset = ShapeDataset(
        store, indices, run.config.points, parts=task.dense, features=run.features
    )
    model = load_model(run, checkpoint, device)
    vote(model, voting, run.features)
    names = np.array([store.shapes[i].name for i in indices])
    said = task.predictions(model, evaluation_loader(dataset), device)
    return {"names": names, "labels": dataset.labels, **said}


def _of_folds(
    folds: Sequence[Path], store: str | Path | None, device: torch.device, voting: int = 1
) -> dict[str, Arrays]:
    """Return what each fold of a run says of the labelled shapes that it was trained without.

    By "last" and, where every fold's teacher does the task itself, by "teacher". There is no best
    epoch: it was chosen on these very shapes.
    """
    parts: dict[str, list[Arrays]] = {"last": [], "teacher": []}
    for fold in folds:
        opened, data, held = open_evaluation(fold, "val", store)
        ours = predictions(opened, data, held, "last", device, voting)
        parts["last"].append(ours)
        if voting == 1 and (answers := teacher_predictions(opened, data, held, ours)):
            parts["teacher"].append(answers)
    if len(parts["teacher"]) < len(folds):
        del parts["teacher"]
    return {
        name: {key: np.concatenate([one[key] for one in said]) for key in said[0]}
        for name, said in parts.items()
    }


def evaluate_teacher(folder: str | Path, split: str = "test") -> Metrics:
    """Metrics of a teacher on a split of its store, from what the store holds of it.

    Args:
        folder: of the teacher, STORE/teachers/NAME.
        split: "test", "val" or "train"; of train it knows the labels.

    Raises:
        StoreError: when the teacher does not match its store, or the split has no shapes.
        ConfigError: when it does no task.
    """
    store, teacher = open_teacher_store(Path(folder))
    task = task_of_teacher(folder, teacher["task"])
    if split in (REST, FOLDS):
        raise ConfigError(f"--split {split}: is for runs; with a teacher use --split test")
    indices = store.indices(split)
    if not len(indices):
        raise StoreError(f"{store.path}: no shapes in the {split} split; nothing to evaluate")
    return teacher_metrics(task, store, teacher, indices)


def open_evaluation(
    path: str | Path, split: str, store: str | Path | None
) -> tuple[Run, Store, Indices]:
    """Open a run, the store that it was trained on, and the indices of a split's shapes.

    Raises:
        RunError: when the run is not finished, was trained without labels or on another store, or
            was fitted on the validation split that is asked for.
        StoreError: when the split has no shapes.
    """
    run = Run(path)
    run.refuse_unfinished()
    run.refuse_pretrained()
    data = run.open_store(store)
    same = data.fingerprint == run.meta["store_fingerprint"]
    if not same or data.classes != run.meta["classes"]:
        raise RunError(
            f"{run.path}: trained on another store than {data.path} (its rig, renderer, points,"
            " classes or splits differ); give the one it was trained on with --store"
        )
    if split == "val" and "best" not in run.checkpoints:
        raise RunError(f"{run.path}: was fitted on {run.fit_on}; use --split test")
    indices = data.indices(split)
    if split == REST:
        indices, data = _rest(run, data), data.with_own_labels()
    if not len(indices):
        hint = ": add a column split to the label file and train again; or, after train --folds"
        hint = f"{hint} and without --corrupt, use --split folds" * (split == "test")
        raise StoreError(f"{data.path}: no shapes in the {split} split; nothing to evaluate{hint}")
    return run, data, indices


def _rest(run: Run, store: Store) -> Indices:
    """Return the shapes whose labels a run did not know: those held back in train, and the test's.

    Raises:
        RunError: when it knew all labels of train that are known.
    """
    held = held_back(store, run.config.label_fraction, run.config.seed)
    if not len(held):
        why = "knew the labels of all train shapes"
        if store.label_file:
            why = (
                "was trained with a label file, and the store has no matching labels of its own to"
                " check against"
            )
        raise RunError(f"{run.path}: {why}, so there is no rest to evaluate; use --split test")
    return np.concatenate([held, store.indices("test")])


def teacher_predictions(run: Run, store: Store, indices: Indices, ours: Arrays) -> Arrays:
    """Return what a run's teacher says itself, from its outputs in the store, like `predictions`.

    `ours` is what its student says of the same shapes.

    Empty for a baseline, for a teacher that does not do the task, and where it is no longer there.
    """
    teacher, answer = run.meta["teacher"], run.task.teacher_answer
    if teacher is None or answer is None or answer not in teacher["outputs"]:
        return {}
    try:
        here = read_teacher(store, teacher["name"])
        if here["fingerprint"] != teacher["fingerprint"]:
            return {}
        outputs = map_output(store, here, answer, indices)[:]
    except StoreError:
        return {}
    said, labels = torch.from_numpy(outputs).float(), store.labels(indices)
    answers = run.task.teacher_predictions(said, labels, run.labels, ours)
    return {"names": ours["names"], "labels": ours["labels"], **answers}


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays to a temporary file and rename it to `path` (.npz)."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
