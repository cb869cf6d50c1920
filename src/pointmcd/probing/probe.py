"""Evaluate frozen features: SVM, kNN, few-shot, retrieval.

A linear SVM and nearest neighbours are fitted on the train split and scored once on the test
split; few-shot trials and retrieval follow. References are a student of random weights (what the
architecture gives for nothing) and the teacher's own descriptors (about the best that a student of
it can hope for).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import RunError, StoreError
from pointmcd.files import read_json, write_json
from pointmcd.probing.config import ProbeConfig
from pointmcd.probing.features import (
    RANDOM_SEEDS,
    Encoder,
    random_students,
    teacher,
    trained_student,
)
from pointmcd.probing.scores import ProbeRow, score_features
from pointmcd.progress import note, progress_bar
from pointmcd.teachers.stored import check_format, teacher_folder
from pointmcd.training.run import Run
from pointmcd.typing import Indices

#: The splits that the probes are fitted on, by the split that they are scored on.
_FITTED_ON = {"test": ("train", "val"), "val": ("train",)}


def probe(config: ProbeConfig) -> list[ProbeRow]:
    """Evaluate the frozen student of a run on any store with class labels.

    Writes `probe-STORE-SPLIT-CHECKPOINT-POOLING.json` into the run folder: scores and settings.

    Raises:
        RunError: when a run is not finished or damaged.
        StoreError: when the store lacks labels, a second class, shapes of the split, or points.
        ConfigError: when a setting cannot be used.
    """
    config.check()
    store, device = Store(Path(config.store)), pick_device(config.device)
    shapes = _shapes(store, config.split)
    runs = [Run(Path(path)) for path in (config.run, *config.others)]
    for run in runs:
        run.refuse_unfinished()
        if run.config.points > store.num_points:
            raise StoreError(
                f"{store.path}: holds {store.num_points} points per shape, {run.path} takes"
                f" {run.config.points}; prepare it again with more"
            )
    encoders = [
        (run.path.resolve().name, trained_student(run, config, store, device)) for run in runs
    ]
    if config.references:
        encoders += _references(runs[0], config, store, device)
    rows = _score(encoders, store, shapes, config.seed)
    _write(config, store, runs, rows)
    return rows


def _shapes(store: Store, split: str) -> tuple[Indices, Indices]:
    """Return the indices of the labelled shapes to fit on and to score on."""
    every = np.concatenate([store.indices(name) for name in _FITTED_ON[split]])
    fit, score = _labelled(store, np.sort(every)), _labelled(store, store.indices(split))
    for name, indices in (("train", fit), (split, score)):
        if not len(indices):
            raise StoreError(f"{store.path}: no shapes in the {name} split; nothing to probe")
        store.labels(indices)  # raises where there is none
    if len(np.unique(store.labels(fit))) < 2:
        raise StoreError(f"{store.path}: the train split shows one class; a probe needs two")
    return fit, score


def _references(
    run: Run, config: ProbeConfig, store: Store, device: torch.device
) -> Iterator[tuple[str, Iterator[Encoder]]]:
    """Yield random weights, and the teacher where it can be had, by their names in the table."""
    name = f"random weights ({len(RANDOM_SEEDS)} seeds)"
    yield name, random_students(run, config, store, device)
    if run.meta["teacher"] is None:
        return
    name = run.meta["teacher"]["name"]
    try:
        folder = _find_teacher(run, store)
    except StoreError as why:
        note(f"{run.path}: its teacher {name} is left out: {why}")
    else:
        yield f"teacher {name}", teacher(folder, config, store, device)


def _labelled(store: Store, indices: Indices) -> Indices:
    """Return the shapes of a split whose class is known; all where none is."""
    known = [store.shapes[int(index)].label is not None for index in indices]
    if not any(known) or all(known):
        return indices
    note(
        f"{store.path}: {len(known) - sum(known)} of {len(known)} shapes have no label and"
        " are left out"
    )
    return np.asarray(indices[np.array(known)])


def _find_teacher(run: Run, store: Store) -> Path:
    """Return the very teacher of a run: from its store, or from this one, if that is a copy.

    Raises:
        StoreError: why it can say nothing of this store.
    """
    wanted = run.meta["teacher"]
    its_own = Path(run.meta["store"]) / "teachers" / wanted["name"]
    for folder in (its_own, teacher_folder(store, wanted["name"])):
        file = folder / "teacher.json"
        meta = read_json(file) if file.exists() else {}
        if meta.get("fingerprint") == wanted["fingerprint"]:
            check_format(meta, folder)
            if meta["store_fingerprint"] != store.fingerprint and not meta["label_free"]:
                raise StoreError("it learnt the labels of another store")
            return folder
    raise StoreError(f"it is not in {run.meta['store']} any more, or another one stands there")


def _score(
    encoders: Sequence[tuple[str, Iterator[Encoder]]],
    store: Store,
    shapes: tuple[Indices, Indices],
    seed: int,
) -> list[ProbeRow]:
    fit_y, score_y = map(store.labels, shapes)
    rows = []
    with progress_bar() as progress:
        task = progress.add_task("probe", total=len(encoders), note="")
        for name, of_seeds in encoders:
            progress.update(task, note=name)
            scores = []
            for encoder in of_seeds:
                fit_x, score_x = (encoder(indices).astype(np.float64) for indices in shapes)
                if not (np.isfinite(fit_x).all() and np.isfinite(score_x).all()):
                    raise RunError(f"{name}: its features of {store.path} are not finite")
                scores.append(score_features(fit_x, fit_y, score_x, score_y, seed))
            rows.append(ProbeRow(name, tuple(scores)))
            progress.advance(task)
    return rows


def _write(
    config: ProbeConfig, store: Store, runs: Sequence[Run], rows: Sequence[ProbeRow]
) -> None:
    path = store.path.resolve()
    settings = {
        "store": str(path),
        "store_fingerprint": store.fingerprint,
        "points": runs[0].config.points,
        **{name: getattr(config, name) for name in ("split", "pooling", "checkpoint", "seed")},
        "runs": [str(run.path.resolve()) for run in runs],
        "references": config.references,
    }
    found = [{"name": row.name, "scores": [asdict(s) for s in row.scores]} for row in rows]
    name = f"probe-{path.name}-{config.split}-{config.checkpoint}-{config.pooling}.json"
    write_json(runs[0].path / name, {"settings": settings, "rows": found})
