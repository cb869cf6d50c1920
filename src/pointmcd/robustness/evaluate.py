"""Evaluate finished runs on corrupted clouds: the usual evaluation with a transform."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pointmcd.data.dataset import ShapeDataset, Transform, evaluation_loader
from pointmcd.device import pick_device
from pointmcd.errors import RunError
from pointmcd.evaluation.evaluate import open_evaluation
from pointmcd.progress import progress_bar
from pointmcd.robustness.registry import CORRUPTIONS, SEVERITIES, corrupted
from pointmcd.robustness.result import CorruptionResult, read_corrupted, write_corrupted
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.typing import Doubles


def evaluate_corrupted(
    run: Path,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    split: str = "test",
    store: Path | None = None,
    device: str = "auto",
) -> dict[str, CorruptionResult]:
    """Errors of a finished run at each severity of corruptions, for each of its checkpoints.

    All points that the store holds are corrupted, and of what is left the run takes its number,
    farthest first, as it does without. Writes the score of every shape and the errors,
    `corrupted-<split>-<checkpoint>` `.npz` and `.json`, into the run folder; corruptions that were
    evaluated before stay in them, and in what is returned.

    Takes names of `CORRUPTIONS`, and else the arguments of `evaluate`.

    Raises:
        RunError: when the run is not finished, labels parts, or is of another store.
        StoreError: when the split has no shapes.
    """
    opened, data, indices = open_evaluation(run, split, store)
    if opened.task.dense:
        raise RunError(
            f"{run}: labels parts; only runs that label whole shapes are evaluated on corrupted"
            " clouds (a corrupted point has no true part)"
        )
    task, where = opened.task, pick_device(device)
    models = {name: load_model(opened, name, where) for name in opened.checkpoints}

    def scores(transform: Transform | None) -> dict[str, Doubles]:
        dataset = ShapeDataset(
            data, indices, opened.config.points, transform=transform, features=opened.features
        )
        batches = list(evaluation_loader(dataset))  # the clouds are made once for both
        said = {name: task.predictions(model, batches, where) for name, model in models.items()}
        measured = {
            name: task.measure(dataset.labels, arrays, opened.labels)
            for name, arrays in said.items()
        }
        return {name: metrics.scores for name, metrics in measured.items()}

    clean = scores(None)
    found: dict[str, list[dict[str, Doubles]]] = {}
    with progress_bar() as bar:
        bar_task = bar.add_task("corrupt", total=len(corruptions) * len(SEVERITIES), note="")
        for name in corruptions:
            bar.update(bar_task, note=name)
            found[name] = []
            for severity in SEVERITIES:
                corrupt = partial(
                    corrupted,
                    name=name,
                    severity=severity,
                    features=opened.features,
                    up=data.up,
                )
                found[name].append(scores(corrupt))
                bar.advance(bar_task)
    names, labels = tuple(data.shapes[i].name for i in indices), data.labels(indices)
    results = {}
    for checkpoint in opened.checkpoints:
        fresh = {name: np.stack([one[checkpoint] for one in rows]) for name, rows in found.items()}
        result = CorruptionResult(names, labels, clean[checkpoint], fresh)
        results[checkpoint] = _keep(opened, split, checkpoint, result)
    return results


def _keep(run: Run, split: str, checkpoint: str, fresh: CorruptionResult) -> CorruptionResult:
    """Write what was found with what the same weights were evaluated on before."""
    weights = hashlib.sha256(run.checkpoint(checkpoint).read_bytes()).hexdigest()[:16]
    try:
        before, of = read_corrupted(run.path, split, checkpoint)
        if of == weights and before.names == fresh.names:
            fresh = replace(fresh, found={**before.found, **fresh.found})
    except RunError:
        pass  # absent, damaged, or of another version
    write_corrupted(run.path, split, checkpoint, fresh, weights)
    return fresh
