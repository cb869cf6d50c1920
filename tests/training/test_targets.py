import numpy as np
import pytest

from pointmcd.data.store import Store
from pointmcd.errors import StoreError
from pointmcd.teachers.features import StoredRows
from pointmcd.teachers.stored import map_output
from pointmcd.training.config import TrainConfig
from pointmcd.training.targets import (
    Standardised,
    channel_statistics,
    prepare_targets,
)

ALL = slice(None)


@pytest.fixture
def targets():
    return np.random.default_rng(0).gamma(2, 3, size=(7, 3, 5)).astype(np.float32)


def standardised(targets, reference):
    return Standardised(targets, channel_statistics(reference))[ALL]


def test_each_channel_has_zero_mean_and_unit_variance(targets):
    found = standardised(targets, targets)
    assert found.dtype == np.float32
    assert found.mean((0, 1)) == pytest.approx(np.zeros(5), abs=1e-6)
    assert found.std((0, 1)) == pytest.approx(np.ones(5), abs=1e-5)
    # One factor for all shapes and views of a channel: what differed still differs alike.
    back = found * targets.std((0, 1)) + targets.mean((0, 1))
    assert np.allclose(back, targets, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 3.7, 60000.0])
def test_a_channel_that_never_varies_becomes_zero(targets, value):
    targets[:, :, 2] = value
    found = standardised(targets, targets)
    assert found[:, :, 2] == pytest.approx(np.zeros((7, 3)), abs=1e-6)
    assert np.isfinite(found).all()


def test_a_channel_far_from_zero_keeps_its_variance():
    # The mean of many float32 numbers must not be summed in float32.
    far = np.full((400, 12, 1), 30000, np.float32) + np.arange(400, dtype=np.float32)[:, None, None]
    found = standardised(far, far)
    assert found.mean() == pytest.approx(0, abs=1e-5)
    assert found.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shapes", [1, 2, 3, 6, 7, 8, 100])
def test_statistics_in_parts_are_those_of_the_whole(monkeypatch, shapes):
    monkeypatch.setattr("pointmcd.training.targets._AT_ONCE", 3)
    whole = np.random.default_rng(1).normal(50, 3, size=(shapes, 4, 6)).astype(np.float32)
    found, exact = channel_statistics(whole), whole.astype(np.float64)
    assert np.allclose(found.mean, exact.mean((0, 1)), rtol=1e-12)
    assert np.allclose(found.deviation, exact.std((0, 1)), rtol=1e-9)
    assert np.array_equal(found.least, exact.min((0, 1)))


def test_no_more_than_a_part_is_read_at_a_time(monkeypatch, taught_store):
    asked = []
    read = StoredRows.__getitem__

    def watched(self, rows):
        asked.append(len(rows))
        return read(self, rows)

    monkeypatch.setattr("pointmcd.training.targets._AT_ONCE", 4)
    monkeypatch.setattr(StoredRows, "__getitem__", watched)
    store = Store(taught_store)
    config = TrainConfig(taught_store, standardise=True)
    channel_statistics(prepare_targets(config, store, store.indices("train")))
    assert asked == [4, 4, 1] * 2  # once to standardise, once for what came of it


@pytest.mark.parametrize(("target", "size"), [("descriptors", 512), ("features", 1280)])
def test_targets_of_a_run(taught_store, target, size):
    store = Store(taught_store)
    train = store.indices("train")
    mapped = prepare_targets(TrainConfig(taught_store, target=target), store, train)
    assert mapped.shape == (9, 3, size)
    plain = mapped[np.arange(9)]
    assert (plain.shape, plain.dtype) == (mapped.shape, np.float32)
    assert np.array_equal(plain, map_output(store, "lite0", target, train)[:])
    assert plain.min() >= 0
    assert np.array_equal(mapped[np.array([4, 0])], plain[[4, 0]])
    assert mapped[np.arange(0)].shape == (0, 3, size)
    config = TrainConfig(taught_store, target=target, standardise=True)
    of_run = prepare_targets(config, store, train)
    assert of_run.shape == mapped.shape
    assert np.array_equal(of_run[np.arange(9)], standardised(plain, plain))


def test_an_absent_teacher(taught_store):
    store = Store(taught_store)
    with pytest.raises(StoreError, match="no teacher big"):
        prepare_targets(TrainConfig(taught_store, teacher="big"), store, store.indices("train"))


def test_other_shapes_are_put_on_the_scale_of_the_reference(targets):
    others = 3 * targets[:2] + 1
    found = standardised(others, targets)
    mean, deviation = targets.mean((0, 1)), targets.std((0, 1))
    assert found == pytest.approx((others - mean) / deviation, abs=1e-4)
