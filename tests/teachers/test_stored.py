import numpy as np
import pytest
from store_copies import copy_store, edit_json

from pointmcd.data.store import Store
from pointmcd.errors import StoreError
from pointmcd.teachers.features import folder_name
from pointmcd.teachers.stored import map_output, meant_name, read_teacher

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
    targets = map_output(store, "lite0", kind, MIXED)[:]
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
    known = ("timm:vit_tiny", "random:lite0", "module:mine:build", "lite0+lite1")
    for name in (*known, "lite0-segmentation-finetuned-0.1-s3"):
        with pytest.raises(StoreError, match=r"\(there: none\); make it with: pointmcd teach"):
            read_teacher(Store(tiny_store), folder_name(name))
    with pytest.raises(
        StoreError, match=r"no teacher lite00 .*; did you mean lite0\? pointmcd teachers lists"
    ):
        read_teacher(store, "lite00")


@pytest.mark.parametrize("values", [{"store_fingerprint": "0" * 16}, {"shapes": 17}])
def test_a_teacher_of_another_store_is_refused(store, values):
    changed(store, **values)
    with pytest.raises(StoreError, match=r"lite0: made from another.* --epochs 2 --overwrite"):
        read_teacher(store, "lite0")
    with pytest.raises(StoreError, match="made from another rig"):
        map_output(store, "lite0", "descriptors", MIXED)[:]


def test_another_format_is_refused(store):
    with pytest.raises(StoreError, match=r"lite0: teacher format 1; run pointmcd teach again"):
        read_teacher(changed(store, format=1), "lite0")


def test_an_output_that_a_teacher_lacks(store):
    changed(store, outputs={"descriptors": "descriptors", "logits": "logits"})
    with pytest.raises(StoreError, match=r"lite0: has no features; it has descriptors, logits$"):
        map_output(store, "lite0", "features", MIXED)[:]
    assert map_output(store, "lite0", "descriptors", MIXED)[:].shape == (4, 3, 512)


@pytest.mark.parametrize("how", ["absent", "truncated", "empty"])
def test_a_damaged_file_is_named(store, how):
    path = store.path / "teachers/lite0/descriptors/00001.npy"
    content = path.read_bytes()
    path.unlink()
    if how != "absent":
        path.write_bytes(content[: len(content) // 2] if how == "truncated" else b"")
    with pytest.raises(StoreError, match=r"descriptors/00001\.npy: absent or damaged"):
        map_output(store, "lite0", "descriptors", MIXED)[:]


def test_an_absent_part_teacher_names_its_task(store):
    with pytest.raises(StoreError, match=r"--teacher lite0 --task segmentation$"):
        read_teacher(store, "lite0-segmentation")
    with pytest.raises(StoreError, match=r"--teacher random:lite0 --task segmentation$"):
        read_teacher(store, "random-lite0-segmentation")


@pytest.mark.parametrize(
    ("lesson", "name", "meant"),
    [
        ("classification", "lite0", "lite0"),
        ("classification", "lite0-features", "lite0-features"),
        ("segmentation", "lite0", "lite0-segmentation"),
        ("segmentation", "lite0-finetuned", "lite0-segmentation-finetuned"),
        ("segmentation", "lite0-autoencoder", "lite0-autoencoder"),
        ("features", "lite0", "lite0-features"),
        ("features", "random-lite0", "random-lite0-features"),
        ("features", "lite0-segmentation", "lite0-segmentation"),
        ("features", "lite0-finetuned", "lite0-finetuned"),
        ("features", "lite0-whitened", "lite0-whitened"),
        ("features", "lite0-autoencoder-finetuned", "lite0-autoencoder-finetuned"),
    ],
)
def test_which_teacher_a_name_means(tiny_store, lesson, name, meant):
    assert meant_name(Store(tiny_store), name, lesson) == meant
