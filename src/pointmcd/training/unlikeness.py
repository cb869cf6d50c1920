"""Detect shapes unlike all labelled shapes of a run."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pointmcd.checkpoint import load_checkpoint, save_checkpoint
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.training.calibration import LEAST_SHAPES
from pointmcd.training.embeddings import embed_shapes
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.typing import Indices

LABELLED = "labelled.safetensors"
#: Labelled shapes that are kept, evenly taken from more: two megabytes.
MOST = 1000
#: Share of the shapes of known classes that the limit leaves unmarked.
SHARE = 0.9
#: Labelled shapes may be copies of each other.
_LEAST_LIMIT = 1e-6


@dataclass(frozen=True)
class Labelled:
    """Embeddings [n, C] of labelled shapes, of length 1, and the largest usual distance to them."""

    embeddings: Tensor
    limit: float

    def distances(self, embeddings: Tensor) -> Tensor:
        """Cosine distances [m] from embeddings [m, C] to the nearest labelled shape."""
        return _nearest(normalize(embeddings.float().cpu(), dim=1), self.embeddings)

    def unlikeness(self, embedding: Tensor) -> float:
        """Return the distance of an embedding [C] in units of the limit."""
        return float(self.distances(embedding[None])[0]) / max(self.limit, _LEAST_LIMIT)


def keep_labelled(run: Run, store: Store) -> None:
    """Write labelled.safetensors: for each checkpoint, what its labelled shapes look like to it.

    A shape is unlike them when its embedding (the maximum over the points) is farther by cosine
    from the nearest of them than 90% of the shapes held out for validation are, or, where these are
    fewer than 20, than 90% of the labelled shapes are from each other. Distances to nearest
    neighbours tell unknown classes as in Sun et al. (ICML 2022), who set the threshold alike.
    Nothing is written for a task whose predictions do not say it.
    """
    if not hasattr(run.task.prediction, "unlike"):
        return
    known = labelled_train(store, run.config.label_fraction, run.config.seed)
    known = known[np.unique(np.linspace(0, len(known) - 1, MOST).round().astype(np.int64))]
    if len(known) < 2:  # nothing to tell how far apart shapes may be
        return
    held = store.indices("val") if run.config.fit_on == "train" else known[:0]
    tensors, limits = {}, {}
    device = pick_device(run.config.device)
    for name in run.checkpoints:
        student: Any = load_model(run, name, device).student
        embed = partial(_embed, run, store, student, device)
        kept = embed(known)
        if len(held) >= LEAST_SHAPES:
            distances = _nearest(embed(held), kept)
        else:
            distances = _nearest(kept, kept, apart=True)
        tensors[name], limits[name] = kept.half(), float(distances.quantile(SHARE))
    save_checkpoint(run.path / LABELLED, tensors, {"limits": limits})


def labelled_of(run: Run, checkpoint: str) -> Labelled | None:
    """Return what a run's checkpoint knows of its labelled shapes; None of an older run.

    Raises:
        RunError: when the file is damaged.
    """
    if not (run.path / LABELLED).exists():
        return None
    tensors, state = load_checkpoint(run.path / LABELLED)
    name = run.kept(checkpoint)
    return Labelled(tensors[name].float(), state["limits"][name])


def _embed(run: Run, store: Store, student: Any, device: torch.device, indices: Indices) -> Tensor:
    """Embed shapes, [n, C] of length 1."""
    rows = embed_shapes(student, store, indices, run.config.points, "max", device, run.features)
    return normalize(torch.from_numpy(rows), dim=1)


def _nearest(rows: Tensor, others: Tensor, apart: bool = False) -> Tensor:
    """Cosine distance [n] from each row [n, C] to the nearest of the others, all of length 1.

    With `apart`, rows and others are the same shapes, and none is its own neighbour.
    """
    distances = 1 - rows @ others.T
    if apart:
        distances.fill_diagonal_(torch.inf)
    return distances.amin(dim=1)
