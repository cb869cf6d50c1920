"""TypiClust: the most typical shape of each cluster (Hacohen, Dekel, Weinshall, ICML 2022)."""

from collections import defaultdict

import numpy as np
from sklearn.neighbors import NearestNeighbors

from pointmcd.labelling.strategy import Pool, clusters_of, register_strategy
from pointmcd.typing import Doubles, Indices

#: Neighbours that say how typical a shape is, and the most clusters (both as published).
_NEIGHBOURS, _MOST = 20, 500


@register_strategy("typical")
def typical(pool: Pool, count: int) -> list[int]:
    """Choose from the largest clusters that hold no label the shapes with the nearest neighbours.

    There are as many clusters as labels in the end. Typicality is the inverse mean distance to the
    nearest 20 shapes of the cluster.
    """
    wanted = min(len(pool.labelled) + count, _MOST, len(pool.features))
    clusters = clusters_of(pool, np.arange(len(pool.features)), wanted)
    known = np.bincount(clusters[pool.labelled], minlength=wanted)
    members: dict[int, list[int]] = defaultdict(list)
    for position in pool.allowed:
        members[int(clusters[position])].append(int(position))
    queues = {
        cluster: _most_typical(pool.features, np.array(rows), clusters == cluster)
        for cluster, rows in members.items()
    }
    sizes = np.bincount(clusters, minlength=wanted)
    chosen: list[int] = []
    while queues and len(chosen) < count:  # the fewest labels first, then the largest
        cluster = min(queues, key=lambda c: (known[c], -sizes[c], c))
        chosen.append(queues[cluster].pop(0))
        known[cluster] += 1
        if not queues[cluster]:
            del queues[cluster]
    return chosen


def _most_typical(features: Doubles, rows: Indices, cluster: np.ndarray) -> list[int]:
    """Return positions of a cluster's allowed shapes, the most typical first."""
    members = features[cluster]
    index = NearestNeighbors(n_neighbors=min(_NEIGHBOURS + 1, len(members))).fit(members)
    near = index.kneighbors(features[rows])[0][:, 1:]  # the first is the shape itself
    mean = near.mean(axis=1) if near.shape[1] else np.zeros(len(rows))
    return [int(row) for row in rows[np.argsort(mean, kind="stable")]]
