"""Runs of a training loop of one's own, saved so that every later command takes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pointmcd.checkpoint import load_module, save_checkpoint, with_prefix
from pointmcd.errors import ConfigError, RunError
from pointmcd.files import replacing
from pointmcd.tasks.task import Labels
from pointmcd.training.calibration import calibrate
from pointmcd.training.config import TrainConfig
from pointmcd.training.model import build_model
from pointmcd.training.run import METRICS, clear_run, create_run, is_begun, lock_folder
from pointmcd.training.train import Plan, plan_run
from pointmcd.training.unlikeness import keep_labelled


def save_run(
    folder: str | Path,
    model: nn.Module,
    config: TrainConfig,
    history: Sequence[Mapping[str, Any]] = (),
    best: nn.Module | None = None,
) -> Path:
    """Write a run of a model that a loop of your own has trained.

    `evaluate`, `compare`, `predict`, `probe`, `export` and `report` take it like one of `train`.
    Nothing is trained here; with enough validation shapes, confidences are calibrated on them.

    Args:
        folder: of the run; with `config.overwrite` it may hold another run.
        model: the trained model of the task. For classification, points [B, N, 3] to logits [B, K]
            in the order of `store.classes`, it is `create_model(config.student, num_classes=K)`;
            for any task `config.described_task.build_model(config.student, labels)` with
            `labels = Labels.of(store)`.
        config: what your loop did, as comparisons and reports will tell it: store, student, task,
            teacher (None: a baseline), objectives, points, seed. Its `out` is not read.
        history: one record per epoch, in order: numbers by name, of which the report draws those
            called `..._loss` (train) and `val_...` (fractions).
        best: the model of the epoch that was best on the validation split; None: the last one.

    Returns:
        the run folder.

    Raises:
        StoreError: when store or teacher do not fit.
        ConfigError: when a setting cannot be used, or a record holds anything but numbers.
        RunError: when the folder holds something else, or the model is not the one of the config.
    """
    records = [_numbers(record, epoch) for epoch, record in enumerate(history, 1)]
    config = replace(config, out=Path(folder), epochs=len(records) or config.epochs)
    plan = plan_run(config)
    models = {"last": model, "best": model if best is None else best}
    with torch.random.fork_rng(devices=[]):  # models are made to compare with and to calibrate
        for one in models.values():
            _check_model(one, plan)
        return _write(plan, models, records)


def _write(
    plan: Plan, models: Mapping[str, nn.Module], records: Sequence[dict[str, float]]
) -> Path:
    config, folder = plan.config, plan.config.folder
    with lock_folder(folder):
        _make_room(folder, config.overwrite)
        parameters = sum(p.numel() for p in models["last"].parameters())
        run = create_run(config, plan.store, plan.teacher, parameters, plan.start)
        run.meta["settings"]["loop"] = "own"  # `train` does not take it for one of its own
        with replacing(run.path / METRICS) as temporary:
            temporary.write_text("".join(f"{json.dumps(r)}\n" for r in records), encoding="utf-8")
        for name in run.checkpoints:
            tensors = with_prefix("model", models[name].state_dict())
            save_checkpoint(run.checkpoint(name), tensors, {"epoch": config.epochs})
        calibrate(run, plan.store)
        keep_labelled(run, plan.store)
        run.finish()
    return run.path


def _numbers(record: Mapping[str, Any], epoch: int) -> dict[str, float]:
    try:
        return {"epoch": epoch} | {k: float(v) for k, v in record.items() if k != "epoch"}
    except (TypeError, ValueError) as error:
        raise ConfigError(f"history[{epoch - 1}]: {error}; a record holds numbers") from error


def _check_model(model: nn.Module, plan: Plan) -> None:
    """Refuse a model that the run's task would not build, before anything is written."""
    config, labels = plan.config, Labels.of(plan.store)
    wanted = build_model(config.described_task, config.student, labels, config.features)
    load_module(wanted, model.state_dict(), "model")


def _make_room(folder: Path, overwrite: bool) -> None:
    """Remove the run that may be replaced; refuse anything else in the folder."""
    if not (folder / "run.json").exists():
        if folder.is_dir() and not all(map(is_begun, folder.iterdir())):
            raise RunError(f"{folder}: is not a run folder; choose another")
    elif overwrite:
        clear_run(folder)
    else:
        raise RunError(f"{folder}: holds a run; choose another folder, or overwrite=True")
