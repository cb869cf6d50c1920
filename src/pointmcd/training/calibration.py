"""The temperature by which a run's confidences are made honest, fitted on held-out shapes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.files import read_json, write_json
from pointmcd.metrics.calibration import calibration_error, fit_temperature, soften
from pointmcd.tasks.results import Arrays
from pointmcd.training.config import beside
from pointmcd.training.inputs import validation_loader
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

CALIBRATION = "calibration.json"
FOLDS_FILE = "folds.json"
#: Held-out shapes below which what is measured on them would be chance.
LEAST_SHAPES = 20


def folds_folder(run: Path) -> Path:
    """Return where the folds of a run lie."""
    return beside(run.resolve(), "folds")


def identity(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run and the folds that stand for it have in common, of a run.json's values."""
    known = {name: run[name] for name in ("settings", "store_fingerprint", "classes")}
    known |= {name: (run.get(name) or {}).get("fingerprint") for name in ("teacher", "init")}
    return dict(json.loads(json.dumps(known)))


def read_folds(run: Run) -> dict[str, Any] | None:
    """Return the folds.json of the folds that stand for this very run; None without such."""
    file = folds_folder(run.path) / FOLDS_FILE
    found: dict[str, Any] = read_json(file) if file.exists() else {}
    return found if found.get("of") == identity(run.meta) else None


def calibrate(run: Run, store: Store) -> None:
    """Write calibration.json: a temperature for each checkpoint, from the validation split.

    Where that has fewer than 20 shapes, it is that of a cross-validation of the same run, if there
    was one with as many. Otherwise nothing is written, nor for a task without probabilities.
    """
    if "probabilities" not in run.task.arrays:
        return
    if len(store.indices("val")) < LEAST_SHAPES:
        known = (read_folds(run) or {}).get("calibration")
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
    device = pick_device(run.config.device)
    model = load_model(run, checkpoint, device)
    said = run.task.predictions(model, batches, device)["probabilities"]
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
    return float(_fitted(run, checkpoint).get("temperature", 1.0))


def is_calibrated(run: Run, checkpoint: str) -> bool:
    """Return whether a temperature was fitted for a run's checkpoint."""
    return "temperature" in _fitted(run, checkpoint)


def _fitted(run: Run, checkpoint: str) -> dict[str, Any]:
    file = run.path / CALIBRATION
    known: dict[str, dict[str, Any]] = read_json(file) if file.exists() else {}
    return known.get(run.kept(checkpoint), {})


def count_held_out(run: Run) -> int:
    """Return how many shapes a run can be calibrated on: of its folds or validation split."""
    folds = read_folds(run) or {}
    return max(int(run.meta["shapes"]["val"]), int(folds.get("shapes", 0)))


def tell_uncalibrated(run: Run, checkpoint: str = "last") -> str | None:
    """Say that a run's confidences are not calibrated, why, and what helps.

    Returns:
        the text of a note; None where they are calibrated, or the task has none.
    """
    if "probabilities" not in run.task.arrays or is_calibrated(run, checkpoint):
        return None
    held, shapes = count_held_out(run), run.meta["shapes"]
    told = "1 shape was" if held == 1 else f"{held or 'no'} shapes were"
    advice = "label more shapes"
    if held >= LEAST_SHAPES or shapes["train"] + shapes["val"] >= LEAST_SHAPES:
        # Enough are labelled; folds hold out each of them.
        advice = "train with --folds, which holds out each labelled shape in turn"
    return (
        f"confidences are not calibrated: {told} held out, {LEAST_SHAPES} are needed to calibrate;"
        f" {advice}"
    )
