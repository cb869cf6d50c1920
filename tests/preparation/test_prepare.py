import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, PointMCDError, StoreError
from pointmcd.preparation import prepare_shape, shards
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare

#: A PLY file of points alone.
CLOUD_PLY = (
    b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\n"
    b"property float z\nend_header\n0 0 0\n1 1 1\n"
)


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture(scope="module")
def made(few_meshes, small_rig, tmp_path_factory):
    store = tmp_path_factory.mktemp("made") / "store"
    return prepare(
        PrepareConfig(few_meshes, store, points=32, rig=small_rig, workers=1, shard_size=4)
    )


def test_store_holds_every_shape(made):
    store = Store(made.store)
    assert (made.done, made.skipped) == (14, [])
    assert repr(made) == f"<store {made.store}: 14 shapes, 0 skipped, 0 notes>"
    assert store.classes == ["chair", "sofa", "table"]
    assert [len(store.indices(split)) for split in ("train", "val", "test")] == [6, 3, 5]
    assert [store.shapes[i].label for i in store.indices("val")] == store.classes
    assert store.meta["counts"] == [4, 4, 4, 2]
    assert made.notes == []


def test_arrays_and_pictures_have_the_agreed_form(made):
    shard = made.store / "shards" / "00001"
    points = np.load(shard / "points.npy")
    bits = np.load(shard / "visibility.npy")
    assert (points.shape, points.dtype) == ((4, 32, 3), np.float32)
    assert (bits.shape, bits.dtype) == ((4, 32, 1), np.uint8)
    assert np.linalg.norm(points, axis=-1).max() <= 1 + 1e-6
    with Image.open(shard / "views" / "0002.png") as strip:
        assert (strip.size, strip.mode) == ((72, 24), "L")
    record = json.loads((shard / "shapes.json").read_text())["shapes"][2]
    assert set(record) == {"name", "class", "split", "source", "triangles", "frame"}
    assert record["triangles"] > 0


def test_each_view_shows_the_shape_and_sees_points(made):
    store = Store(made.store)
    every = np.arange(14)
    seen = store.visibility(every, 32)
    assert seen.shape == (14, 32, 3)
    assert seen.any(axis=1).all()
    assert not seen.all(axis=1).any()
    assert all((store.views(i) < 255).any(axis=(1, 2)).all() for i in every)


def test_a_corrected_mesh_makes_another_store(made, few_meshes, quick, tmp_path):
    meshes = tmp_path / "meshes"
    shutil.copytree(few_meshes, meshes)
    mesh = min(meshes.rglob("*.off"))
    loaded = trimesh.load(mesh)
    loaded.vertices[:, 0] *= 2
    loaded.export(mesh)
    before, places = Store(made.store).fingerprint, {}
    for name, source in (("same", few_meshes), ("corrected", meshes)):
        places[name] = prepare(PrepareConfig(source, tmp_path / name, **quick)).store
    assert Store(places["same"]).fingerprint == before != Store(places["corrected"]).fingerprint
    # Stores made before that was kept are known without.
    for place in places.values():
        meta = json.loads((place / "store.json").read_text())
        del meta["coordinates"]
        (place / "store.json").write_text(json.dumps(meta))
    assert len({Store(place).fingerprint for place in places.values()} - {before}) == 1
    older = Store(places["same"])
    assert older.own_fingerprint in Store(made.store).own_fingerprints
    assert before not in Store(places["corrected"]).own_fingerprints
    prepare(PrepareConfig(few_meshes, places["same"], **quick))
    assert Store(places["same"]).fingerprint == older.fingerprint  # its teachers stay its own


def test_a_fragment_far_away_is_noted(few_meshes, quick, tmp_path):
    shutil.copytree(few_meshes, tmp_path / "meshes")
    mesh = min((tmp_path / "meshes").rglob("*.off"))
    fragment = trimesh.creation.box([0.01] * 3)
    fragment.apply_translation([1e5, 0, 0])
    trimesh.util.concatenate([trimesh.load(mesh), fragment]).export(mesh)
    (note,) = prepare(PrepareConfig(tmp_path / "meshes", tmp_path / "store", **quick)).notes
    assert note["name"] == mesh.relative_to(tmp_path / "meshes").with_suffix("").as_posix()
    assert "far from a part that may not belong" in note["note"]


def test_new_and_lost_shapes_are_named(few_meshes, quick, tmp_path):
    meshes, options = tmp_path / "meshes", {**quick, "test_fraction": 0}
    shutil.copytree(few_meshes, meshes)
    first, second = sorted(meshes.rglob("*.off"))[:2]
    prepare(PrepareConfig(meshes, tmp_path / "store", **options))
    second.rename(second.with_name("zz.off"))
    told = r"of the shapes, 1 is new \(.*/zz\) and 1 is gone \(.*\); choose another folder, or"
    with pytest.raises(StoreError, match=told):
        prepare(PrepareConfig(meshes, tmp_path / "store", **options))
    assert first.exists()


def test_a_class_without_a_shape_that_can_be_used(few_meshes, quick, tmp_path):
    shutil.copytree(few_meshes, tmp_path / "meshes")
    lost = tmp_path / "meshes" / "zebra" / "train"
    lost.mkdir(parents=True)
    for number in range(4):
        (lost / f"{number}.ply").write_bytes(CLOUD_PLY)
    made = prepare(PrepareConfig(tmp_path / "meshes", tmp_path / "store", **quick))
    assert {"name": "class zebra", "note": "none of its 4 shapes can be used"} in made.notes
    assert "clouds:PATH reads those" in made.skipped[0]["reason"]


def test_a_store_is_no_source(made, quick, tmp_path):
    with pytest.raises(ConfigError, match="is a store already; "):
        prepare(PrepareConfig(made.store, tmp_path / "other", **quick))


def test_any_number_of_workers_gives_the_same_bytes(made, few_meshes, quick, files_of, tmp_path):
    other = prepare(PrepareConfig(few_meshes, tmp_path / "store", **{**quick, "workers": 2}))
    assert files_of(other.store) == files_of(made.store)


def test_points_depend_on_seed_and_name_not_on_company(made, few_meshes, quick, tmp_path):
    alone = tmp_path / "meshes"
    shutil.copytree(few_meshes / "sofa", alone / "sofa")
    shutil.copytree(few_meshes / "table", alone / "table")
    full = Store(made.store)
    for seed, same in ((0, True), (1, False)):
        part = Store(prepare(PrepareConfig(alone, tmp_path / str(seed), **quick, seed=seed)).store)
        wanted = [record.name for record in full.shapes].index(part.shapes[0].name)
        there, here = full.points(np.array([wanted]), 32), part.points(np.array([0]), 32)
        assert np.array_equal(there, here) == same


def test_zip_and_folder_give_the_same_store(made, few_meshes, quick, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "meshes"), "zip", few_meshes)
    packed, unpacked = (
        Store(prepare(PrepareConfig(Path(archive), tmp_path / "store", **quick)).store),
        Store(made.store),
    )
    assert packed.shapes == unpacked.shapes
    every = np.arange(14)
    np.testing.assert_array_equal(packed.points(every, 32), unpacked.points(every, 32))
    np.testing.assert_array_equal(packed.visibility(every, 32), unpacked.visibility(every, 32))


def test_flat_unlabelled_folder(few_meshes, quick, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in few_meshes.rglob("*.off"):
        shutil.copy(path, flat)
    result = prepare(PrepareConfig(flat, tmp_path / "store", **quick))
    store = Store(result.store)
    assert (result.done, store.classes) == (14, [])
    assert {record.label for record in store.shapes} == {None}
    assert [len(store.indices(split)) for split in ("train", "val", "test")] == [12, 2, 0]
    assert result.notes == []


def test_layout_without_splits_gets_a_stratified_test_split(few_meshes, quick, tmp_path):
    bare = tmp_path / "bare"
    for path in few_meshes.rglob("*.off"):
        target = bare / path.parent.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    store = Store(prepare(PrepareConfig(bare, tmp_path / "store", **quick)).store)
    assert [len(store.indices(split)) for split in ("train", "val", "test")] == [8, 3, 3]
    assert {store.shapes[i].label for i in store.indices("test")} == set(store.classes)


def test_class_of_one_shape_stays_in_training_and_is_noted(few_meshes, quick, tmp_path):
    source = tmp_path / "meshes"
    shutil.copytree(few_meshes, source)
    (source / "sofa" / "test").rename(tmp_path / "away")
    for path in sorted((source / "sofa" / "train").iterdir())[1:]:
        path.unlink()
    result = prepare(PrepareConfig(source, tmp_path / "store", **quick))
    sofa = [record for record in Store(result.store).shapes if record.label == "sofa"]
    assert [record.split for record in sofa] == ["train"]
    assert result.notes == [{"name": "sofa", "note": "class sofa: no shape for val, test"}]


def test_second_run_renders_nothing_and_changes_nothing(
    made, few_meshes, quick, files_of, monkeypatch
):
    before = files_of(made.store)
    monkeypatch.setattr(prepare_shape, "render_views", None)
    assert prepare(PrepareConfig(few_meshes, made.store, **quick)) == made
    assert files_of(made.store) == before


def test_only_missing_shards_are_made(made, few_meshes, quick, files_of, tmp_path, monkeypatch):
    store = tmp_path / "store"
    shutil.copytree(made.store, store)
    shutil.rmtree(store / "shards" / "00002")
    (store / "store.json").unlink()
    rendered = []
    render = prepare_shape.render_views
    monkeypatch.setattr(prepare_shape, "render_views", lambda c: rendered.append(c) or render(c))
    prepare(PrepareConfig(few_meshes, store, **quick))
    assert len(rendered) == 4
    assert files_of(store) == files_of(made.store)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"points": 16}, "--points 32, not 16"),
        ({"seed": 3}, "--seed 0, not 3"),
        ({"rig": "ring12"}, "rig.cameras"),
        ({"up": "z"}, "--up y, not z"),
        ({"shard_size": 5}, "--shard-size 4, not 5"),
        ({"val_fraction": 0.3}, "--val-fraction 0.15, not 0.3"),
    ],
)
def test_another_plan_is_refused(made, few_meshes, quick, files_of, change, field):
    before = files_of(made.store)
    with pytest.raises(StoreError) as error:
        prepare(PrepareConfig(few_meshes, made.store, **{**quick, **change}))
    assert field in str(error.value)
    assert "--overwrite" in str(error.value)
    assert files_of(made.store) == before


def test_overwrite_replaces_a_store_but_no_other_files(made, few_meshes, quick, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(made.store, store)
    (store / "teachers" / "lite0").mkdir(parents=True)
    (store / "thesis.txt").write_text("mine")
    prepare(PrepareConfig(few_meshes, store, **{**quick, "points": 16}, overwrite=True))
    assert Store(store).num_points == 16
    assert sorted(path.name for path in store.iterdir()) == [
        "plan.json",
        "shards",
        "store.json",
        "thesis.txt",
    ]


def test_what_overwriting_removes_is_told_before_and_after(
    made, few_meshes, quick, tmp_path, capsys
):
    store = tmp_path / "store"
    shutil.copytree(made.store, store)
    for name in ("lite0", "mine"):
        (store / "teachers" / name).mkdir(parents=True)
        (store / "teachers" / name / "teacher.json").write_text("{}")
    removes = r"--overwrite, which removes its teachers, too \(lite0, mine\)$"
    with pytest.raises(StoreError, match=removes):
        prepare(PrepareConfig(few_meshes, store, **{**quick, "points": 16}))
    capsys.readouterr()
    prepare(PrepareConfig(few_meshes, store, **quick, overwrite=True))
    assert "its teachers are removed with all that it held: lite0, mine" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_file_that_changed_since_is_noticed(few_meshes, quick, tmp_path, capsys):
    meshes, store = tmp_path / "meshes", tmp_path / "store"
    shutil.copytree(few_meshes, meshes)
    prepare(PrepareConfig(meshes, store, **quick))
    prepare(PrepareConfig(meshes, store, **quick))
    assert "changed" not in capsys.readouterr().err
    files = sorted(meshes.rglob("*.off"))
    names = [file.relative_to(meshes).with_suffix("").as_posix() for file in files]
    files[0].write_text(files[0].read_text() + "\n")
    prepare(PrepareConfig(meshes, store, **quick))
    told = " ".join(capsys.readouterr().err.split())
    assert f"the file of 1 shape has changed in size or date since it was made ({names[0]})" in told
    os.utime(files[1], (0, 0))
    prepare(PrepareConfig(meshes, store, **quick))
    assert f"2 files have changed in size or date since it was made ({names[0]}, {names[1]})" in (
        " ".join(capsys.readouterr().err.split())
    )


def test_the_same_files_under_another_path_are_the_same(few_meshes, quick, tmp_path):
    store, meshes = tmp_path / "store", tmp_path / "meshes"
    shutil.copytree(few_meshes, meshes)
    prepare(PrepareConfig(meshes, store, **quick))
    moved = meshes.rename(tmp_path / "moved")
    assert prepare(PrepareConfig(moved, store, **quick)).done == 14
    file = min(moved.rglob("*.off"))
    file.write_text(file.read_text() + "\n")
    with pytest.raises(StoreError, match=r"was made with source .*meshes, not .*moved"):
        prepare(PrepareConfig(moved, store, **quick))


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_of_other_files_is_left_alone(few_meshes, quick, tmp_path, overwrite):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="is not a store"):
        prepare(PrepareConfig(few_meshes, tmp_path, **quick, overwrite=overwrite))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_store_that_is_a_file(few_meshes, quick, tmp_path):
    (tmp_path / "store").write_text("mine")
    with pytest.raises(StoreError, match="is a file"):
        prepare(PrepareConfig(few_meshes, tmp_path / "store", **quick))


@pytest.mark.parametrize("name", ["plan.json", "store.json"])
@pytest.mark.parametrize("found", [0, 2, None])
def test_store_of_another_version(made, few_meshes, quick, tmp_path, name, found):
    store = tmp_path / "store"
    shutil.copytree(made.store, store)
    edit(store / name, format=found)
    with pytest.raises(StoreError, match=f"{name}: store format {found}"):
        prepare(PrepareConfig(few_meshes, store, **quick))


def test_damaged_plan(made, few_meshes, quick, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(made.store, store)
    (store / "plan.json").write_text("{")
    with pytest.raises(StoreError, match=r"plan\.json.*--overwrite"):
        prepare(PrepareConfig(few_meshes, store, **quick))
    assert prepare(PrepareConfig(few_meshes, store, **quick, overwrite=True)).done == 14


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("points", 0),
        ("shard_size", 0),
        ("shard_size", 1025),
        ("workers", 0),
        ("seed", -1),
        ("val_fraction", 1.0),
        ("test_fraction", -0.1),
        ("rig", "ring13"),
        ("up", "w"),
    ],
)
def test_unusable_option(few_meshes, quick, tmp_path, option, value):
    with pytest.raises(ConfigError):
        prepare(PrepareConfig(few_meshes, tmp_path / "store", **{**quick, option: value}))
    assert not (tmp_path / "store").exists()


def test_full_disk_is_one_clear_line_and_leaves_no_half_shard(
    made, few_meshes, quick, files_of, tmp_path, monkeypatch
):
    save, calls = np.save, []

    def full(path, array):
        calls.append(path)
        if len(calls) > 3:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(path, array)

    monkeypatch.setattr(shards.np, "save", full)
    store = tmp_path / "store"
    with pytest.raises(PointMCDError) as error:
        prepare(PrepareConfig(few_meshes, store, **quick))
    assert "No space left on device" in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in (store / "shards").iterdir()) == ["00000"]
    assert not (store / "store.json").exists()
    monkeypatch.undo()
    prepare(PrepareConfig(few_meshes, store, **quick))
    assert files_of(store) == files_of(made.store)


def test_prepare_does_not_import_torch():
    code = "import sys, pointmcd.preparation.prepare; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_preparation_is_spared_torch(few_meshes, small_rig, tmp_path):
    code = (
        "import sys; from pathlib import Path; from pointmcd import PrepareConfig, prepare;"
        "prepare(PrepareConfig(sys.argv[1], sys.argv[2], rig=sys.argv[3], points=32, workers=1));"
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, few_meshes, tmp_path / "store", small_rig]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
