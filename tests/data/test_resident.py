"""Batches made on a device, held to those of the host."""

import numpy as np
import pytest
import torch

from pointmcd.data import resident as module
from pointmcd.data.augment import Augmentation
from pointmcd.data.dataset import POINT_LOGITS, ShapeDataset
from pointmcd.data.joined import JoinedDataset
from pointmcd.data.resident import ResidentShapes, resident
from pointmcd.data.store import Store
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare

CPU = torch.device("cpu")
ITEMS = [4, 0, 7, 7, 2]


@pytest.fixture(scope="module")
def store(varied_store):
    return Store(varied_store)


def shapes_of(store, teacher=True, **options):
    indices, random = store.indices("train"), np.random.default_rng(0)
    rows = len(store.with_variants(indices))
    said = {
        "descriptors": random.random((rows, 3, 5), dtype=np.float32),
        "logits": random.random((rows, 4), dtype=np.float32),
    }
    how = {name: options.pop(name) for name in ("resample", "rotation") if name in options}
    augmentation = options.pop("augmentation", Augmentation(3, **how))
    return ShapeDataset(
        store, indices, 40, said if teacher else None, augmentation=augmentation, **options
    )


def assert_same(found, wanted):
    assert torch.equal(found.labels, wanted.labels)
    torch.testing.assert_close(found.points, wanted.points, rtol=1e-5, atol=1e-6)
    assert found.points.dtype == wanted.points.dtype
    for one, other in ((found.parts, wanted.parts), (found.visibility, wanted.visibility)):
        assert (one is None) == (other is None)
        assert one is None or (torch.equal(one, other) and one.dtype == other.dtype)
    assert found.teacher.keys() == wanted.teacher.keys()
    assert all(torch.equal(found.teacher[name], wanted.teacher[name]) for name in wanted.teacher)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"teacher": False},
        {"parts": True, "resample": True, "rotation": "up"},
        {"rotation": "any", "visibility": "all"},
        {"pairing": "wrong"},
        {"pairing": "shuffled", "resample": True},
        {"labelled": False, "repeats": 2},
    ],
    ids=str,
)
def test_batches_are_those_of_the_host(store, options):
    shapes = shapes_of(store, **options)
    here = ResidentShapes(shapes, CPU)
    assert len(here) == len(shapes)
    for epoch in (0, 5):
        here.set_epoch(epoch)
        assert_same(here.__getitems__(ITEMS), shapes.__getitems__(ITEMS))
    assert_same(here[3], shapes[3])


def test_normals_move_as_on_the_host(tiny_store, tmp_path):
    meshes = tiny_store.parent / "meshes"
    store = Store(
        prepare(PrepareConfig(meshes, tmp_path / "s", points=64, features="normals")).store
    )
    shapes = ShapeDataset(
        store,
        store.indices("train"),
        40,
        augmentation=Augmentation(3, 2.0, rotation="any"),
        features=tuple(store.features),
    )
    found, wanted = (made.__getitems__([1, 0]) for made in (ResidentShapes(shapes, CPU), shapes))
    assert wanted.points.shape[2] > 3
    assert_same(found, wanted)


def test_joined_stores_are_joined_on_the_device(store):
    joined = JoinedDataset([shapes_of(store, labelled=False), shapes_of(store, labelled=False)])
    here = resident(joined, CPU)
    assert all(isinstance(member, ResidentShapes) for member in here.members)
    items = [0, len(joined) - 1, 3]
    assert_same(here.__getitems__(items), joined.__getitems__(items))


def test_what_does_not_fit_stays_with_the_host(store, monkeypatch):
    shapes = shapes_of(store)
    assert isinstance(resident(shapes, CPU), ResidentShapes)
    here = ResidentShapes(shapes, CPU)
    held = [here.points, here.visibility, *here.outputs.values()]
    needed = sum(tensor.nbytes for tensor in held)
    monkeypatch.setattr(module, "_room", lambda device: needed)
    assert isinstance(resident(shapes, CPU), ResidentShapes)
    monkeypatch.setattr(module, "_room", lambda device: needed - 1)
    assert resident(shapes, CPU) is shapes


def test_logits_of_points_stay_with_the_host(store):
    shapes = shapes_of(store)
    shapes.teacher = {POINT_LOGITS: np.zeros((len(shapes.rows), 40, 2), np.float32)}
    assert resident(shapes, CPU) is shapes


def test_batches_for_evaluation_have_their_labels_on_the_host(store):
    shapes = shapes_of(store, teacher=False, augmentation=None, parts=True)
    here = resident(shapes, torch.device("meta"), for_evaluation=True)
    found, wanted = here.__getitems__(ITEMS), shapes.__getitems__(ITEMS)
    assert torch.equal(found.labels, wanted.labels)
    assert torch.equal(found.parts, wanted.parts)
    assert found.points.device.type == "meta"


def test_clouds_that_are_transformed_stay_with_the_host(store):
    shapes = shapes_of(store, teacher=False, transform=lambda cloud, name: cloud)
    assert resident(shapes, CPU) is shapes
