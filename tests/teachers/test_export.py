import numpy as np
import pytest
from store_copies import copy_store, edit_json

from pointmcd.data.store import Store
from pointmcd.errors import StoreError
from pointmcd.teachers.export import load_targets, read_teacher

MIXED = np.array([17, 0, 6, 5])


@pytest.fixture
def store(taught_store, tmp_path):
    return Store(copy_store(taught_store, tmp_path / "store", without=["shards"]))


def changed(store, **values):
    edit_json(store.path / "teachers/lite0/teacher.json", lambda meta: meta.update(values))
    return store


@pytest.mark.parametrize(("kind", "size"), [("descriptors", 512), ("features", 1280)])
def test_targets_are_the_rows_asked_for(taught_store, kind, size):
    store = Store(taught_store)
    targets = load_targets(store, "lite0", kind, MIXED)
    assert targets.shape == (4, 3, size)
    assert targets.dtype == np.float32
    place = "teachers/lite0/descriptors" if kind == "descriptors" else "features/lite0"
    every = np.concatenate([np.load(taught_store / place / f"{s}.npy") for s in store.shards])
    assert np.array_equal(targets, every[MIXED].astype(np.float32))


def test_an_absent_teacher_names_those_there_and_the_command(store, tiny_store):
    with pytest.raises(StoreError, match=r"no teacher big \(there: lite0\).*pointmcd teach"):
        read_teacher(store, "big")
    with pytest.raises(StoreError, match=r"no teacher lite0 \(there: none\).*--teacher lite0"):
        read_teacher(Store(tiny_store), "lite0")


@pytest.mark.parametrize("values", [{"store_fingerprint": "0" * 16}, {"shapes": 17}])
def test_a_teacher_of_another_store_is_refused(store, values):
    changed(store, **values)
    with pytest.raises(StoreError, match=r"lite0: made from another rig.*lite0 --overwrite"):
        read_teacher(store, "lite0")
    with pytest.raises(StoreError, match="made from another rig"):
        load_targets(store, "lite0", "descriptors", MIXED)


def test_another_format_is_refused(store):
    with pytest.raises(StoreError, match=r"lite0: teacher format 2; run pointmcd teach again"):
        read_teacher(changed(store, format=2), "lite0")


def test_a_fine_tuned_teacher_has_no_plain_features(store):
    settings = read_teacher(store, "lite0")["settings"]
    changed(store, settings=settings | {"finetune": True})
    with pytest.raises(StoreError, match="lite0: a fine-tuned one has no plain features"):
        load_targets(store, "lite0", "features", MIXED)
    assert load_targets(store, "lite0", "descriptors", MIXED).shape == (4, 3, 512)


@pytest.mark.parametrize("how", ["absent", "truncated", "empty"])
def test_a_damaged_file_is_named(store, how):
    path = store.path / "teachers/lite0/descriptors/00001.npy"
    content = path.read_bytes()
    path.unlink()
    if how != "absent":
        path.write_bytes(content[: len(content) // 2] if how == "truncated" else b"")
    with pytest.raises(StoreError, match=r"descriptors/00001\.npy: absent or damaged"):
        load_targets(store, "lite0", "descriptors", MIXED)


def test_an_absent_part_teacher_names_its_task(store):
    with pytest.raises(StoreError, match=r"--teacher lite0 --task segmentation$"):
        read_teacher(store, "lite0-segmentation")
    with pytest.raises(StoreError, match=r"--teacher random:lite0 --task segmentation$"):
        read_teacher(store, "random-lite0-segmentation")
