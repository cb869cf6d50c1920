"""BADGE: diverse gradients of the last layer (Ash et al., ICLR 2020)."""

import numpy as np
from sklearn.cluster import kmeans_plusplus

from pointmcd.labelling.strategies.typical import typical
from pointmcd.labelling.strategy import Pool, register_strategy


@register_strategy("gradients")
def gradients(pool: Pool, count: int) -> list[int]:
    """Choose by k-means++ among the gradients that the guessed labels would give a last layer.

    They are long where the model doubts and point elsewhere for other classes and features. Before
    there is a model: `typical`.
    """
    if pool.probabilities is None:
        return typical(pool, count)
    wrong = pool.probabilities[pool.allowed].copy()
    wrong[np.arange(len(wrong)), wrong.argmax(axis=1)] -= 1.0
    rows = wrong[:, :, None] * pool.features[pool.allowed][:, None, :]
    seed = int(pool.generator.integers(2**31))
    found = kmeans_plusplus(rows.reshape(len(wrong), -1), min(count, len(wrong)), random_state=seed)
    return [int(pool.allowed[i]) for i in dict.fromkeys(map(int, found[1]))]
