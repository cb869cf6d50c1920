"""The temperature by which a run's confidences are made honest, fitted on held-out shapes."""

from typing import Any

import numpy as np
import torch

from pointmcd.data.store import Store
from pointmcd.files import read_json, write_json
from pointmcd.metrics.calibration import calibration_error, fit_temperature, soften
from pointmcd.tasks.results import Arrays
from pointmcd.training.inputs import validation_loader
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

CALIBRATION = "calibration.json"
#: Held-out shapes below which a temperature would be chance.
LEAST_SHAPES = 20


def calibrate(run: Run, store: Store) -> None:
    """Write calibration.json: a temperature for each checkpoint, from the validation split.

    Without such a split, that of a cross-validation of the same run, if there was one. Nothing is
    written for a task without probabilities, and where fewer than 20 shapes were held out.
    """
    if "probabilities" not in run.task.arrays:
        return
    if not len(store.indices("val")):
        folds = run.path.with_name(f"{run.path.name}-folds") / "folds.json"
        known = read_json(folds).get("calibration") if folds.exists() else None
        found = {} if known is None else dict.fromkeys(run.checkpoints, known)
    else:
        fitted = {one: fit([held_out(run, store, one)]) for one in run.checkpoints}
        found = {one: result for one, result in fitted.items() if result is not None}
    if found:
        write_json(run.path / CALIBRATION, found)


def held_out(run: Run, store: Store, checkpoint: str) -> Arrays:
    """Return the probabilities [n, K] and labels [n] of the validation shapes, by a checkpoint."""
    batches = validation_loader(run.config, store, None)
    assert batches is not None
    model = load_model(run, checkpoint, torch.device("cpu"))
    said = run.task.predictions(model, batches, torch.device("cpu"))["probabilities"]
    return {"probabilities": said, "labels": store.labels(store.indices("val"))}


def fit(parts: list[Arrays]) -> dict[str, Any] | None:
    """Return the temperature of all parts together, and their error without and with it."""
    said = np.concatenate([part["probabilities"] for part in parts])
    labels = np.concatenate([part["labels"] for part in parts])
    if len(labels) < LEAST_SHAPES:
        return None
    temperature = fit_temperature(said, labels)
    return {
        "temperature": temperature,
        "shapes": len(labels),
        "error_before": calibration_error(said, labels),
        "error_after": calibration_error(soften(said, temperature), labels),
    }


def temperature_of(run: Run, checkpoint: str) -> float:
    """Return the temperature of a run's checkpoint; 1 where none was fitted."""
    file = run.path / CALIBRATION
    known = read_json(file) if file.exists() else {}
    return float(known.get(run.kept(checkpoint), {}).get("temperature", 1.0))
