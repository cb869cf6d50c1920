"""Data sets by name and folders of clouds, from the files to the store."""

import json

import numpy as np
import pytest
from dataset_layouts import write_modelnet_hdf5, write_modelnet_meshes, write_modelnet_text

from pointmcd.data.store import Store
from pointmcd.errors import StoreError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare


@pytest.fixture(scope="module")
def hdf5(furniture_root, tmp_path_factory):
    return write_modelnet_hdf5(furniture_root, tmp_path_factory.mktemp("hdf5"))


def test_a_store_of_hdf5_clouds(hdf5, tmp_path, quick):
    result = prepare(PrepareConfig(f"modelnet40:{hdf5}", tmp_path / "one", **quick))
    assert (result.done, result.skipped) == (9, [])
    assert "6 train shapes found, officially (hdf5) 9840" in [n["note"] for n in result.notes]
    store = Store(tmp_path / "one")
    assert store.classes == ["bed", "chair", "night_stand"]
    assert store.parts is None
    assert store.meta["renderer"].startswith("splat-grey-")
    points, seen = store.points(np.arange(9), 32), store.visibility(np.arange(9), 32)
    assert np.linalg.norm(points, axis=2).max() == pytest.approx(1)
    assert seen.any(axis=1).all()
    assert not seen.all(axis=(1, 2)).any()
    assert all((store.views(i) < 255).any(axis=(1, 2)).all() for i in range(9))
    assert not list((tmp_path / "one").rglob("parts.npy"))


@pytest.mark.slow
def test_workers_read_one_hdf5_file_at_once(hdf5, tmp_path, quick, files_of):
    prepare(PrepareConfig(f"modelnet40:{hdf5}", tmp_path / "one", **quick))
    prepare(PrepareConfig(f"modelnet40:{hdf5}", tmp_path / "two", **{**quick, "workers": 2}))
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_the_same_store_goes_on_and_another_source_is_refused(hdf5, tmp_path, quick):
    prepare(PrepareConfig(f"modelnet40:{hdf5}", tmp_path / "store", **quick))
    plan = json.loads((tmp_path / "store" / "plan.json").read_text())
    assert plan["source"] == f"modelnet40:{hdf5.resolve()}"
    assert prepare(PrepareConfig(f"ModelNet40:{hdf5}", tmp_path / "store", **quick)).done == 9
    with pytest.raises(StoreError, match="was made with --seed 0, not 1; choose another"):
        prepare(PrepareConfig(f"modelnet40:{hdf5}", tmp_path / "store", **{**quick, "seed": 1}))


def test_a_store_of_text_clouds(furniture_root, tmp_path, quick):
    text = write_modelnet_text(furniture_root, tmp_path)
    (text / "bed" / "bed_0001.txt").write_text("")
    result = prepare(PrepareConfig(f"modelnet40:{text}", tmp_path / "store", **quick))
    assert result.done == 8
    assert [entry["name"] for entry in result.skipped] == ["bed/bed_0001"]


@pytest.mark.parametrize(("options", "up"), [({}, "z"), ({"up": "x"}, "x")])
def test_the_data_set_says_what_is_up_unless_the_option_does(
    furniture_root, tmp_path, monkeypatch, options, up
):
    from pointmcd.views import rig

    small = rig.Rig("small", ((30.0, 0.0),), size=16)
    monkeypatch.setitem(rig._NAMED, "small", small)
    root = write_modelnet_meshes(furniture_root, tmp_path / "set")
    prepare(
        PrepareConfig(
            f"modelnet40:{root}", tmp_path / "store", points=16, rig="small", workers=1, **options
        )
    )
    assert Store(tmp_path / "store").rig["up"] == up


def test_a_rig_from_a_file_keeps_its_own_up(furniture_root, tmp_path, quick):
    root = write_modelnet_meshes(furniture_root, tmp_path / "set")
    prepare(PrepareConfig(f"modelnet40:{root}", tmp_path / "store", **quick))
    assert Store(tmp_path / "store").rig["up"] == "y"


def test_a_folder_of_clouds_on_the_command_line(hdf5, tmp_path, small_rig, cli):
    for label in ("one", "two"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(3):
            cloud = np.random.default_rng(number).normal(size=(40, 3)) * (1, 2, 3)
            np.save(tmp_path / "set" / label / f"{number}.npy", cloud)
    options = ("--points", 16, "--rig", small_rig, "--workers", 1)
    status, out, err = cli("prepare", tmp_path / "set", tmp_path / "store", *options)
    assert (status, out.strip()) == (
        0,
        f"{tmp_path / 'store'}: 6 shapes (clouds of 40 points), 0 skipped",
    )
    status, out, err = cli("prepare", f"modelnet40:{hdf5}", tmp_path / "other", *options)
    assert status == 0
    assert "note: modelnet40: 3 classes found, officially (hdf5) 40" in err
    status, out, err = cli("prepare", f"modelnet:{hdf5}", tmp_path / "third", *options)
    assert status == 1
    assert err.startswith("pointmcd: data set modelnet: unknown; did you mean modelnet")
    assert err.count("\n") == 1
