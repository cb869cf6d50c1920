"""Evaluate a finished run on the test split, once: metrics and predictions."""

from pathlib import Path

import numpy as np

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.dataset import ShapeDataset, evaluation_loader
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import RunError, StoreError
from pointmcd.files import replacing, write_json
from pointmcd.metrics.metrics import Metrics
from pointmcd.tasks.results import Arrays
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.typing import Indices

CHECKPOINTS = ("last", "best")


def evaluate(
    run: Path, split: str = "test", store: Path | None = None, device: str = "auto"
) -> dict[str, Metrics]:
    """Metrics of a finished run on a split, for its last and its best-on-validation checkpoint.

    Writes `<split>.json` and `predictions-<split>-<checkpoint>.npz` into the run folder, and the
    pictures of its task, as `confusion-<split>-<checkpoint>.png`.

    Args:
        run: the run folder.
        split: "test", "val" or "train".
        store: where the store is now, if it has moved; it must be the very same.
        device: cpu, cuda, mps or auto.

    Raises:
        RunError: when the run is not finished, or was trained on another store.
        StoreError: when the split has no shapes.
    """
    opened = open_finished(run)
    task, where = opened.task, pick_device(device)
    data = matching_store(opened, store)
    indices = some_shapes(data, split)
    dataset = ShapeDataset(data, indices, opened.config.points, parts=task.dense)
    names = [data.shapes[i].name for i in indices]
    results: dict[str, Metrics] = {}
    for checkpoint in CHECKPOINTS:
        model = load_model(opened, checkpoint, where)
        arrays = task.predictions(model, evaluation_loader(dataset), where)
        metrics = task.measure(dataset.labels, arrays, opened.labels)
        results[checkpoint] = metrics
        kept = {"names": np.array(names), "labels": dataset.labels, **arrays}
        save_arrays(run / f"predictions-{split}-{checkpoint}.npz", kept)
        title = f"{opened.path.name}: {split}, {checkpoint} epoch"
        for name, figure in task.pictures(metrics, opened.labels, title).items():
            with replacing(run / f"{name}-{split}-{checkpoint}.png") as temporary:
                figure.savefig(temporary, dpi=110, format="png")
    _, state = load_checkpoint(opened.checkpoint("best"))
    found = {checkpoint: metrics.as_dict() for checkpoint, metrics in results.items()}
    write_json(run / f"{split}.json", {"split": split, "best_epoch": state["epoch"], **found})
    return results


def open_finished(run: Path) -> Run:
    """Open a run that can be evaluated.

    Raises:
        RunError: when it is not finished, or was trained without labels.
    """
    opened = Run(run)
    opened.refuse_unfinished()
    opened.refuse_pretrained()
    return opened


def matching_store(run: Run, path: Path | None) -> Store:
    """The store that a run was trained on, at `path` if it has moved.

    Raises:
        RunError: when that is another one.
    """
    store = Store(path or Path(run.meta["store"]))
    same = store.fingerprint == run.meta["store_fingerprint"]
    if not same or store.classes != run.meta["classes"]:
        raise RunError(
            f"{run.path}: trained on another store than {store.path} (its rig, renderer, points,"
            " classes or splits differ); give the one it was trained on with --store"
        )
    return store


def some_shapes(store: Store, split: str) -> Indices:
    """Indices of the shapes of a split, at least one.

    Raises:
        StoreError: when there is none.
    """
    indices = store.indices(split)
    if not len(indices):
        raise StoreError(f"{store.path}: no shapes in the {split} split; nothing to evaluate")
    return indices


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays to a temporary file and rename it to `path` (.npz)."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
