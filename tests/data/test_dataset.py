import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from pointmcd.data.augment import Augmentation
from pointmcd.data.dataset import Batch, ShapeDataset, shuffled, wrong_views
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError

POINTS = 40


@pytest.fixture(scope="module")
def store(tiny_store):
    return Store(tiny_store)


@pytest.fixture(scope="module")
def targets():
    """Descriptors [9, 3, 4] that say which shape and which view they are of."""
    value = np.zeros((9, 3, 4), np.float32)
    value[:, :, 0] = np.arange(9)[:, None]
    value[:, :, 1] = np.arange(3)
    return value


def training_set(store, targets, resample=True, **options):
    return ShapeDataset(
        store,
        store.indices("train"),
        POINTS,
        {"descriptors": targets},
        augmentation=Augmentation(7, resample=resample),
        **options,
    )


def assert_same(one: Batch, other: Batch):
    assert one.teacher.keys() == other.teacher.keys()
    for a, b in zip(columns(one), columns(other), strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


def columns(batch: Batch):
    return [*batch[:4], *batch.teacher.values()]


def batch_of(columns) -> Batch:
    *rest, descriptors = columns
    return Batch(*rest, {} if descriptors is None else {"descriptors": descriptors})


def test_a_baseline_sees_neither_views_nor_visibility(store):
    dataset = ShapeDataset(store, store.indices("val"), POINTS)
    batch = dataset.__getitems__([2, 0])
    assert (batch.visibility, batch.teacher) == (None, {})
    indices = store.indices("val")[[2, 0]]
    assert torch.equal(batch.points, torch.from_numpy(store.points(indices, POINTS)))
    assert batch.labels.tolist() == store.labels(indices).tolist()
    assert len(dataset) == 3


def test_shapes_and_types_of_a_batch(store, targets):
    batch = training_set(store, targets).__getitems__([0, 3, 5, 8])
    assert (batch.points.shape, batch.points.dtype) == ((4, POINTS, 3), torch.float32)
    assert (batch.labels.shape, batch.labels.dtype) == ((4,), torch.int64)
    assert (batch.visibility.shape, batch.visibility.dtype) == ((4, POINTS, 3), torch.bool)
    assert (batch.teacher["descriptors"].shape, batch.teacher["descriptors"].dtype) == (
        (4, 3, 4),
        torch.float32,
    )
    assert batch.teacher["descriptors"][:, 0, 0].tolist() == [0, 3, 5, 8]


@pytest.mark.parametrize("resample", [False, True])
@pytest.mark.parametrize("pairing", ["true", "wrong"])
def test_a_batch_equals_its_items_one_by_one(store, targets, resample, pairing):
    dataset = training_set(store, targets, resample, pairing=pairing)
    items = [4, 1, 1, 7]
    batch = dataset.__getitems__(items)
    singles = [dataset[item] for item in items]
    every = zip(*map(columns, singles), strict=True)
    assert_same(batch, batch_of(None if c[0] is None else torch.cat(c) for c in every))


@given(data=st.data(), epoch=st.integers(0, 1000))
def test_no_order_and_no_company_changes_what_a_shape_looks_like(store, targets, data, epoch):
    items = data.draw(st.lists(st.integers(0, 8), min_size=1, max_size=9))
    dataset = training_set(store, targets)
    dataset.set_epoch(epoch)
    whole = dataset.__getitems__(list(range(9)))
    batch = dataset.__getitems__(items)
    assert_same(batch, batch_of(None if c is None else c[items] for c in columns(whole)))
    dataset.set_epoch(epoch + 1)
    assert not torch.equal(dataset.__getitems__(items).points, batch.points)


def test_a_shape_is_augmented_the_same_in_whatever_split_it_stands(store):
    every = np.arange(18)
    augmentation = Augmentation(7)
    whole = ShapeDataset(store, every, POINTS, augmentation=augmentation)
    part = ShapeDataset(store, np.array([16, 4]), POINTS, augmentation=augmentation)
    assert torch.equal(part.__getitems__([0, 1]).points, whole.__getitems__([16, 4]).points)


def test_loader_processes_change_nothing(store, targets):
    dataset = training_set(store, targets)
    dataset.set_epoch(3)
    loaders = [
        DataLoader(dataset, batch_size=4, collate_fn=lambda batch: batch, num_workers=workers)
        for workers in (0, 1)
    ]
    for one, other in zip(*loaders, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("resample", [False, True])
def test_visibility_follows_the_points_that_were_drawn(store, targets, resample):
    augmentation = Augmentation(7, scale=1.0, shift=0.0, resample=resample)
    indices = store.indices("train")
    dataset = ShapeDataset(
        store, indices, POINTS, {"descriptors": targets}, augmentation=augmentation
    )
    dataset.set_epoch(11)
    batch = dataset.__getitems__([2, 6])
    for row, index in enumerate(indices[[2, 6]]):
        held = store.points(np.array([index]), 128)[0]
        seen = store.visibility(np.array([index]), 128)[0]
        apart = np.linalg.norm(batch.points[row].numpy()[:, None] - held[None], axis=2)
        where = apart.argmin(axis=1)  # unmoved, every point is found again in the store
        assert apart.min(axis=1).max() == 0
        assert np.array_equal(batch.visibility[row].numpy(), seen[where])
        assert (where.max() >= POINTS) == resample


def test_resampled_visibility_differs_from_that_of_the_first_points(store, targets):
    drawn = training_set(store, targets).__getitems__([0]).visibility
    first = training_set(store, targets, resample=False).__getitems__([0]).visibility
    assert not torch.equal(drawn, first)


def test_the_control_in_which_every_view_sees_every_point(store, targets):
    exact = training_set(store, targets).__getitems__([0, 1])
    every = training_set(store, targets, visibility="all").__getitems__([0, 1])
    assert every.visibility.all()
    assert not exact.visibility.all()
    assert_same(every._replace(visibility=None), exact._replace(visibility=None))


@given(st.integers(2, 16), st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_a_wrong_view_is_never_the_view_itself(views, indices):
    rolled = wrong_views(np.array(indices), views)
    assert rolled.shape == (len(indices), views)
    assert (rolled != np.arange(views)).all()
    assert (np.sort(rolled, axis=1) == np.arange(views)).all()  # each view once


def test_wrong_views_are_of_the_same_shape_and_the_same_in_every_epoch(store, targets):
    dataset = training_set(store, targets, pairing="wrong")
    first = dataset.__getitems__(list(range(9))).teacher["descriptors"]
    dataset.set_epoch(5)
    again = dataset.__getitems__(list(range(9))).teacher["descriptors"]
    assert torch.equal(first, again)
    assert torch.equal(first[:, :, 0], torch.from_numpy(targets)[:, :, 0])
    assert (first[:, :, 1] != torch.from_numpy(targets)[:, :, 1]).all()


def test_the_wrong_view_depends_on_the_shape_alone():
    indices = np.arange(100, 109)
    whole = wrong_views(indices, 3)
    assert np.array_equal(wrong_views(indices[4:5], 3), whole[4:5])
    steps = {int(shape[1]) for shape in whole}
    assert steps == {0, 2}  # not one step for all


def test_the_callers_targets_are_left_as_they_were(store, targets):
    before = targets.copy()
    training_set(store, targets, pairing="wrong").__getitems__([0])
    assert np.array_equal(targets, before)


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_shuffled_shape_is_never_the_shape_itself(count):
    others = shuffled(count)
    assert sorted(others) == list(range(count))
    assert (others != np.arange(count)).all()


def test_shuffled_outputs_are_those_of_other_shapes(store, targets):
    plain, moved = (training_set(store, targets, pairing=p) for p in ("true", "shuffled"))
    items = list(range(len(plain.indices)))
    one, two = plain.__getitems__(items), moved.__getitems__(items)
    for name, values in one.teacher.items():
        assert torch.equal(two.teacher[name], values[shuffled(len(items))])
    assert torch.equal(one.points, two.points)
    assert torch.equal(one.visibility, two.visibility)


def test_one_view_cannot_be_paired_wrongly(store):
    with pytest.raises(ConfigError, match="--pairing wrong: needs at least two views"):
        training_set(store, np.zeros((9, 1, 4), np.float32), pairing="wrong")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"visibility": "some"}, "visibility some: use one of exact, all"),
        ({"pairing": "random"}, "pairing random: use one of true, wrong, shuffled"),
    ],
)
def test_an_unknown_choice_names_the_known_ones(store, targets, options, text):
    with pytest.raises(ConfigError, match=text):
        training_set(store, targets, **options)


@pytest.mark.parametrize("count", [0, 129])
def test_an_impossible_count_fails_at_once(store, count):
    with pytest.raises(StoreError, match="the store holds 128"):
        ShapeDataset(store, store.indices("train"), count)
