"""Strategies of active learning: which shapes to label next."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from pointmcd.plugs import Plugs
from pointmcd.typing import Doubles, Indices


class Pool(NamedTuple):
    """Candidates of a strategy.

    Attributes:
        features: of all shapes, [S, F], rows of length 1.
        labelled: positions of the shapes whose labels are known, ascending.
        allowed: positions of those that may be chosen, ascending; none is labelled.
        probabilities: of the classes for each shape, [S, K]; None before there is a model.
        generator: for all that is drawn.
    """

    features: Doubles
    labelled: Indices
    allowed: Indices
    probabilities: Doubles | None
    generator: np.random.Generator


#: Returns up to `count` of the allowed positions, the best first, each once.
Strategy = Callable[[Pool, int], list[int]]
STRATEGIES: Plugs[Strategy] = Plugs("strategy", "pointmcd.labelling.strategies")
register_strategy = STRATEGIES.register


def clusters_of(pool: Pool, rows: Indices, count: int) -> Indices:
    """Return the k-means cluster of each row of the features, [n]; fewer clusters of equal rows."""
    seed = int(pool.generator.integers(2**31))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal rows
        found = KMeans(min(count, len(rows)), n_init=1, random_state=seed)
        return np.asarray(found.fit_predict(pool.features[rows]), dtype=np.int64)
