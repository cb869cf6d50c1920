"""Core-set: the farthest from all labels, again and again (Sener, Savarese, ICLR 2018)."""

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from pointmcd.labelling.strategy import Pool, register_strategy


@register_strategy("spread")
def spread(pool: Pool, count: int) -> list[int]:
    """Choose greedily the shape that is farthest from every labelled or chosen one (k-centre).

    Without labels it begins with the shape nearest to the mean.
    """
    features, chosen = pool.features, []
    if len(pool.labelled):
        nearest = euclidean_distances(features, features[pool.labelled], squared=True).min(axis=1)
    else:
        nearest = -((features - features.mean(axis=0)) ** 2).sum(axis=1)
    free = np.full(len(features), -np.inf)
    free[pool.allowed] = 0.0
    for number in range(min(count, len(pool.allowed))):
        best = int((nearest + free).argmax())
        chosen.append(best)
        free[best] = -np.inf
        distances = euclidean_distances(features, features[best : best + 1], squared=True)[:, 0]
        first = number == 0 and not len(pool.labelled)
        nearest = distances if first else np.minimum(nearest, distances)
    return chosen
