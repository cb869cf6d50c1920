"""Guesses of a run for the shapes of a store, to be confirmed or corrected."""

from pathlib import Path

import numpy as np

from pointmcd.data.dataset import ShapeDataset, evaluation_loader
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import RunError
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.typing import Floats


def open_run(path: Path, store: Store) -> Run:
    """Open a finished run that names classes and was trained on these shapes, whatever the labels.

    Raises:
        RunError: when it is no such run.
    """
    run = Run(path)
    run.refuse_unfinished()
    run.refuse_pretrained()
    if "probabilities" not in run.task.arrays:
        raise RunError(f"{path}: names no classes of shapes; give a run of classification")
    if run.meta.get("own_fingerprint", run.meta["store_fingerprint"]) != store.own_fingerprint:
        raise RunError(
            f"{path}: trained on another store than {store.path}, on {run.meta['store']}; label"
            " that one, or train on this one"
        )
    return run


def class_probabilities(run: Run, store: Store, device: str = "auto") -> Floats:
    """Return the probabilities of the run's classes for every shape, float32 [S, K].

    They are of the checkpoint that was best on the validation split, as in `predict`.
    """
    where = pick_device(device)
    every = np.arange(len(store.shapes))
    dataset = ShapeDataset(store, every, run.config.points, labelled=False)
    model = load_model(run, "best", where)
    arrays = run.task.predictions(model, evaluation_loader(dataset), where)
    return np.asarray(arrays["probabilities"], dtype=np.float32)
