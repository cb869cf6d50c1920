import json
import shutil

import pytest

from pointmcd.data.store import Store
from pointmcd.errors import ShapeError, StoreError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare

BAD = {
    "empty": "OFF\n0 0 0\n",
    "no_faces": "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n",
    "nan": "OFF\n3 1 0\n0 0 nan\n1 0 0\n0 1 0\n3 0 1 2\n",
    "infinite": "OFF\n3 1 0\n0 0 inf\n1 0 0\n0 1 0\n3 0 1 2\n",
    "index": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n",
    "degenerate": "OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n",
    "truncated": "OFF\n3 1 0\n0 0 0\n1 0",
    "text": "this is a letter to my aunt",
    "nothing": "",
}
GOOD = {
    "triangle": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "huge": "OFF\n4 2 0\n0 0 0\n1e30 0 0\n0 1e30 0\n0 0 1e30\n3 0 1 2\n3 0 1 3\n",
    "tiny": "OFF\n4 2 0\n0 0 0\n1e-30 0 0\n0 1e-30 0\n0 0 1e-30\n3 0 1 2\n3 0 1 3\n",
    "one_line": "OFF3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
}


def write(folder, meshes):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in meshes.items():
        (folder / f"{name}.off").write_text(text)


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_shapes_are_skipped_and_listed(quick, tmp_path, workers):
    write(tmp_path / "meshes", {**BAD, **GOOD})
    result = prepare(
        PrepareConfig(tmp_path / "meshes", tmp_path / "store", **{**quick, "workers": workers})
    )
    assert [entry["name"] for entry in result.skipped] == sorted(BAD)
    for entry in result.skipped:
        assert f"{entry['name']}.off" in entry["source"]
        assert f"{entry['name']}.off" in entry["reason"]
        assert "\n" not in entry["reason"]
    store = Store(tmp_path / "store")
    assert [record.name for record in store.shapes] == sorted(GOOD)
    assert store.meta["skipped"] == result.skipped


def test_shard_without_a_usable_shape_is_passed_over(quick, tmp_path):
    write(tmp_path / "meshes", {f"a_{name}": text for name, text in BAD.items()})
    write(tmp_path / "meshes", {f"b_{name}": text for name, text in GOOD.items()})
    prepare(PrepareConfig(tmp_path / "meshes", tmp_path / "store", **quick))
    store = Store(tmp_path / "store")
    assert (store.shards, store.meta["counts"]) == (["00002", "00003"], [3, 1])
    assert store.points(store.indices("train"), 8).shape == (3, 8, 3)


@pytest.mark.parametrize("workers", [1, 2])
def test_strict_stops_at_a_bad_shape(quick, tmp_path, workers):
    write(tmp_path / "meshes", {**GOOD, "nan": BAD["nan"]})
    with pytest.raises(ShapeError, match=r"nan\.off"):
        prepare(
            PrepareConfig(
                tmp_path / "meshes",
                tmp_path / "store",
                **{**quick, "workers": workers},
                strict=True,
            )
        )
    assert not (tmp_path / "store" / "store.json").exists()


def test_strict_sees_what_an_earlier_run_skipped(quick, tmp_path):
    write(tmp_path / "meshes", {**GOOD, "nan": BAD["nan"]})
    prepare(PrepareConfig(tmp_path / "meshes", tmp_path / "store", **quick))
    with pytest.raises(ShapeError, match=r"nan\.off"):
        prepare(PrepareConfig(tmp_path / "meshes", tmp_path / "store", **quick, strict=True))


def test_no_usable_shape_leaves_no_store(quick, tmp_path):
    write(tmp_path / "meshes", BAD)
    with pytest.raises(StoreError, match="none of 9 shapes is usable"):
        prepare(PrepareConfig(tmp_path / "meshes", tmp_path / "store", **quick))
    assert not (tmp_path / "store" / "store.json").exists()


def test_two_shapes_of_one_name(quick, tmp_path):
    write(tmp_path / "meshes", GOOD)
    shutil.copy(tmp_path / "meshes" / "tiny.off", tmp_path / "meshes" / "tiny.OFF")
    result = prepare(PrepareConfig(tmp_path / "meshes", tmp_path / "store", **quick))
    assert result.done == len(GOOD)
    (entry,) = result.skipped
    assert "same name" in entry["reason"]
    assert entry["source"] in entry["reason"]
    names = [shape["name"] for shape in Store(tmp_path / "store").meta["shapes"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["absent", "absent.zip"])
def test_absent_source_makes_nothing(quick, tmp_path, name):
    with pytest.raises(ShapeError, match=name):
        prepare(PrepareConfig(tmp_path / name, tmp_path / "store", **quick))
    assert not (tmp_path / "store").exists()


def test_validation_is_drawn_from_the_shapes_that_survive(few_meshes, quick, tmp_path):
    source = tmp_path / "meshes"
    shutil.copytree(few_meshes, source)
    first = Store(prepare(PrepareConfig(source, tmp_path / "whole", **quick)).store)
    for index in first.indices("val"):
        (source / f"{first.shapes[index].name}.off").write_text("")
    store = Store(prepare(PrepareConfig(source, tmp_path / "store", **quick)).store)
    assert [len(store.indices(split)) for split in ("train", "val", "test")] == [3, 3, 5]
    plan = json.loads((tmp_path / "store" / "plan.json").read_text())
    assert len(plan["items"]) == 14
