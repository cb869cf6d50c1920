"""What an exported model says of itself, as JSON values."""

import hashlib
from typing import Any

from torch import nn

import pointmcd
from pointmcd.training.run import Run

#: What must be done to points before the model sees them; `read_points` does it.
PREPROCESSING = {
    "centre": "the mean of the points (of a mesh: the centroid of its surface) at the origin",
    "scale": "the farthest point (of a mesh: vertex) at distance 1",
    "points": "as many as in training, taken farthest first; others are taken too",
}


def about(run: Run, model: nn.Module, checkpoint: str) -> dict[str, Any]:
    """Task, names, preprocessing and origin of a run's model.

    Args:
        run: the run.
        model: with the weights that are exported.
        checkpoint: where they are from.
    """
    meta = run.meta
    told = {
        "pointmcd": pointmcd.__version__,
        "task": meta["task"],
        "student": meta["student"],
        "classes": meta["classes"] if run.task.labelled else [],
        "points": run.config.points,
        "preprocessing": PREPROCESSING,
        "run": {key: meta[key] for key in ("arm", "seed", "store_fingerprint", "settings")},
        "checkpoint": checkpoint,
        "fingerprint": _fingerprint(model),
    }
    return told | {"parts": _parts(run)} if run.task.labelled and run.task.dense else told


def _parts(run: Run) -> dict[str, Any]:
    """Of each class the names of its parts and the column of the logits that the first has."""
    ranges, parts = run.labels.part_ranges, run.meta["parts"]
    return {
        label: {"first": int(start), "names": parts[label]}
        for label, (start, _) in zip(run.meta["classes"], ranges, strict=True)
    }


def _fingerprint(model: nn.Module) -> str:
    """Hash over all weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
