"""Embeddings of whole shapes by a frozen student."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointmcd.data.dataset import ShapeDataset, evaluation_loader
from pointmcd.data.store import Store
from pointmcd.ops.masked_max import max_over_points
from pointmcd.training.model import evaluating
from pointmcd.typing import Floats, Indices


def embed_shapes(
    student: Any,
    store: Store,
    indices: Indices,
    points: int,
    pooling: str,
    device: torch.device,
    features: Sequence[str] = (),
) -> Floats:
    """Return pooled embeddings [n, C or 2 C] of a frozen student on `device`; no label is read.

    `points` is how many of each shape it sees, with `features`; `pooling` as of `pool`.
    """
    dataset = ShapeDataset(store, indices, points, labelled=False, features=features)
    found = []
    with evaluating(student):
        for batch in evaluation_loader(dataset):
            embeddings = student(batch.points.to(device)).embeddings
            found.append(pool(embeddings.float(), pooling).cpu().numpy())
    return np.concatenate(found)


def pool(rows: Tensor, pooling: str) -> Tensor:
    """Pool [B, M, C] over M -> [B, C], or [B, 2 C] for "both"."""
    if pooling == "max":
        return max_over_points(rows)
    mean = rows.mean(dim=1)
    return mean if pooling == "mean" else torch.cat([max_over_points(rows), mean], dim=1)
