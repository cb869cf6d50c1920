"""Shapes as one view sees them, in training."""

import numpy as np
import pytest
import torch

from pointmcd.data.augment import Augmentation
from pointmcd.data.dataset import ShapeDataset
from pointmcd.data.resident import resident
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.training.config import TrainConfig

POINTS = 40
STILL = {"scale": 1.0, "shift": 0.0}


@pytest.fixture(scope="module")
def store(tiny_store):
    return Store(tiny_store)


def batch_of(store, one_view, items=(0, 1, 2, 3), epoch=0, **options):
    indices = store.indices("train")
    targets = np.zeros((len(indices), store.num_views, 4), np.float32)
    augmentation = Augmentation(7, **STILL, one_view=one_view, **options)
    dataset = ShapeDataset(
        store, indices, POINTS, {"descriptors": targets}, augmentation=augmentation
    )
    dataset.set_epoch(epoch)
    return dataset.__getitems__(list(items)), indices[list(items)]


def normalised(points):
    centred = points - points.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1).max()


@pytest.mark.parametrize("resample", [False, True])
def test_the_points_are_those_of_one_view(store, resample):
    batch, rows = batch_of(store, 1.0, resample=resample)
    for row, index in enumerate(rows):
        held = store.points(np.array([index]), store.num_points)[0]
        seen = store.visibility(np.array([index]), store.num_points)[0]
        found = batch.points[row].numpy()
        views = np.flatnonzero(batch.visibility[row].numpy().all(axis=0))
        assert len(views)  # one view sees them all
        if resample:
            continue
        wanted = [
            normalised(held[np.resize(np.flatnonzero(seen[:, view])[:POINTS], POINTS)])
            for view in views
        ]
        assert min(np.abs(found - one).max() for one in wanted) < 1e-5


def test_each_epoch_looks_again(store):
    first, again, other = (batch_of(store, 1.0, epoch=epoch)[0].points for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_never_and_now_and_then(store):
    plain, _ = batch_of(store, 0.0)
    rows = store.indices("train")[:4]
    np.testing.assert_array_equal(plain.points.numpy(), store.points(rows, POINTS))
    mixed = torch.cat([batch_of(store, 0.5, epoch=e)[0].points for e in range(12)])
    whole = torch.cat([plain.points] * 12)
    same = (mixed == whole).flatten(1).all(dim=1).float().mean()
    assert 0.25 < same < 0.75


def test_a_view_that_hardly_sees_a_shape_is_not_taken():
    generator, visibility = np.random.default_rng(0), np.zeros((100, 3), dtype=bool)
    visibility[:7] = True
    augmentation = Augmentation(0, one_view=1.0)
    assert augmentation.look(generator, visibility, 16) is None
    visibility[7] = True
    assert augmentation.look(generator, visibility, 16).tolist() == [*range(8), *range(8)]


def test_points_at_one_place_stay_finite():
    move = Augmentation(0, **STILL).draw(np.random.default_rng(0), normalised=True)
    assert np.isfinite(move.apply(np.ones((5, 3), np.float32))).all()


def test_they_are_made_by_the_host(store):
    shapes = ShapeDataset(
        store, store.indices("train"), POINTS, augmentation=Augmentation(0, one_view=0.5)
    )
    assert resident(shapes, torch.device("cpu")) is shapes


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_no_probability(value):
    with pytest.raises(ConfigError, match=rf"--one-view {value}: must be from 0 to 1"):
        TrainConfig("store", one_view=value).check()
