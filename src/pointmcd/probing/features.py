"""Frozen features of shapes: embeddings of a trained or random student, or a teacher's."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from pointmcd.data.dataset import ShapeDataset, evaluation_loader
from pointmcd.data.store import Store
from pointmcd.probing.config import ProbeConfig
from pointmcd.teachers.describe import describe_shapes
from pointmcd.training.embeddings import embed_shapes, pool
from pointmcd.training.model import load_model, new_model
from pointmcd.training.run import Run
from pointmcd.typing import Floats, Indices

#: Seeds of the students of random weights.
RANDOM_SEEDS = (0, 1, 2)
#: A frozen encoder: from indices of shapes [n] to their features [n, D].
Encoder = Callable[[Indices], Floats]


def trained_student(
    run: Run, config: ProbeConfig, store: Store, device: torch.device
) -> Iterator[Encoder]:
    """Yield the student of a run's last or best checkpoint."""
    run.require(config.checkpoint)
    student = cast(Any, load_model(run, config.checkpoint, device)).student
    yield _encoder(student, run, store, config.pooling, device)


def random_students(
    run: Run, config: ProbeConfig, store: Store, device: torch.device
) -> Iterator[Encoder]:
    """Yield students of the same architecture with random weights, one for each seed."""
    for seed in RANDOM_SEEDS:
        torch.manual_seed(seed)
        student = cast(Any, new_model(run)).student.to(device)
        calibrate(student, store.with_up(run.up), run.config.points, device, run.features)
        yield _encoder(student, run, store, config.pooling, device)


def teacher(
    folder: Path, config: ProbeConfig, store: Store, device: torch.device
) -> Iterator[Encoder]:
    """Yield the teacher in a folder, its descriptors pooled over views."""
    shards = describe_shapes(folder, store, device)
    rows = np.concatenate([pool(torch.from_numpy(one), config.pooling).numpy() for one in shards])
    yield lambda indices: rows[indices]


def _encoder(student: Any, run: Run, store: Store, pooling: str, device: torch.device) -> Encoder:
    points, features, upright = run.config.points, run.features, store.with_up(run.up)
    return lambda rows: embed_shapes(student, upright, rows, points, pooling, device, features)


def calibrate(
    student: nn.Module,
    store: Store,
    points: int,
    device: torch.device,
    features: Sequence[str] = (),
) -> None:
    """Set the batch norms of a student that was never trained: one pass over the train split.

    Without it a network of random weights is not even normalised, and the reference too weak.
    """
    # Stores are sorted by class: in their order a batch would vary less than the whole.
    order = np.random.default_rng(0).permutation(store.indices("train"))
    dataset = ShapeDataset(store, order, points, labelled=False, features=features)
    batches = evaluation_loader(dataset)
    update_bn((batch.points for batch in batches if len(batch.points) > 1), student, device)
    student.eval()
