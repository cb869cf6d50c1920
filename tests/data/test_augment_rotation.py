"""Turned clouds: about the up axis, or any way, and what a turn leaves as it was."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from pointmcd.data.augment import Augmentation
from pointmcd.data.dataset import ShapeDataset
from pointmcd.data.store import Store

seeds = st.integers(0, 2**31)
AXES = {"x": 0, "y": 1, "z": 2}
CLOUD = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


def turned(points, seed=0, epoch=0, shape=0, **options):
    """Points that are turned and neither scaled nor shifted."""
    augmentation = Augmentation(seed, **({"scale": 1.0, "shift": 0.0} | options))
    return augmentation.draw(augmentation.generator(epoch, shape)).apply(points)


def matrix(**options):
    """The turn itself: what became of the three axes, as columns."""
    return turned(np.eye(3, dtype=np.float32), **options).T.astype(np.float64)


@pytest.mark.parametrize("rotation", ["up", "any"])
@given(seed=seeds, epoch=st.integers(0, 500), shape=st.integers(0, 10**6))
def test_a_turn_keeps_distances_and_mirrors_nothing(rotation, seed, epoch, shape):
    key = {"seed": seed, "epoch": epoch, "shape": shape, "rotation": rotation}
    assert np.allclose(pdist(turned(CLOUD, **key)), pdist(CLOUD), atol=1e-5)
    found = matrix(**key)
    assert np.linalg.det(found) == pytest.approx(1, abs=1e-5)
    assert np.allclose(turned(CLOUD, **key), CLOUD @ found.T, atol=1e-5)  # the origin stays
    assert turned(CLOUD, **key).dtype == np.float32


@pytest.mark.parametrize("up", AXES)
@given(seed=seeds)
def test_about_the_up_axis_heights_stay(up, seed):
    moved = turned(CLOUD, seed=seed, rotation="up", up=up)
    axis = AXES[up]
    assert np.array_equal(moved[:, axis], CLOUD[:, axis])
    others = [i for i in range(3) if i != axis]
    radii = [np.linalg.norm(points[:, others], axis=1) for points in (moved, CLOUD)]
    assert np.allclose(*radii, atol=1e-5)


@pytest.mark.parametrize("up", AXES)
def test_angles_about_the_up_axis_go_all_the_way_round(up):
    first, second = (i for i in range(3) if i != AXES[up])
    found = [matrix(epoch=i, rotation="up", up=up)[[first, second], first] for i in range(400)]
    angles = np.sort(np.arctan2(*np.array(found).T))
    assert np.diff(angles).max() < 0.15
    assert np.linalg.norm(np.mean(found, axis=0)) < 0.12


def test_any_orientation_is_as_likely_as_another():
    found = np.stack([matrix(epoch=i, rotation="any") for i in range(1500)])
    assert np.abs(found.mean(axis=0)).max() < 0.08
    # Each coordinate of a turned axis is uniform in [-1, 1] (Archimedes): variance 1/3.
    assert np.allclose(found.var(axis=0), 1 / 3, atol=0.04)
    # The angle of a uniform turn has the mean pi/2 + 2/pi; uniform angles about a uniform axis
    # would have pi/2.
    angles = np.arccos((np.trace(found, axis1=1, axis2=2).clip(-1, 3) - 1) / 2)
    assert angles.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.06)


@pytest.mark.parametrize("rotation", ["up", "any"])
def test_the_turn_depends_on_seed_epoch_and_shape_alone(rotation):
    key = {"seed": 3, "epoch": 5, "shape": 7, "rotation": rotation}
    first = turned(CLOUD, **key)
    assert np.array_equal(turned(CLOUD, **key), first)
    for name in ("seed", "epoch", "shape"):
        other = turned(CLOUD, **(key | {name: 11}))
        assert np.abs(other - first).max() > 0.01


def test_the_turn_comes_before_scale_and_shift():
    options = {"scale": 1.5, "shift": 0.2, "rotation": "any"}
    moved, turn = turned(CLOUD, **options), matrix(rotation="any")
    upright = CLOUD @ turn.T
    design = [np.column_stack([upright[:, i], np.ones(len(CLOUD))]) for i in range(3)]
    solved = [np.linalg.lstsq(d, moved[:, i], rcond=None) for i, d in enumerate(design)]
    for (factor, offset), residual, *_ in solved:
        assert residual[0] < 1e-8
        assert 1 / 1.5 <= factor <= 1.5
        assert abs(offset) <= 0.2


@given(seed=seeds, epoch=st.integers(0, 500))
def test_without_rotation_nothing_more_is_drawn(seed, epoch):
    augmentation = Augmentation(seed, scale=1.5, shift=0.2)
    generator = np.random.default_rng((seed, epoch, 4))
    expected = CLOUD * generator.uniform(1 / 1.5, 1.5, size=3) + generator.uniform(-0.2, 0.2, 3)
    used = augmentation.generator(epoch, 4)
    assert np.array_equal(augmentation.draw(used).apply(CLOUD), expected.astype(np.float32))
    assert used.random() == generator.random()


# In a batch


@pytest.fixture(scope="module")
def store(parts_store):
    return Store(parts_store)


def batch(store, epoch=0, **options):
    train = store.indices("train")
    targets = np.random.default_rng(1).random((len(train), 3, 4)).astype(np.float32)
    augmentation = Augmentation(7, up=store.rig["up"], **options)
    dataset = ShapeDataset(
        store, train, 40, {"descriptors": targets}, augmentation=augmentation, parts=True
    )
    dataset.set_epoch(epoch)
    return dataset.__getitems__([0, 4, 9])


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("rotation", ["up", "any"])
def test_only_the_points_of_a_batch_are_turned(store, rotation, resample):
    still, moved = (batch(store, rotation=r, resample=resample) for r in ("none", rotation))
    assert not torch.allclose(still.points, moved.points, atol=0.05)
    assert still.points.shape == moved.points.shape
    for name in ("labels", "parts", "visibility"):
        assert torch.equal(getattr(still, name), getattr(moved, name))
    assert torch.equal(still.teacher["descriptors"], moved.teacher["descriptors"])
    assert not moved.visibility.all()


def test_the_turned_points_are_those_of_their_labels(store):
    options = {"rotation": "any", "scale": 1.0, "shift": 0.0, "resample": True}
    moved, still = batch(store, **options), batch(store, **(options | {"rotation": "none"}))
    for here, there in zip(moved.points, still.points, strict=True):
        assert np.allclose(pdist(here), pdist(there), atol=1e-5)


def test_each_shape_of_each_epoch_has_a_turn_of_its_own(store):
    options = {"rotation": "any", "scale": 1.0, "shift": 0.0}
    still = batch(store, scale=1.0, shift=0.0).points.double()
    found = []
    for epoch in range(2):
        moved = batch(store, epoch, **options).points.double()
        found += [torch.linalg.lstsq(a, b).solution for a, b in zip(still, moved, strict=True)]
    gaps = pdist(torch.stack(found).flatten(1))
    assert gaps.min() > 0.1
    assert torch.equal(batch(store, 1, **options).points, batch(store, 1, **options).points)
