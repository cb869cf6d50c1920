"""ProbCover: the most shapes within a radius of a label (Yehuda et al., NeurIPS 2022)."""

import numpy as np
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import radius_neighbors_graph

from pointmcd.labelling.strategy import Pool, clusters_of, register_strategy

#: Fraction of balls that must hold shapes of one cluster alone (as published).
_PURE = 0.95


@register_strategy("coverage")
def coverage(pool: Pool, count: int) -> list[int]:
    """Choose greedily the shape whose ball covers the most shapes that no label covers yet.

    The radius is the largest at which 95% of the balls hold shapes of one cluster alone; there
    are as many clusters as classes, or as labels wanted where these are not known.
    """
    radius = _radius(pool, count)
    near = radius_neighbors_graph(pool.features, radius, include_self=True).astype(bool)
    uncovered = near[pool.labelled].sum(axis=0).A1 == 0
    free = np.zeros(len(uncovered), dtype=bool)
    free[pool.allowed] = True
    chosen: list[int] = []
    for _ in range(min(count, len(pool.allowed))):
        gains = np.where(free, near @ uncovered.astype(np.float64), -1.0)
        best = int(gains.argmax())
        chosen.append(best)
        free[best] = False
        uncovered[near[best].indices] = False
        if not uncovered.any():  # all is covered: begin another layer
            uncovered = free.copy()
    return chosen


def _radius(pool: Pool, count: int) -> float:
    classes = count if pool.probabilities is None else pool.probabilities.shape[1]
    labels = clusters_of(pool, np.arange(len(pool.features)), classes)
    start, nearest = 0, np.empty(len(labels))
    for rows in pairwise_distances_chunked(pool.features):
        own = labels[start : start + len(rows), None] == labels
        nearest[start : start + len(rows)] = np.where(own, np.inf, rows).min(axis=1)
        start += len(rows)
    # A ball is pure up to its nearest shape of another cluster; one cluster alone has no bound.
    finite = nearest[np.isfinite(nearest)]
    return float(np.quantile(finite, 1 - _PURE)) * (1 - 1e-9) if len(finite) else 2.0
