"""The one look at the test part, after training: figures and predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.dataset import ShapeDataset, evaluation_loader
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import RunError, StoreError
from pointmcd.files import replacing, write_json
from pointmcd.metrics.classification import ClassificationMetrics, classification_metrics
from pointmcd.metrics.segmentation import SegmentationMetrics, segmentation_metrics
from pointmcd.plots.confusion import confusion_figure
from pointmcd.tasks.segmentation import Segmenter
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

CHECKPOINTS = ("last", "best")

Metrics = ClassificationMetrics | SegmentationMetrics
#: What a predictions file holds beside names and labels, by name.
Arrays = dict[str, npt.NDArray[Any]]


def evaluate(
    run: Path, split: str = "test", store: Path | None = None, device: str = "auto"
) -> dict[str, Metrics]:
    """Metrics of a finished run on a split, for its last and its best-on-validation checkpoint.

    Writes `<split>.json` and `predictions-<split>-<checkpoint>.npz` into the run folder; of a
    classification also a picture of the confusion matrix, `confusion-<split>-<checkpoint>.png`. A
    segmentation is told each shape's class, as the ShapeNetPart protocol has it.

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
    opened.refuse_unfinished()
    opened.refuse_pretrained()
    data, where = matching_store(opened, store), pick_device(device)
    segments = opened.meta["task"] == "segmentation"
    dataset = ShapeDataset(data, some_shapes(data, split), opened.config.points, parts=segments)
    judge = _segment if segments else _classify
    results: dict[str, Metrics] = {}
    for checkpoint in CHECKPOINTS:
        metrics, arrays = judge(load_model(opened, checkpoint, where), dataset, where)
        results[checkpoint] = metrics
        _save(opened, split, checkpoint, dataset, arrays)
        if isinstance(metrics, ClassificationMetrics):
            _draw(opened, split, checkpoint, metrics)
    write_json(opened.path / f"{split}.json", _summary(opened, split, results))
    return results


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


def some_shapes(store: Store, split: str) -> npt.NDArray[np.int64]:
    """Indices of the shapes of a split, at least one.

    Raises:
        StoreError: when there is none.
    """
    indices = store.indices(split)
    if not len(indices):
        raise StoreError(f"{store.path}: no shapes in the {split} part; nothing to evaluate")
    return indices


def _classify(
    model: nn.Module, dataset: ShapeDataset, device: torch.device
) -> tuple[ClassificationMetrics, Arrays]:
    """Class probabilities [n, K] and the likeliest class [n]."""
    with torch.inference_mode():
        logits = [model(b.points.to(device)).float() for b in evaluation_loader(dataset)]
    probabilities = torch.cat(logits).softmax(dim=1).cpu().numpy()
    predictions = probabilities.argmax(axis=1)
    metrics = classification_metrics(dataset.labels, predictions, dataset.store.classes)
    return metrics, {"predictions": predictions, "probabilities": probabilities}


def _segment(
    model: nn.Module, dataset: ShapeDataset, device: torch.device
) -> tuple[SegmentationMetrics, Arrays]:
    """True and likeliest part [n, N] of every point, among the parts of the shape's class."""
    assert isinstance(model, Segmenter)
    found: list[torch.Tensor] = []
    with torch.inference_mode():
        for batch in evaluation_loader(dataset):
            labels = batch.labels.to(device)
            logits = model.limited(model(batch.points.to(device), labels), labels)
            found.append(logits.argmax(dim=2).cpu())
    store = dataset.store
    truth = store.part_labels(dataset.indices, dataset.count).astype(np.int16)
    predictions = torch.cat(found).numpy().astype(np.int16)
    metrics = segmentation_metrics(
        truth, predictions, dataset.labels, store.part_ranges, store.classes
    )
    return metrics, {"truth": truth, "predictions": predictions}


def _save(run: Run, split: str, checkpoint: str, dataset: ShapeDataset, arrays: Arrays) -> None:
    names = np.array([dataset.store.shapes[i].name for i in dataset.indices])
    path = run.path / f"predictions-{split}-{checkpoint}.npz"
    with replacing(path) as temporary, temporary.open("wb") as file:
        every: dict[str, Any] = {"names": names, "labels": dataset.labels, **arrays}
        np.savez(file, **every)


def _draw(run: Run, split: str, checkpoint: str, metrics: ClassificationMetrics) -> None:
    title = f"{run.path.name}: {split}, {checkpoint} epoch, {metrics.overall_accuracy:.1%} right"
    figure = confusion_figure(metrics.confusion, run.meta["classes"], title)
    with replacing(run.path / f"confusion-{split}-{checkpoint}.png") as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _summary(run: Run, split: str, results: dict[str, Metrics]) -> dict[str, Any]:
    _, state = load_checkpoint(run.checkpoint("best"))
    figures = {checkpoint: metrics.as_dict() for checkpoint, metrics in results.items()}
    return {"split": split, "best_epoch": state["epoch"], **figures}
