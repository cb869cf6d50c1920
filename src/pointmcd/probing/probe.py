"""Evaluate frozen features: SVM, kNN, few-shot, retrieval.

A linear SVM and nearest neighbours are fitted on the train split and scored once on the test
split; few-shot trials and retrieval follow. References are a student of random weights (what the
architecture gives for nothing) and the teacher's own descriptors (about the best that a student of
it can hope for).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, RunError, StoreError
from pointmcd.files import read_json, write_json
from pointmcd.probing.features import (
    RANDOM_SEEDS,
    Encoder,
    Indices,
    Pooling,
    random_students,
    teacher,
    trained_student,
)
from pointmcd.probing.scores import ProbeRow, score_features
from pointmcd.progress import console, progress_bar
from pointmcd.teachers.stored import teacher_folder
from pointmcd.training.run import Run

#: The splits that the probes are fitted on, by the split that they are scored on.
_FITTED_ON = {"test": ("train", "val"), "val": ("train",)}
_CHECKPOINTS = ("last", "best")


def probe(
    run: Path,
    store: Path,
    *,
    split: str = "test",
    pooling: str = "max",
    checkpoint: str = "last",
    beside: Sequence[Path] = (),
    references: bool = True,
    seed: int = 0,
    device: str = "auto",
) -> list[ProbeRow]:
    """Probe a run's student on any store with class labels, of the same or another data set.

    Writes `probe-STORE-SPLIT-CHECKPOINT-POOLING.json` into the run folder: scores and settings.

    Args:
        run: a finished run of any task.
        store: what to probe on; the run need not have seen it. A frozen encoder's features of it
            are cached there for the teacher's row.
        split: "test" (fitted on train and validation) or "val" (fitted on train), the split to
            choose settings on.
        pooling: of the embeddings over points: "max", "mean" or "both".
        checkpoint: "last" or "best".
        beside: other runs, for the same table.
        references: add a student of random weights and the teacher's own descriptors.
        seed: of the folds and the few-shot trials.
        device: cpu, cuda, mps or auto.

    Raises:
        RunError: when a run is not finished or damaged.
        StoreError: when the store lacks labels, a second class, shapes of the split, or points.
        ConfigError: when a setting cannot be used.
    """
    _check(split, pooling, checkpoint, seed)
    opened, where = Store(store), pick_device(device)
    fit, score = _shapes(opened, split)
    runs = [_finished(path, opened) for path in (run, *beside)]
    encoders = [
        (one.path.resolve().name, trained_student(one, checkpoint, opened, pooling, where))
        for one in runs
    ]
    if references:
        encoders += _references(runs[0], opened, pooling, where)
    rows = _score(encoders, opened, fit, score, seed)
    settings = {
        "store": str(opened.path.resolve()),
        "store_fingerprint": opened.fingerprint,
        "points": runs[0].config.points,
        **{"split": split, "pooling": pooling, "checkpoint": checkpoint, "seed": seed},
        "runs": [str(one.path.resolve()) for one in runs],
        "references": references,
    }
    found = [{"name": row.name, "scores": [asdict(s) for s in row.scores]} for row in rows]
    name = f"probe-{opened.path.resolve().name}-{split}-{checkpoint}-{pooling}.json"
    write_json(runs[0].path / name, {"settings": settings, "rows": found})
    return rows


def _check(split: str, pooling: str, checkpoint: str, seed: int) -> None:
    for option, value, choices in (
        ("split", split, tuple(_FITTED_ON)),
        ("pooling", pooling, get_args(Pooling)),
        ("checkpoint", checkpoint, _CHECKPOINTS),
    ):
        if value not in choices:
            raise ConfigError(f"--{option} {value}: use one of {', '.join(choices)}")
    if seed < 0:
        raise ConfigError(f"--seed {seed}: at least 0")


def _shapes(store: Store, split: str) -> tuple[Indices, Indices]:
    """Return the indices of the shapes to fit on and to score on."""
    fit = np.sort(np.concatenate([store.indices(name) for name in _FITTED_ON[split]]))
    score = store.indices(split)
    for name, indices in (("train", fit), (split, score)):
        if not len(indices):
            raise StoreError(f"{store.path}: no shapes in the {name} split; nothing to probe")
        store.labels(indices)  # raises where one is missing
    if len(np.unique(store.labels(fit))) < 2:
        raise StoreError(f"{store.path}: the train split shows one class; a probe needs two")
    return fit, score


def _finished(path: Path, store: Store) -> Run:
    run = Run(path)
    run.refuse_unfinished()
    if run.config.points > store.num_points:
        raise StoreError(
            f"{store.path}: holds {store.num_points} points per shape, {run.path} takes"
            f" {run.config.points}; prepare it again with more"
        )
    return run


def _references(
    run: Run, store: Store, pooling: str, device: torch.device
) -> Iterator[tuple[str, Iterator[Encoder]]]:
    """Yield random weights, and the teacher where it can be had, by their names in the table."""
    random = random_students(run, store, pooling, device)
    yield f"random weights ({len(RANDOM_SEEDS)} seeds)", random
    meta = run.meta["teacher"]
    if meta is None:
        return
    folder = _find_teacher(run, store)
    if folder is None:
        why = f"it is not in {run.meta['store']} any more, or another one stands there"
    elif not _can_describe(folder, store):
        why = "it learnt the labels of another store"
    else:
        yield f"teacher {meta['name']}", teacher(folder, store, pooling, device)
        return
    note = f"note: {run.path}: its teacher {meta['name']} is left out: {why}"
    console.print(note, markup=False, soft_wrap=True)


def _can_describe(folder: Path, store: Store) -> bool:
    """Return whether a teacher is of this store, or knows no labels of its own."""
    meta = read_json(folder / "teacher.json")
    own = meta["store_fingerprint"] == store.fingerprint
    return own or bool(meta.get("label_free", True))


def _find_teacher(run: Run, store: Store) -> Path | None:
    """Return the very teacher of a run: from its store, or from this one, if that is a copy."""
    meta = run.meta["teacher"]
    its_own = Path(run.meta["store"]) / "teachers" / meta["name"]
    for folder in (its_own, teacher_folder(store, meta["name"])):
        file = folder / "teacher.json"
        if file.exists() and read_json(file).get("fingerprint") == meta["fingerprint"]:
            return folder
    return None


def _score(
    encoders: Sequence[tuple[str, Iterator[Encoder]]],
    store: Store,
    fit: Indices,
    score: Indices,
    seed: int,
) -> list[ProbeRow]:
    rows = []
    fit_y, score_y = store.labels(fit), store.labels(score)
    with progress_bar() as progress:
        task = progress.add_task("probed", total=len(encoders), note="")
        for name, of_seeds in encoders:
            progress.update(task, note=name)
            scores = []
            for encoder in of_seeds:
                fit_x, score_x = (encoder(rows).astype(np.float64) for rows in (fit, score))
                if not (np.isfinite(fit_x).all() and np.isfinite(score_x).all()):
                    raise RunError(f"{name}: its features of {store.path} are not finite")
                scores.append(score_features(fit_x, fit_y, score_x, score_y, seed))
            rows.append(ProbeRow(name, tuple(scores)))
            progress.advance(task)
    return rows
