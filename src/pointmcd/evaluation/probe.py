"""What a frozen encoder's features are worth: four probes, beside what they are to be held against.

The encoder stands still. A linear SVM and nearest neighbours are fitted on the train part and read
once on the test part; few-shot episodes and retrieval follow. The same is done with a student of
random weights (what the architecture gives for nothing) and with the teacher's own descriptors
(about the best that a student of it can hope for).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, RunError, StoreError
from pointmcd.evaluation.embeddings import Floats, calibrate, embed_shapes, pool_descriptors
from pointmcd.evaluation.features import Features
from pointmcd.evaluation.few_shot import few_shot
from pointmcd.evaluation.linear_probe import linear_svm, nearest_neighbours
from pointmcd.evaluation.model import load_model
from pointmcd.evaluation.retrieval import mean_average_precision
from pointmcd.evaluation.statistics import Spread
from pointmcd.files import write_json
from pointmcd.progress import progress_bar
from pointmcd.tasks.registry import build_model
from pointmcd.teachers.describe import describe_shapes
from pointmcd.training.run import Run

#: Ways and shots of the few-shot probes.
EPISODES = ((5, 10), (5, 20), (10, 10), (10, 20))
#: Random students of the reference.
RANDOM_SEEDS = (0, 1, 2)
#: On which parts the probes are fitted, by the part that they are read on.
_FITTED_ON = {"test": ("train", "val"), "val": ("train",)}


@dataclass(frozen=True)
class ProbeScores:
    """What one encoder's features reached; fractions from 0 to 1.

    Attributes:
        svm: overall accuracy of the linear SVM.
        svm_class: mean over classes of the same.
        svm_cost: the C that cross-validation on train chose.
        knn: overall accuracy of nearest neighbours.
        knn_neighbours: the number that cross-validation on train chose.
        few_shot: by ways and shots ("5w10s") mean and deviation over ten trials; None where too
            few classes have the shapes.
        retrieval_map: mean average precision of retrieval among the tested shapes.
        svm_cross_validated: mean accuracy of the chosen C in that cross-validation.
    """

    svm: float
    svm_class: float
    svm_cost: float
    knn: float
    knn_neighbours: int
    few_shot: dict[str, Spread | None]
    retrieval_map: float | None
    svm_cross_validated: float | None = None


@dataclass(frozen=True)
class ProbeRow:
    """One line of the table: an encoder, and its scores with each of its seeds."""

    name: str
    scores: tuple[ProbeScores, ...]


@dataclass(frozen=True)
class _Parts:
    """The shapes to fit on and to read on, and the seed of folds and episodes."""

    store: Store
    fit: npt.NDArray[np.int64]
    read: npt.NDArray[np.int64]
    seed: int

    def score(self, features: Callable[[npt.NDArray[np.int64]], Floats]) -> ProbeScores:
        """The scores of an encoder, given as a function from shapes to features."""
        fit, read = (
            Features(features(i).astype(np.float64), self.store.labels(i))
            for i in (self.fit, self.read)
        )
        return score_features(fit, read, self.seed)


def score_features(fit: Features, read: Features, seed: int = 0) -> ProbeScores:
    """All probes, fitted on one part and read on another.

    Raises:
        PointMCDError: when the part to fit on shows one class only.
    """
    svm, knn = linear_svm(fit, read, seed), nearest_neighbours(fit, read, seed)
    episodes = {f"{w}w{s}s": few_shot(fit, read, w, s, seed=seed) for w, s in EPISODES}
    return ProbeScores(
        svm=svm.accuracy,
        svm_class=svm.class_accuracy,
        svm_cost=svm.chosen,
        knn=knn.accuracy,
        knn_neighbours=int(knn.chosen),
        few_shot=episodes,
        retrieval_map=mean_average_precision(read, fit),
        svm_cross_validated=svm.cross_validated,
    )


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

    Writes `probe-<store's name>-<split>.json` into the run folder: scores and all settings.

    Args:
        run: a finished run of any task.
        store: what to probe on; the run need not have seen it.
        split: "test" (fitted on train and validation) or "val" (fitted on train), the part to
            choose settings on.
        pooling: of the embeddings over points: "max", "mean" or "both".
        checkpoint: "last" or "best".
        beside: other runs, for the same table.
        references: add a student of random weights and the teacher's own descriptors.
        seed: of the folds and the few-shot episodes.
        device: cpu, cuda, mps or auto.

    Raises:
        RunError: when a run is not finished or damaged.
        StoreError: when the store lacks labels, shapes of the part, or points.
        ConfigError: when a setting cannot be used.
    """
    parts, where = _parts(Store(store), split, seed), pick_device(device)
    opened = [_finished(path) for path in (run, *beside)]
    rows: list[ProbeRow] = []
    jobs = [_of_run(one, parts, checkpoint, pooling, where) for one in opened]
    if references:
        jobs += [_of_random(opened[0], parts, pooling, where)]
        jobs += list(_of_teacher(opened[0], parts, pooling, where))
    with progress_bar() as progress:
        task = progress.add_task("probed", total=len(jobs), note="")
        for name, job in jobs:
            progress.update(task, note=name)
            rows.append(ProbeRow(name, job()))
            progress.advance(task)
    settings = {"split": split, "pooling": pooling, "checkpoint": checkpoint, "seed": seed}
    _write(opened[0], parts.store, settings, rows)
    return rows


_Job = tuple[str, Callable[[], tuple[ProbeScores, ...]]]


def _parts(store: Store, split: str, seed: int) -> _Parts:
    if split not in _FITTED_ON:
        raise ConfigError(f"--split {split}: use one of {', '.join(_FITTED_ON)}")
    fit = np.concatenate([store.indices(part) for part in _FITTED_ON[split]])
    read = store.indices(split)
    for name, found in (("train", fit), (split, read)):
        if not len(found):
            raise StoreError(f"{store.path}: no shapes in the {name} part; nothing to probe")
    store.labels(np.concatenate([fit, read]))  # raises where one is missing
    return _Parts(store, np.sort(fit), read, seed)


def _finished(path: Path) -> Run:
    run = Run(path)
    if not run.finished:
        raise RunError(f"{path}: not finished; run the same pointmcd train command again")
    return run


def _of_run(run: Run, parts: _Parts, checkpoint: str, pooling: str, device: torch.device) -> _Job:
    def scores() -> tuple[ProbeScores, ...]:
        student: Any = load_model(run, checkpoint, device).student
        count = run.config.points
        return (
            parts.score(lambda i: embed_shapes(student, parts.store, i, count, pooling, device)),
        )

    return run.path.name, scores


def _of_random(run: Run, parts: _Parts, pooling: str, device: torch.device) -> _Job:
    """The same architecture with random weights, its batch norms calibrated."""

    def one(seed: int) -> ProbeScores:
        meta, count = run.meta, run.config.points
        torch.manual_seed(seed)
        model: Any = build_model(
            *(meta["task"], meta["student"], meta["num_classes"], run.part_ranges),
            pretrain_for=run.config.pretrain_for,
        )
        student = model.student.to(device)
        calibrate(student, parts.store, count, device)
        return parts.score(lambda i: embed_shapes(student, parts.store, i, count, pooling, device))

    seeds = ", ".join(map(str, RANDOM_SEEDS))
    name = f"{run.meta['student']}, random weights (seeds {seeds})"
    return name, lambda: tuple(one(seed) for seed in RANDOM_SEEDS)


def _of_teacher(run: Run, parts: _Parts, pooling: str, device: torch.device) -> Iterator[_Job]:
    """The descriptors of the run's teacher; nothing where it has none or it cannot be used."""
    meta = run.meta["teacher"]
    if meta is None:
        return
    folder = Path(run.meta["store"]) / "teachers" / meta["name"]

    def scores() -> tuple[ProbeScores, ...]:
        every = describe_shapes(folder, parts.store, device)
        return (parts.score(lambda i: pool_descriptors(every[i], pooling)),)

    yield f"teacher {meta['name']}", scores


def _write(run: Run, store: Store, settings: dict[str, Any], rows: Sequence[ProbeRow]) -> None:
    used = {
        "store": str(store.path.resolve()),
        "store_fingerprint": store.fingerprint,
        "points": run.config.points,
        **settings,
    }
    found = [{"name": row.name, "scores": [asdict(s) for s in row.scores]} for row in rows]
    path = run.path / f"probe-{store.path.resolve().name}-{settings['split']}.json"
    write_json(path, {"settings": used, "rows": found})
