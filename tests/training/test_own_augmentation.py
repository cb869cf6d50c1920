"""An augmentation of one's own, from a file."""

import pickle

import numpy as np
import pytest
import torch

from pointmcd.data.augment import Augmentation, NamedAugmentation
from pointmcd.data.dataset import ShapeDataset
from pointmcd.data.resident import ResidentShapes, resident
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.training.run import Run
from pointmcd.training.train import train

FILE = """
import numpy as np

def same(points, generator):
    return points

def jitter(points, generator):
    moved = points.copy()
    moved[:, :3] += generator.normal(0, 0.02, size=(len(points), 3))
    return moved

def fewer(points, generator):
    return points[1:]

def lost(points, generator):
    return points * np.nan

def fails(points, generator):
    return points @ generator

number = 3
"""


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)


def last(folder):
    return (folder / "last.safetensors").read_bytes()


def test_it_is_what_the_student_sees_after_the_others(tiny_store):
    store = Store(tiny_store)
    indices = store.indices("train")
    plain, own = (
        ShapeDataset(store, indices, 32, augmentation=Augmentation(0, own=one))
        for one in (None, NamedAugmentation("mine.py:jitter"))
    )
    before, after = (set_.__getitems__([0, 5]).points.numpy() for set_ in (plain, own))
    assert 0.01 < np.abs(after - before).mean() < 0.03
    # Drawn by shape and epoch: again the same, in another epoch another.
    np.testing.assert_array_equal(own.__getitems__([5]).points[0], after[1])
    own.set_epoch(1)
    plain.set_epoch(1)
    later = own[5].points[0] - plain[5].points[0]
    assert np.abs(later.numpy() - (after - before)[1]).max() > 0.01


def test_processes_that_load_batches_import_it_themselves():
    own = pickle.loads(pickle.dumps(Augmentation(0, own=NamedAugmentation("mine.py:jitter")))).own
    points = np.zeros((4, 3), np.float32)
    wanted = NamedAugmentation("mine.py:jitter")(points, np.random.default_rng(0))
    np.testing.assert_array_equal(own(points, np.random.default_rng(0)), wanted)
    assert np.abs(wanted).sum() > 0


def test_a_run_with_it(make):
    plain = last(train(make("plain", epochs=1)))
    assert last(train(make("same", epochs=1, augment="mine.py:same"))) == plain
    folder = train(make("jitter", epochs=1, augment="mine.py:jitter"))
    assert last(folder) != plain
    assert Run(folder).config.augment == "mine.py:jitter"
    assert "augment" not in Run(make("plain").out).meta["settings"]
    assert "mine.py" in Run(folder).meta["settings"]["code"]
    with pytest.raises(RunError, match="holds a run that differs in augment"):
        train(make("jitter", epochs=1, augment="mine.py:same"))


def test_its_shapes_are_made_by_the_host(tiny_store):
    store = Store(tiny_store)
    for own, stays in ((None, True), (NamedAugmentation("mine.py:same"), False)):
        shapes = ShapeDataset(
            store, store.indices("train"), 32, augmentation=Augmentation(0, own=own)
        )
        found = resident(shapes, torch.device("cpu"))
        assert isinstance(found, ResidentShapes) is stays


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.py:fewer", r"--augment mine.py:fewer: gives \[63, 3\]; finite points \[64, 3\] are"),
        ("mine.py:lost", r"finite points \[64, 3\] are needed"),
        ("mine.py:fails", "--augment mine.py:fails: fails: "),
        ("mine.py:number", "--augment mine.py:number: is not a function"),
        ("mine.py:gone", "--augment mine.py:gone: cannot be imported: .*; write FILE.py:NAME"),
        ("none.py:gone", "--augment none.py:gone: cannot be imported: .*; write FILE.py:NAME"),
        ("jitter", "--augment jitter: cannot be imported: .*; write FILE.py:NAME"),
    ],
)
def test_what_is_no_augmentation(make, name, text):
    with pytest.raises(ConfigError, match=text):
        train(make("a", epochs=1, augment=name))


def test_a_fault_in_a_process_that_loads_batches_is_one_line(make):
    with pytest.raises(ConfigError, match=r"^--augment mine.py:fails: fails: [^\n]*$"):
        train(make("a", epochs=1, augment="mine.py:fails", workers=1))
