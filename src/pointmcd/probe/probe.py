"""What a frozen encoder's features are worth: four probes, beside what they are to be held against.

The encoder stands still. A linear SVM and nearest neighbours are fitted on the train part and read
once on the test part; few-shot episodes and retrieval follow. The same is done with a student of
random weights (what the architecture gives for nothing) and with the teacher's own descriptors
(about the best that a student of it can hope for).
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np

from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import write_json
from pointmcd.probe.embeddings import Pooling
from pointmcd.probe.scores import ProbeRow
from pointmcd.probe.sources import Ground, Source, of_random, of_run, of_teacher
from pointmcd.progress import progress_bar
from pointmcd.training.run import Run

#: On which parts the probes are fitted, by the part that they are read on.
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
            are cached there for the teacher's line.
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
        StoreError: when the store lacks labels, a second class, shapes of the part, or points.
        ConfigError: when a setting cannot be used.
    """
    _check(split, pooling, checkpoint, seed)
    ground = _ground(Store(store), split, pooling, seed, device)
    first, *others = [Run(path) for path in (run, *beside)]
    sources = [of_run(one, ground, checkpoint) for one in (first, *others)]
    if references:
        found = (of_random(first, ground), of_teacher(first, ground))
        sources += [source for source in found if source is not None]
    rows = _probed(sources)
    settings = {
        "store": str(ground.store.path.resolve()),
        "store_fingerprint": ground.store.fingerprint,
        "points": first.config.points,
        **{"split": split, "pooling": pooling, "checkpoint": checkpoint, "seed": seed},
        "runs": [str(one.path.resolve()) for one in (first, *others)],
        "references": references,
    }
    _write(first, settings, rows)
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


def _ground(store: Store, split: str, pooling: str, seed: int, device: str) -> Ground:
    fit = np.sort(np.concatenate([store.indices(part) for part in _FITTED_ON[split]]))
    read = store.indices(split)
    for name, found in (("train", fit), (split, read)):
        if not len(found):
            raise StoreError(f"{store.path}: no shapes in the {name} part; nothing to probe")
    store.labels(np.concatenate([fit, read]))  # raises where one is missing
    return Ground(store, fit, read, pooling, seed, pick_device(device))


def _probed(sources: Sequence[Source]) -> list[ProbeRow]:
    rows = []
    with progress_bar() as progress:
        task = progress.add_task("probed", total=len(sources), note="")
        for source in sources:
            progress.update(task, note=source.name)
            rows.append(ProbeRow(source.name, tuple(source.scores())))
            progress.advance(task)
    return rows


def _write(run: Run, settings: dict[str, Any], rows: Sequence[ProbeRow]) -> None:
    parts = (settings[key] for key in ("split", "checkpoint", "pooling"))
    name = "-".join(["probe", Path(settings["store"]).name, *parts])
    found = [{"name": row.name, "scores": [asdict(s) for s in row.scores]} for row in rows]
    write_json(run.path / f"{name}.json", {"settings": settings, "rows": found})
