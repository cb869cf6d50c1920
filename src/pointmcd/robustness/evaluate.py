"""Finished classifiers on corrupted clouds, made as they are needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pointmcd.data.dataset import EVALUATION_BATCH
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import RunError
from pointmcd.evaluation.evaluate import CHECKPOINTS, matching_store, some_shapes
from pointmcd.files import write_json
from pointmcd.progress import progress_bar
from pointmcd.robustness.registry import (
    CORRUPTION_VERSION,
    CORRUPTIONS,
    SEVERITIES,
    corrupted,
)
from pointmcd.robustness.result import (
    CorruptionResult,
    predictions_file,
    read_predictions,
    write_predictions,
)
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

Clouds = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]

#: Results of a run's checkpoints by their name.
Results = dict[str, CorruptionResult]


@dataclass
class _Judged:
    """A checkpoint of a run and what it has said: [n] of clean clouds, [5, n] by corruption."""

    run: Path
    checkpoint: str
    model: nn.Module
    points: int
    clean: Classes
    found: dict[str, Classes] = field(default_factory=dict)


def evaluate_corrupted(
    runs: Sequence[Path],
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    split: str = "test",
    store: Path | None = None,
    device: str = "auto",
    checkpoints: Sequence[str] = CHECKPOINTS,
) -> list[Results]:
    """Errors of finished runs of one store at each severity of corruptions.

    All points that the store holds are corrupted, once for all runs, and of what is left a run
    takes its number, farthest first, as it does without. Writes predictions and errors,
    `corrupted-<split>-<checkpoint>` `.npz` and `.json`, into each run folder; corruptions that were
    evaluated before stay in them, and in what is returned.

    Args:
        runs: run folders, at least one.
        corruptions: names of `CORRUPTIONS`.
        split: "test", "val" or "train".
        store: where the store is now, if it has moved; it must be the very same.
        device: cpu, cuda, mps or auto.
        checkpoints: "last", "best" or both.

    Raises:
        RunError: when a run is not finished, does not name classes, or is of another store.
        StoreError: when the split has no shapes.
    """
    opened = [_classifier(run) for run in runs]
    data, where = matching_store(opened[0], store), pick_device(device)
    for run in opened[1:]:
        matching_store(run, data.path)
    indices = some_shapes(data, split)
    nobody = np.empty(0, dtype=np.int64)
    judged = [
        _Judged(run.path, name, load_model(run, name, where), run.config.points, nobody)
        for run in opened
        for name in checkpoints
    ]
    _judge(judged, data, indices, corruptions, where)
    shapes, labels = tuple(data.shapes[i].name for i in indices), data.labels(indices)
    results = iter([_kept(one, split, shapes, labels) for one in judged])
    return [{name: next(results) for name in checkpoints} for _ in opened]


def _classifier(run: Path) -> Run:
    opened = Run(run)
    opened.refuse_unfinished()
    opened.refuse_pretrained()
    if opened.meta["task"] != "classification":
        raise RunError(
            f"{run}: is of {opened.meta['task']}; only runs that name classes are evaluated on"
            " corrupted clouds (a corrupted point has no true part)"
        )
    return opened


def _judge(
    judged: Sequence[_Judged],
    store: Store,
    indices: npt.NDArray[np.int64],
    corruptions: Sequence[str],
    device: torch.device,
) -> None:
    """Let every checkpoint say the classes of the clean clouds and of each corruption."""
    names = [store.shapes[i].name for i in indices]
    whole = store.points(indices, store.num_points)
    for one in judged:
        one.clean = _classes(one, whole, device)
    with progress_bar() as bar:
        total = len(corruptions) * len(SEVERITIES) * len(names)
        task = bar.add_task("corrupted", total=total, note="")
        for corruption in corruptions:
            bar.update(task, note=corruption)
            rows: list[list[Classes]] = [[] for _ in judged]
            for clouds in _corrupted_clouds(whole, names, corruption):
                for row, one in zip(rows, judged, strict=True):
                    row.append(_classes(one, clouds, device))
                bar.advance(task, len(names))
            for row, one in zip(rows, judged, strict=True):
                one.found[corruption] = np.stack(row)


def _corrupted_clouds(whole: Clouds, names: Sequence[str], corruption: str) -> Iterator[Clouds]:
    """Yield the clouds [n, P, 3] of each severity."""
    for severity in SEVERITIES:
        yield np.stack(
            [
                corrupted(cloud, name, corruption, severity)
                for cloud, name in zip(whole, names, strict=True)
            ]
        )


def _classes(judged: _Judged, clouds: Clouds, device: torch.device) -> Classes:
    """The likeliest class [n] of each cloud, from the first of its points."""
    taken = torch.from_numpy(clouds[:, : judged.points])
    with torch.inference_mode():
        batches = taken.split(EVALUATION_BATCH)
        found = [judged.model(batch.to(device)).float().argmax(dim=1).cpu() for batch in batches]
    return torch.cat(found).numpy()


def _kept(one: _Judged, split: str, shapes: tuple[str, ...], labels: Classes) -> CorruptionResult:
    """Put what was found beside what is in the run folder, in the order of `CORRUPTIONS`."""
    every = _before(one, split, shapes) | one.found
    ordered = {name: every[name] for name in CORRUPTIONS if name in every}
    result = CorruptionResult(shapes, labels, one.clean, ordered)
    write_predictions(predictions_file(one.run, split, one.checkpoint), result)
    about = {"split": split, "checkpoint": one.checkpoint, "version": CORRUPTION_VERSION}
    write_json(one.run / f"corrupted-{split}-{one.checkpoint}.json", {**about, **result.as_dict()})
    return result


def _before(one: _Judged, split: str, shapes: tuple[str, ...]) -> dict[str, Classes]:
    """What was evaluated before with the same weights on the same shapes; {} where nothing was."""
    try:
        result = read_predictions(one.run, split, one.checkpoint)
    except RunError:
        return {}
    same = result.names == shapes and bool((result.clean == one.clean).all())
    return dict(result.predictions) if same else {}
