"""Lay out shapes by their features: 2D map, nearest pairs, outliers."""

import warnings
from operator import itemgetter

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from pointmcd.typing import Doubles, Indices

#: Neighbours by which pairs are found and outliers judged.
NEIGHBOURS = 5
_PERPLEXITY = 30.0


def lay_out(rows: Doubles) -> Doubles:
    """Return places [S, 2] from 0 to 1 of rows [S, D], alike rows side by side.

    t-SNE (van der Maaten, Hinton, JMLR 2008; Barnes-Hut, JMLR 2014) from principal components, with
    a perplexity of 30, or a third of the shapes where they are few.
    """
    count = len(rows)
    if count < 4 or not np.ptp(rows, axis=0).any():
        places = np.stack([np.arange(count), np.zeros(count)], axis=1).astype(np.float64)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            places = TSNE(
                perplexity=min(_PERPLEXITY, (count - 1) / 3), init="pca", random_state=0
            ).fit_transform(np.asarray(rows, np.float32))
    if not count:
        return places
    places = places.astype(np.float64)
    low, high = places.min(axis=0), places.max(axis=0)
    side = (high - low).max() or 1.0  # one scale for both axes
    return np.asarray(np.clip(0.5 + (places - (low + high) / 2) / side, 0, 1))


def neighbours(rows: Doubles) -> tuple[Doubles, Indices]:
    """Return distances and indices [S, k] of the nearest other rows, k at most 5, nearest first."""
    count = min(NEIGHBOURS, len(rows) - 1)
    if count < 1:
        return np.zeros((len(rows), 0)), np.zeros((len(rows), 0), dtype=np.int64)
    distances, indices = NearestNeighbors(n_neighbors=count).fit(rows).kneighbors()
    return distances, indices.astype(np.int64)


def nearest_pairs(distances: Doubles, indices: Indices, most: int) -> list[tuple[int, int, float]]:
    """Return the nearest pairs (i, j, distance), i < j, each once, nearest first."""
    found = {
        (min(i, int(j)), max(i, int(j))): float(distance)
        for i in range(len(indices))
        for j, distance in zip(indices[i], distances[i], strict=True)
    }
    nearest = sorted(found.items(), key=itemgetter(1, 0))[:most]
    return [(*pair, distance) for pair, distance in nearest]


def outliers(distances: Doubles, most: int) -> list[int]:
    """Return the rows that are farthest from their neighbours, farthest first.

    By the mean distance to the nearest five, as Angiulli and Pizzuti (PKDD 2002) rank outliers.
    """
    if not distances.size:
        return []
    return [int(i) for i in np.argsort(-distances.mean(axis=1), kind="stable")[:most]]
