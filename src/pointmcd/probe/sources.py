"""Where probed features come from: a run's student, one of random weights, the run's teacher."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pointmcd.data.store import Store
from pointmcd.errors import PointMCDError, StoreError
from pointmcd.files import read_json
from pointmcd.probe.embeddings import Floats, calibrate, embed_shapes, pool_descriptors
from pointmcd.probe.features import Features
from pointmcd.probe.scores import ProbeScores, score_features
from pointmcd.progress import console
from pointmcd.teachers.config import LABEL_FREE
from pointmcd.teachers.describe import describe_shapes
from pointmcd.teachers.stored import teacher_folder
from pointmcd.training.model import load_model, new_model
from pointmcd.training.run import Run

#: Random students of the reference.
RANDOM_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Ground:
    """What is probed on, and how.

    Attributes:
        store: with class labels.
        fit, read: indices of the shapes to fit on and to read on.
        pooling: of embeddings over points and of descriptors over views.
        seed: of folds and episodes.
        device: where to compute.
    """

    store: Store
    fit: npt.NDArray[np.int64]
    read: npt.NDArray[np.int64]
    pooling: str
    seed: int
    device: torch.device

    def score(self, features: Callable[[npt.NDArray[np.int64]], Floats]) -> ProbeScores:
        """The scores of an encoder, given as a function from shapes to features."""
        try:
            fit, read = (
                Features(features(i).astype(np.float64), self.store.labels(i))
                for i in (self.fit, self.read)
            )
            return score_features(fit, read, self.seed)
        except PointMCDError as error:
            raise StoreError(f"{self.store.path}: {error}") from error

    def score_student(self, student: Any, points: int) -> ProbeScores:
        """The scores of a frozen student's embeddings of that many points."""
        return self.score(
            lambda i: embed_shapes(student, self.store, i, points, self.pooling, self.device)
        )


@dataclass(frozen=True)
class Source:
    """One line of the table to be: its name, and what makes its scores, one per seed."""

    name: str
    scores: Callable[[], Iterator[ProbeScores]]


def of_run(run: Run, ground: Ground, checkpoint: str) -> Source:
    """The student of a run.

    Raises:
        RunError: when the run is not finished.
        StoreError: when the store holds fewer points than the run takes.
    """
    run.refuse_unfinished()
    points, held = run.config.points, ground.store.num_points
    if points > held:
        raise StoreError(
            f"{ground.store.path}: holds {held} points per shape, {run.path} takes {points};"
            " prepare it again with more"
        )

    def scores() -> Iterator[ProbeScores]:
        student: Any = load_model(run, checkpoint, ground.device).student
        yield ground.score_student(student, points)

    return Source(run.path.resolve().name, scores)


def of_random(run: Run, ground: Ground) -> Source:
    """The same architecture with random weights, its batch norms calibrated on the train part."""

    def scores() -> Iterator[ProbeScores]:
        for seed in RANDOM_SEEDS:
            torch.manual_seed(seed)
            model: Any = new_model(run)
            student = model.student.to(ground.device)
            calibrate(student, ground.store, run.config.points, ground.device)
            yield ground.score_student(student, run.config.points)

    return Source(f"random weights ({len(RANDOM_SEEDS)} seeds)", scores)


def of_teacher(run: Run, ground: Ground) -> Source | None:
    """The descriptors of the run's teacher; None, with a note, where they cannot be had."""
    meta = run.meta["teacher"]
    if meta is None:
        return None
    folder = _find_teacher(run, ground.store)
    own = meta["store_fingerprint"] == ground.store.fingerprint
    if folder is None:
        why = f"it is not in {run.meta['store']} any more, or another one stands there"
    elif not own and meta.get("task") not in LABEL_FREE:
        why = "it learnt the labels of another store"
    else:
        return _described(folder, meta["name"], ground)
    note = f"note: {run.path}: its teacher {meta['name']} is left out: {why}"
    console.print(note, markup=False, soft_wrap=True)
    return None


def _described(folder: Path, name: str, ground: Ground) -> Source:
    every = describe_shapes(folder, ground.store, ground.device)

    def scores() -> Iterator[ProbeScores]:
        yield ground.score(lambda i: pool_descriptors(every[i], ground.pooling))

    return Source(f"teacher {name}", scores)


def _find_teacher(run: Run, store: Store) -> Path | None:
    """The very teacher of a run: in its store, or in this one, should that be it elsewhere."""
    meta = run.meta["teacher"]
    its_own = Path(run.meta["store"]) / "teachers" / meta["name"]
    for folder in (its_own, teacher_folder(store, meta["name"])):
        file = folder / "teacher.json"
        if file.exists() and read_json(file).get("fingerprint") == meta["fingerprint"]:
            return folder
    return None
