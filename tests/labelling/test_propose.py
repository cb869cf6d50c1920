"""Which shapes are proposed for labelling."""

import numpy as np
import pytest

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.labelling.propose import propose, shape_features
from pointmcd.labelling.strategy import STRATEGIES, Pool

NAMES = sorted(STRATEGIES.names())
CLUSTERS = (30, 20, 9, 4)


def blobs(seed=0, spread=0.02):
    """Unit rows in four tight clusters of unequal size, and the cluster of each."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), CLUSTERS)
    rows = np.eye(6)[labels] + generator.normal(0, spread, (len(labels), 6))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), labels


def pool(labelled=(), allowed=None, probabilities=None, seed=0, features=None):
    features = blobs()[0] if features is None else features
    known = np.array(sorted(labelled), dtype=np.int64)
    allowed = np.setdiff1d(np.arange(len(features)) if allowed is None else allowed, known)
    return Pool(features, known, allowed, probabilities, np.random.default_rng(seed))


def sure(features, count=4):
    """Probabilities of a model that is sure of all."""
    return np.eye(count)[np.arange(len(features)) % count] * 0.96 + 0.01


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", [False, True])
@pytest.mark.parametrize("count", [1, 4, 10, 63, 100])
def test_allowed_shapes_each_once(name, model, count):
    given = pool([3, 40], np.arange(0, 63, 2), sure(blobs()[0]) if model else None)
    chosen = STRATEGIES.get(name)(given, count)
    assert len(set(chosen)) == len(chosen) <= count
    assert set(chosen) <= set(given.allowed.tolist())
    assert len(chosen) >= min(count, len(given.allowed)) // 2


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_shapes(name):
    probabilities = np.random.default_rng(1).dirichlet(np.ones(4), 63)
    first, again = (STRATEGIES.get(name)(pool([0], None, probabilities), 8) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("name", ["typical", "coverage", "spread", "doubt", "gradients"])
def test_every_cluster_gets_a_label(name):
    labels = blobs()[1]
    assert sorted(labels[STRATEGIES.get(name)(pool(), 4)]) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["typical", "coverage", "spread"])
def test_clusters_that_have_a_label_come_last(name):
    labels = blobs()[1]
    known = [5, 35]  # of the clusters 0 and 1
    assert sorted(labels[STRATEGIES.get(name)(pool(known), 2)]) == [2, 3]


def test_the_most_typical_lies_in_the_midst():
    features, labels = blobs(spread=0.1)
    chosen = STRATEGIES.get("typical")(pool(features=features), 4)
    for position in chosen:
        own = features[labels == labels[position]]
        means = np.linalg.norm(own[:, None] - own, axis=2)
        means = np.sort(means, axis=1)[:, 1:21].mean(axis=1)
        mine = np.flatnonzero(np.flatnonzero(labels == labels[position]) == position)[0]
        assert means[mine] == pytest.approx(means.min())


def test_farthest_shapes_naively():
    features = np.random.default_rng(3).normal(size=(30, 5))
    chosen = STRATEGIES.get("spread")(pool([7], features=features), 6)
    known = [7]
    for position in chosen:
        distances = np.linalg.norm(features[:, None] - features[known], axis=2).min(axis=1)
        assert distances[position] == pytest.approx(distances.max())
        known.append(position)


def test_doubt_is_where_two_classes_are_close():
    features, _ = blobs()
    probabilities = sure(features)
    doubtful = [1, 31, 51, 60]  # one in each cluster
    probabilities[doubtful] = [0.45, 0.44, 0.06, 0.05]
    assert STRATEGIES.get("doubt")(pool((), None, probabilities), 1)[0] in doubtful
    chosen = STRATEGIES.get("doubt")(pool((), [*doubtful, 2, 3], probabilities), 4)
    assert set(chosen) & set(doubtful)


def test_gradients_of_doubtful_shapes_are_taken_first():
    probabilities = np.eye(4)[np.arange(63) % 4]  # sure: no gradient at all
    doubtful = [1, 31, 51, 60]
    probabilities[doubtful] = 0.25
    assert set(STRATEGIES.get("gradients")(pool((), None, probabilities, seed=1), 4)[1:]) <= {
        *doubtful
    }


@pytest.mark.parametrize("name", NAMES)
def test_one_shape_and_equal_shapes(name):
    one = pool(features=np.ones((1, 3)))
    assert STRATEGIES.get(name)(one, 5) == [0]
    equal = pool(features=np.ones((7, 3)) / np.sqrt(3))
    chosen = STRATEGIES.get(name)(equal, 3)
    assert len(set(chosen)) == len(chosen)


@pytest.mark.parametrize("name", NAMES)
def test_a_store_is_never_asked_for_test_shapes(tiny_store, name):
    store = Store(tiny_store)
    features = np.random.default_rng(0).normal(size=(len(store.shapes), 8))
    outside = {*map(int, store.indices("train")), *map(int, store.indices("val"))}
    labelled = sorted(outside)[:2]
    chosen = propose(store, 100, labelled, features, strategy=name)
    assert sorted(chosen) == sorted(outside - {*labelled})
    assert propose(store, 100, sorted(outside), features, strategy=name) == []
    assert len(propose(store, 3, [], np.ones_like(features), strategy=name)) == 3


def test_what_cannot_be_meant(tiny_store):
    store = Store(tiny_store)
    features = np.ones((len(store.shapes), 2))
    with pytest.raises(ConfigError, match="--count 0: must be at least 1"):
        propose(store, 0, [], features)
    with pytest.raises(ConfigError, match="strategy nobody"):
        propose(store, 1, [], features, strategy="nobody")


def test_features_of_a_store_are_those_that_a_teacher_reads(taught_store):
    store = Store(taught_store)
    features = shape_features(store)
    assert features.shape[0] == len(store.shapes)
    rows = np.load(taught_store / "features" / "lite0" / f"{store.shards[0]}.npy")
    np.testing.assert_allclose(features[: len(rows)], rows.astype(np.float32).mean(axis=1))
