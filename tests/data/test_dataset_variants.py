"""Batches in which each shape stands as itself or as one of its variants."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pointmcd.data.augment import Augmentation
from pointmcd.data.dataset import ShapeDataset
from pointmcd.data.store import Store

STILL = {"scale": 1.0, "shift": 0.0}
POINTS = 40


@pytest.fixture(scope="module")
def store(varied_store):
    return Store(varied_store)


def numbered(rows):
    """A teacher's outputs [n, 3, 2] that say which row of the store and which view they are of."""
    said = np.zeros((len(rows), 3, 2), np.float32)
    said[:, :, 0], said[:, :, 1] = np.asarray(rows)[:, None], np.arange(3)
    return {"descriptors": said}


def training_set(store, seed=7, **options):
    indices = store.indices("train")
    teacher = numbered(store.with_variants(indices))
    augmentation = Augmentation(seed, **(STILL | options))
    return ShapeDataset(store, indices, POINTS, teacher, augmentation=augmentation, parts=True)


@pytest.mark.parametrize("resample", [False, True])
def test_points_visibility_parts_and_teacher_are_of_one_variant(store, resample):
    dataset = training_set(store, resample=resample)
    seen = set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        batch = dataset.__getitems__(list(range(len(dataset))))
        rows = batch.teacher["descriptors"][:, 0, 0].numpy().astype(np.int64)
        assert np.array_equal(store.shape_of[rows], dataset.indices)
        assert batch.labels.tolist() == store.labels(dataset.indices).tolist()
        for place, row in enumerate(rows):
            held = store.points(np.array([row]), 128)[0]
            apart = np.linalg.norm(batch.points[place].numpy()[:, None] - held, axis=2)
            where = apart.argmin(axis=1)
            assert apart.min(axis=1).max() == 0
            visible = store.visibility(np.array([row]), 128)[0][where]
            assert np.array_equal(batch.visibility[place].numpy(), visible)
            parts = store.part_labels(np.array([row]), 128)[0][where]
            assert np.array_equal(batch.parts[place].numpy(), parts)
        seen |= set(rows.tolist())
    assert seen == set(dataset.rows.tolist())
    assert len(seen) == 3 * len(dataset.indices)


def test_versions_are_drawn_alike_often(store):
    train = store.indices("train")
    drawn = store.draw_variants(np.repeat(train, 300), np.tile(np.arange(300) / 300, len(train)))
    counts = np.bincount(drawn, minlength=len(store.shape_of))[store.with_variants(train)]
    assert (counts == 100).all()
    assert store.draw_variants(np.array([], np.int64), np.array([])).tolist() == []


def test_a_shape_without_variants_stays_itself(store):
    test = store.indices("test")
    assert np.array_equal(store.with_variants(test), test)
    assert np.array_equal(store.draw_variants(test, np.full(len(test), 0.999)), test)


def test_neither_order_nor_company_nor_processes_change_a_draw(store):
    dataset = training_set(store)
    dataset.set_epoch(3)
    whole = dataset.__getitems__(list(range(12)))
    some = dataset.__getitems__([5, 0, 5])
    for name in ("points", "visibility", "parts"):
        assert torch.equal(getattr(some, name), getattr(whole, name)[[5, 0, 5]])
    assert torch.equal(some.teacher["descriptors"], whole.teacher["descriptors"][[5, 0, 5]])
    loader = DataLoader(dataset, batch_size=12, collate_fn=lambda batch: batch, num_workers=1)
    assert torch.equal(next(iter(loader)).points, whole.points)


def test_a_baseline_draws_the_same_as_a_distilled_run(store):
    indices = store.indices("train")
    baseline = ShapeDataset(store, indices, POINTS, augmentation=Augmentation(7, **STILL))
    distilled = training_set(store)
    for epoch in (0, 1):
        batches = []
        for dataset in (baseline, distilled):
            dataset.set_epoch(epoch)
            batches.append(dataset.__getitems__(list(range(12))).points)
        assert torch.equal(*batches)


def test_seeds_and_rounds_draw_otherwise(store):
    first = training_set(store).__getitems__(list(range(12))).points
    assert not torch.equal(first, training_set(store, seed=8).__getitems__(list(range(12))).points)
    indices = store.indices("train")
    dataset = ShapeDataset(store, indices, POINTS, augmentation=Augmentation(7, **STILL), repeats=2)
    again = dataset.__getitems__(list(range(12, 24))).points
    assert not torch.equal(first, again)


@pytest.mark.parametrize("augmentation", [None, Augmentation(7, **STILL, variants=False)])
def test_they_can_be_left_out_and_never_come_in_evaluation(store, augmentation):
    for split in ("train", "val"):
        indices = store.indices(split)
        dataset = ShapeDataset(store, indices, POINTS, numbered(indices), augmentation=augmentation)
        batch = dataset.__getitems__(list(range(len(indices))))
        assert torch.equal(batch.points, torch.from_numpy(store.points(indices, POINTS)))
        assert batch.teacher["descriptors"][:, 0, 0].tolist() == indices.tolist()


def test_outputs_for_other_rows_are_refused(store):
    indices = store.indices("train")
    with pytest.raises(ValueError, match="descriptors: 12 outputs for 36 rows"):
        ShapeDataset(store, indices, POINTS, numbered(indices), augmentation=Augmentation(7))


def test_a_wrong_view_is_the_same_in_all_variants(store):
    indices = store.indices("train")
    teacher = numbered(store.with_variants(indices))
    dataset = ShapeDataset(
        store, indices, POINTS, teacher, pairing="wrong", augmentation=Augmentation(7)
    )
    views = []
    for epoch in range(6):
        dataset.set_epoch(epoch)
        views.append(dataset.__getitems__(list(range(12))).teacher["descriptors"][:, :, 1])
    assert all(torch.equal(views[0], other) for other in views)
    assert (views[0] != torch.arange(3)).all()


def test_another_shapes_outputs_are_never_of_a_variant_of_the_shape(store):
    indices = store.indices("train")
    teacher = numbered(store.with_variants(indices))
    augmentation = Augmentation(7)
    dataset = ShapeDataset(
        store, indices, POINTS, teacher, pairing="shuffled", augmentation=augmentation
    )
    said = []
    for epoch in range(6):
        dataset.set_epoch(epoch)
        said.append(dataset.__getitems__(list(range(12))).teacher["descriptors"][:, 0, 0])
    assert all(torch.equal(said[0], other) for other in said)
    assert sorted(said[0].tolist()) == sorted(indices.tolist())
    assert (said[0].numpy() != indices).all()


def test_a_subset_without_variants_draws_no_number(store, tiny_store):
    """Runs on older stores repeat what they drew before there were variants."""
    plain = Store(tiny_store)
    dataset = ShapeDataset(plain, plain.indices("train"), POINTS, augmentation=Augmentation(7))
    points = dataset.__getitems__([2]).points[0].numpy()
    index = int(plain.indices("train")[2])
    augmentation = Augmentation(7)
    generator = augmentation.generator(0, index)
    kept = plain.points(np.array([index]), POINTS)[0]
    assert np.array_equal(points, augmentation.draw(generator).apply(kept))
