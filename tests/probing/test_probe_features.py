"""Shapes to feature vectors by a frozen student, and batch norms that get to know their inputs."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from tiny_student import TinyStudent

from pointmcd.data import dataset as loop
from pointmcd.data.store import Store
from pointmcd.errors import StoreError
from pointmcd.probing.features import calibrate
from pointmcd.students.registry import create_student
from pointmcd.training.embeddings import embed_shapes, pool

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
POINTS = 64
#: One whose norm is a plain module, those that fold them, one that uses some several times.
STUDENTS = ["tiny_student:TinyStudent", "pointnet", "pointnet2", "dgcnn", "curvenet"]


@pytest.fixture(scope="module")
def store(tiny_store):
    return Store(tiny_store)


@pytest.fixture(scope="module")
def student(store):
    """A tiny student of random weights, its batch norm no longer as it was made."""
    torch.manual_seed(3)
    made = TinyStudent()
    calibrate(made, store, POINTS, CPU)
    return made


@pytest.fixture
def batches_of(monkeypatch):
    """Set how many shapes a batch of evaluation has."""
    return lambda size: monkeypatch.setattr(loop, "EVALUATION_BATCH", size)


def everything(store):
    return np.arange(len(store.shapes))


def naive(student, store, indices, points, over_points):
    """One shape at a time, pooled by `over_points` of [M, C]."""
    rows = []
    with torch.no_grad():
        for index in indices:
            cloud = torch.from_numpy(store.points(np.array([index]), points))
            rows.append(over_points(student(cloud).embeddings[0]).numpy())
    return np.stack(rows)


def maximum(rows):
    return rows.max(dim=0).values


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def is_of_norm(name):
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


# Pooling


def test_pooling_is_torchs():
    rows = torch.randn(3, 7, 5) - 2  # all-negative channels too: zero is no maximum
    assert torch.equal(pool(rows, "max"), rows.amax(dim=1))
    assert torch.allclose(pool(rows, "mean"), rows.mean(dim=1))
    both = pool(rows, "both")
    assert both.shape == (3, 10)
    assert torch.equal(both, torch.cat([rows.amax(dim=1), rows.mean(dim=1)], dim=1))


def test_one_point_is_its_own_pool():
    rows = torch.randn(2, 1, 4)
    for pooling in ("max", "mean"):
        assert torch.equal(pool(rows, pooling), rows[:, 0])


# Embeddings


@pytest.mark.parametrize(
    ("pooling", "over_points"), [("max", maximum), ("mean", lambda rows: rows.mean(dim=0))]
)
def test_embeddings_are_the_students_pooled(pooling, over_points, student, store):
    found = embed_shapes(student, store, everything(store), POINTS, pooling, CPU)
    expected = naive(student, store, everything(store), POINTS, over_points)
    assert found.shape == (18, 24)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.std(axis=0).max() > 0.01  # it tells shapes apart


def test_both_poolings_stand_side_by_side(student, store):
    one, two, both = (
        embed_shapes(student, store, np.array([3, 5]), POINTS, pooling, CPU)
        for pooling in ("max", "mean", "both")
    )
    assert both == pytest.approx(np.hstack([one, two]), abs=1e-6)


def test_the_first_points_of_the_store_are_taken(student, store):
    some, more = (
        embed_shapes(student, store, np.array([0, 1]), count, "max", CPU) for count in (16, 128)
    )
    assert some == pytest.approx(naive(student, store, [0, 1], 16, maximum), abs=1e-5)
    assert (more >= some - 1e-6).all()  # a maximum over more points
    assert not np.allclose(more, some)


@pytest.mark.parametrize("size", [1, 4, 17, 1000])
def test_shapes_of_a_batch_do_not_know_of_each_other(size, student, store, batches_of):
    expected = embed_shapes(student, store, everything(store), POINTS, "both", CPU)
    batches_of(size)
    found = embed_shapes(student, store, everything(store), POINTS, "both", CPU)
    assert found == pytest.approx(expected, abs=1e-6)


def test_rows_follow_the_order_that_is_asked_for(student, store):
    order = np.random.default_rng(1).permutation(18)[:11]
    every = embed_shapes(student, store, everything(store), POINTS, "max", CPU)
    assert embed_shapes(student, store, order, POINTS, "max", CPU) == pytest.approx(every[order])
    twice = embed_shapes(student, store, np.array([7, 7]), POINTS, "max", CPU)
    assert np.array_equal(twice[0], twice[1])


def test_no_label_is_read(student, store, monkeypatch):
    def refuse(*_):
        raise AssertionError("a label was read")

    monkeypatch.setattr(Store, "labels", refuse)
    assert embed_shapes(student, store, everything(store), POINTS, "max", CPU).shape == (18, 24)
    calibrate(TinyStudent(), store, POINTS, CPU)


@pytest.mark.parametrize("training", [True, False])
def test_the_student_is_left_as_it_was(training, student, store):
    held = deepcopy(student).train(training)
    before = state(held)
    found = embed_shapes(held, store, everything(store), POINTS, "max", CPU)
    assert [module.training for module in held.modules()] == [training] * 4
    assert all(torch.equal(tensor, before[name]) for name, tensor in held.state_dict().items())
    # Neither dropout nor the statistics of the batch have had a say.
    assert np.array_equal(
        found, embed_shapes(student, store, everything(store), POINTS, "max", CPU)
    )


def test_a_student_that_keeps_fewer_points(store):
    torch.manual_seed(0)
    keeps_few = create_student("pointnet2").eval()
    indices = np.array([2, 9, 13])
    with torch.no_grad():
        kept = keeps_few(torch.from_numpy(store.points(indices, POINTS))).embeddings
    assert kept.shape[1] < POINTS
    found = embed_shapes(keeps_few, store, indices, POINTS, "max", CPU)
    assert found == pytest.approx(naive(keeps_few, store, indices, POINTS, maximum), abs=1e-4)


def test_more_points_than_the_store_has(student, store):
    with pytest.raises(StoreError, match="129 points requested, but the store holds 128"):
        embed_shapes(student, store, np.array([0]), 129, "max", CPU)


# Calibration


def test_running_statistics_are_the_mean_over_batches(store, batches_of):
    batches_of(4)  # 9 train shapes: 4, 4 and one that is left out
    torch.manual_seed(1)
    fresh = TinyStudent()
    calibrate(fresh, store, POINTS, CPU)
    # Mixed, since a store is sorted by class and a batch would hold one or two.
    mixed = np.random.default_rng(0).permutation(store.indices("train"))
    with torch.no_grad():
        batches = [
            fresh.rise(torch.from_numpy(store.points(part, POINTS))).flatten(0, 1)
            for part in (mixed[:4], mixed[4:8])
        ]
    means, variances = (
        torch.stack(list(map(of, batches))).mean(dim=0)
        for of in (lambda rows: rows.mean(dim=0), lambda rows: rows.var(dim=0))
    )
    assert int(fresh.norm.num_batches_tracked) == 2
    assert torch.allclose(fresh.norm.running_mean, means, atol=1e-6)
    assert torch.allclose(fresh.norm.running_var, variances, rtol=1e-4)


@pytest.mark.parametrize("name", STUDENTS[:4])
def test_after_one_batch_every_norm_knows_that_batch(name, store):
    torch.manual_seed(2)
    fresh = create_student(name)
    plain = deepcopy(fresh)
    for module in (fresh, plain):
        for dropout in (m for m in module.modules() if isinstance(m, torch.nn.Dropout)):
            dropout.p = 0.0
    for norm in (m for m in plain.modules() if hasattr(m, "running_mean")):
        norm.momentum = 1.0  # the last batch alone, and there is but one
    train = store.indices("train")
    with torch.no_grad():
        plain.train()(torch.from_numpy(store.points(train, POINTS)))
    calibrate(fresh, store, POINTS, CPU)
    expected, found = plain.state_dict(), fresh.state_dict()
    names = [name for name in expected if name.endswith(("running_mean", "running_var"))]
    assert names
    for name in names:
        assert torch.allclose(found[name], expected[name], rtol=1e-3, atol=1e-5), name


def test_what_was_there_before_does_not_count(store):
    torch.manual_seed(1)
    fresh = TinyStudent()
    used = deepcopy(fresh)
    used.norm.running_mean.fill_(100)
    used.norm.running_var.fill_(100)
    for made in (fresh, used):
        torch.manual_seed(5)
        calibrate(made, store, POINTS, CPU)
    assert all(torch.equal(t, fresh.state_dict()[n]) for n, t in used.state_dict().items())


@pytest.mark.parametrize("name", STUDENTS)
def test_only_batch_norms_learn_their_inputs(name, store):
    torch.manual_seed(2)
    fresh = create_student(name)
    before = state(fresh)
    calibrate(fresh, store, POINTS, CPU)
    after = fresh.state_dict()
    assert not any(module.training for module in fresh.modules())
    assert all(p.grad is None for p in fresh.parameters())
    for key, tensor in after.items():
        assert torch.equal(tensor, before[key]) != is_of_norm(key), key


def test_a_last_batch_of_one_shape_does_no_harm(store, batches_of):
    # PointNet's first transform normalises one row per shape, which a batch of one cannot be.
    batches_of(4)
    torch.manual_seed(2)
    fresh = create_student("pointnet")
    calibrate(fresh, store, POINTS, CPU)
    assert all(tensor.isfinite().all() for tensor in fresh.state_dict().values())
    tracked = {int(t) for n, t in fresh.state_dict().items() if n.endswith("num_batches_tracked")}
    assert tracked == {2}


def test_only_the_train_part_is_looked_at(store, monkeypatch):
    seen, points = [], Store.points

    def note(self, indices, count, features=()):
        seen.extend(indices)
        return points(self, indices, count, features)

    monkeypatch.setattr(Store, "points", note)
    calibrate(TinyStudent(), store, POINTS, CPU)
    assert set(map(int, seen)) == set(map(int, store.indices("train")))
