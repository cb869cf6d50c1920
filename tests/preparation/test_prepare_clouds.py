import shutil

import numpy as np
import pytest
from part_layouts import NORMAL, PLAIN, write_core, write_layout, zipped

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.views import splats


@pytest.fixture(scope="module")
def clouds(furniture_root, tmp_path_factory):
    return write_layout(furniture_root, tmp_path_factory.mktemp("prepare"), NORMAL, 300)


def test_a_store_of_labelled_clouds(clouds, tmp_path, quick):
    result = prepare(PrepareConfig(clouds, tmp_path / "store", **quick))
    store = Store(tmp_path / "store")
    assert (result.done, result.skipped) == (6, [])
    assert [note["note"] for note in result.notes] == [
        "class Airplane: no shape for test",
        "class Chair: no shape for val",
    ]
    assert store.meta["renderer"] == splats.RENDERER
    assert store.parts == {c: [f"part{i}" for i in range(4)] for c in ("Airplane", "Chair")}
    assert [s.split for s in store.shapes].count("train") == 4
    labels = store.part_labels(np.arange(6), 32)
    assert set(np.unique(labels[:3])) == {0, 1, 2, 3}
    assert set(np.unique(labels[3:])) == {4, 5, 6, 7}
    for index, first in enumerate([0, 0, 0, 4, 4, 4]):
        pixels = store.pixel_labels(index)
        assert set(np.unique(pixels)) <= {-1, *range(first, first + 4)}
        assert (pixels >= 0).any(axis=(1, 2)).all()
    assert store.visibility(np.arange(6), 32).any(axis=1).all()


def test_with_meshes_the_renderer_is_another(clouds, furniture_root, tmp_path, quick):
    core = write_core(furniture_root, tmp_path, "v2")
    root = shutil.copytree(clouds, tmp_path / "elsewhere" / clouds.name)
    prepare(PrepareConfig(f"{root},shapenetcore={core}", tmp_path / "store", **quick))
    assert Store(tmp_path / "store").meta["renderer"] == "embree-grey-1"
    with pytest.raises(StoreError, match=f"renderer embree-grey-1, not {splats.RENDERER}"):
        prepare(PrepareConfig(root, tmp_path / "store", **quick))


def test_bad_clouds_are_listed_and_the_rest_is_kept(clouds, tmp_path, quick):
    root = shutil.copytree(clouds, tmp_path / clouds.name)
    files = sorted((root / "02691156").glob("*.txt"))
    files[0].write_text("")
    result = prepare(PrepareConfig(root, tmp_path / "store", **{**quick, "points": 400}))
    assert result.done == 5
    assert [entry["reason"] for entry in result.skipped] == [f"{files[0]}: is empty"]
    repeated = [n["note"] for n in result.notes if "repeated" in n["note"]]
    assert len(repeated) == 5
    assert repeated[0] == "300 points, repeated to 400"


def test_folder_and_zip_and_workers_give_the_same_points(furniture_root, tmp_path, quick, files_of):
    root = write_layout(furniture_root, tmp_path, PLAIN, 200)
    prepare(PrepareConfig(root, tmp_path / "one", **quick))
    prepare(PrepareConfig(zipped(root), tmp_path / "two", **{**quick, "workers": 2}))
    one, two = (files_of(tmp_path / name / "shards") for name in ("one", "two"))
    assert {k: v for k, v in one.items() if not k.endswith(".json")} == {
        k: v for k, v in two.items() if not k.endswith(".json")
    }


def test_meshes_are_for_clouds_only(furniture_root, tmp_path):
    with pytest.raises(ConfigError, match="shapenetcore"):
        prepare(PrepareConfig(f"{furniture_root},shapenetcore={tmp_path}", tmp_path / "store"))


def test_columns_notes_and_sizes(furniture_root, tmp_path, quick):
    clouds = [np.random.default_rng(n).normal(size=(40 + n, 3)) for n in range(2)]
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "b").mkdir()
    np.savetxt(tmp_path / "set" / "a" / "0.csv", np.insert(clouds[0], 0, 7, axis=1), delimiter=",")
    np.save(tmp_path / "set" / "b" / "1.npy", np.insert(clouds[1], 0, 7, axis=1))
    source, store = f"clouds:{tmp_path / 'set'}", tmp_path / "store"
    with pytest.raises(StoreError, match=r"none of 2 .* index or label; name the columns"):
        prepare(PrepareConfig(source, store, **quick))
    with pytest.raises(StoreError, match="was made with --columns None, not 2,3,4"):
        prepare(PrepareConfig(source, store, columns="2,3,4", **quick))
    result = prepare(PrepareConfig(source, store, columns="2,3,4", overwrite=True, **quick))
    assert (result.done, result.sizes) == (2, (40, 41))
    np.save(tmp_path / "set" / "b" / "1.npy", clouds[1].T)
    result = prepare(PrepareConfig(source, tmp_path / "turned", **quick))
    assert {"name": "b/1", "note": "turned from 3 x 41"} in result.notes
    with pytest.raises(ConfigError, match="--columns 2,3,4: the source holds no tables"):
        prepare(PrepareConfig(furniture_root, tmp_path / "other", columns="2,3,4"))
