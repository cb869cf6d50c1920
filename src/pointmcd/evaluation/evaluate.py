"""The one look at the test part, after training: figures, predictions and a confusion picture."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.dataset import ShapeDataset
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import RunError, StoreError
from pointmcd.evaluation.confusion import confusion_figure
from pointmcd.evaluation.metrics import ClassificationMetrics, classification_metrics
from pointmcd.evaluation.model import load_classifier
from pointmcd.files import replacing, write_json
from pointmcd.training.loop import evaluation_loader
from pointmcd.training.run import Run

CHECKPOINTS = ("last", "best")


def evaluate(
    run: Path, split: str = "test", store: Path | None = None, device: str = "auto"
) -> dict[str, ClassificationMetrics]:
    """Metrics of a finished run on a split, for its last and its best-on-validation checkpoint.

    Writes `<split>.json`, `predictions-<split>-<checkpoint>.npz` and a picture of the confusion
    matrix, `confusion-<split>-<checkpoint>.png`, into the run folder.

    Args:
        run: the run folder.
        split: "test", "val" or "train".
        store: where the store is now, if it has moved; it must be the very same.
        device: cpu, cuda, mps or auto.

    Raises:
        RunError: when the run is not finished, or was trained on another store.
        StoreError: when the split has no shapes.
    """
    opened = Run(run)
    if not opened.finished:
        raise RunError(f"{run}: not finished; run the same pointmcd train command again")
    data = _matching_store(opened, store)
    dataset = ShapeDataset(data, _some(data, split), opened.config.points)
    results: dict[str, ClassificationMetrics] = {}
    for checkpoint in CHECKPOINTS:
        probabilities = _predict(opened, checkpoint, dataset, pick_device(device))
        predictions = probabilities.argmax(axis=1)
        results[checkpoint] = classification_metrics(dataset.labels, predictions, data.classes)
        _save(opened, split, checkpoint, dataset, predictions, probabilities)
        _draw(opened, split, checkpoint, results[checkpoint])
    write_json(opened.path / f"{split}.json", _summary(opened, split, results))
    return results


def _matching_store(run: Run, path: Path | None) -> Store:
    store = Store(path or Path(run.meta["store"]))
    same = store.fingerprint == run.meta["store_fingerprint"]
    if not same or store.classes != run.meta["classes"]:
        raise RunError(
            f"{run.path}: trained on another store than {store.path} (its rig, renderer, points,"
            " classes or splits differ); give the one it was trained on with --store"
        )
    return store


def _some(store: Store, split: str) -> npt.NDArray[np.int64]:
    indices = store.indices(split)
    if not len(indices):
        raise StoreError(f"{store.path}: no shapes in the {split} part; nothing to evaluate")
    return indices


def _predict(
    run: Run, checkpoint: str, dataset: ShapeDataset, device: torch.device
) -> npt.NDArray[np.float32]:
    """Class probabilities [n, K]."""
    classifier = load_classifier(run, checkpoint, device)
    with torch.inference_mode():
        logits = [classifier(b.points.to(device)).float() for b in evaluation_loader(dataset)]
    probabilities: npt.NDArray[np.float32] = torch.cat(logits).softmax(dim=1).cpu().numpy()
    return probabilities


def _save(
    run: Run,
    split: str,
    checkpoint: str,
    dataset: ShapeDataset,
    predictions: npt.NDArray[np.int64],
    probabilities: npt.NDArray[np.float32],
) -> None:
    names = np.array([dataset.store.shapes[i].name for i in dataset.indices])
    path = run.path / f"predictions-{split}-{checkpoint}.npz"
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            names=names,
            labels=dataset.labels,
            predictions=predictions,
            probabilities=probabilities,
        )


def _draw(run: Run, split: str, checkpoint: str, metrics: ClassificationMetrics) -> None:
    title = f"{run.path.name}: {split}, {checkpoint} epoch, {metrics.overall_accuracy:.1%} right"
    figure = confusion_figure(metrics.confusion, run.meta["classes"], title)
    with replacing(run.path / f"confusion-{split}-{checkpoint}.png") as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _summary(run: Run, split: str, results: dict[str, ClassificationMetrics]) -> dict[str, Any]:
    _, state = load_checkpoint(run.checkpoint("best"))
    figures = {checkpoint: metrics.as_dict() for checkpoint, metrics in results.items()}
    return {"split": split, "best_epoch": state["epoch"], **figures}
