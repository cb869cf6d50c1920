"""Propose the shapes of a store whose labels would teach most."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler, normalize

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import ConfigError
from pointmcd.labelling.strategy import STRATEGIES, Pool
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.features import cache_features, gather_rows
from pointmcd.typing import Doubles, Floats

#: Chosen from the literature; the best on psb25 too (benchmarks/labelling).
_DEFAULT_STRATEGY = "typical"
#: Dimensions that distances are computed in.
_DIMENSIONS = 64


def propose(
    store: Store,
    count: int,
    labelled: Sequence[int],
    features: Floats | Doubles,
    probabilities: Floats | Doubles | None = None,
    strategy: str = _DEFAULT_STRATEGY,
    seed: int = 0,
) -> list[int]:
    """Return indices of shapes to label next, the most telling first; fewer where few are left.

    Args:
        store: the shapes; those of its test split are never proposed, nor those left out as twins.
        count: how many.
        labelled: indices of the shapes whose labels are known.
        features: of all shapes, [S, F], as from `shape_features`.
        probabilities: of the classes for each shape, [S, K], where there is a model.
        strategy: how: a name in `STRATEGIES`.
        seed: of what is drawn.

    Raises:
        ConfigError: when there is no such strategy, or `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"--count {count}: must be at least 1")
    choose = STRATEGIES.get(strategy)
    known = np.unique(np.asarray(labelled, dtype=np.int64))
    outside_test = np.concatenate([store.indices("train"), store.indices("val")])
    pool = Pool(
        features=unit_rows(np.asarray(features, dtype=np.float64)),
        labelled=known,
        allowed=np.setdiff1d(outside_test, known),
        probabilities=None if probabilities is None else np.asarray(probabilities, np.float64),
        generator=np.random.default_rng(seed),
    )
    count = min(count, len(pool.allowed))
    chosen = choose(pool, count) if count else []
    if len(chosen) < count:  # more than the strategy tells apart
        rest = np.setdiff1d(pool.allowed, chosen)
        chosen += list(map(int, pool.generator.permutation(rest)[: count - len(chosen)]))
    return chosen


def unit_rows(features: Doubles) -> Doubles:
    """Return standardised features [S, F] in at most 64 principal dimensions, rows of length 1."""
    if not np.ptp(features, axis=0).any():  # equal shapes
        return np.zeros_like(features)
    components = PCA(min(_DIMENSIONS, *features.shape), svd_solver="full")
    scaled = StandardScaler().fit_transform(features)
    return np.asarray(normalize(components.fit_transform(scaled)))


def shape_features(store: Store, device: str = "cpu") -> Floats:
    """Return features [S, F] of all shapes: those of lite0, averaged over the views.

    Those of single views are cached in the store; `pointmcd teach` reads the same.
    """
    config = TeachConfig(store.path, "lite0")
    image = ImageEncoder(config.teacher, config.seed, config.weights)
    folder = cache_features(store, config, image, torch.device(device))
    shards = [
        gather_rows(store, folder, indices).mean(axis=1) for _, indices in store.shard_ranges()
    ]
    return np.concatenate(shards)
