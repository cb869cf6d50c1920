"""Stores that keep normals and colours, and those that do not."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from store_copies import files_of

from pointmcd.data.store import Store
from pointmcd.datasets.array_cloud import array_clouds
from pointmcd.datasets.cloud_folder import FileCloud
from pointmcd.datasets.tree import TreeFile
from pointmcd.errors import ShapeError, StoreError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.preparation.prepare_shape import prepare_shape
from pointmcd.views.rig import Rig

RNG = np.random.default_rng(0)
RIG = Rig("three", ((30.0, 0.0), (30.0, 120.0), (-30.0, 240.0)), size=48)


def cylinder(count=300):
    """Points on a cylinder about y with their normals and colours, [N, 9]."""
    angle, height = RNG.uniform(0, 2 * np.pi, count), RNG.uniform(-1, 1, count)
    normal = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)
    points = 0.5 * normal + height[:, None] * [0, 1, 0]
    return np.column_stack([points, normal, np.round(255 * (height[:, None] + 1) / 2) * [1, 0, 1]])


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    """Seven clouds of two classes with normals and colours, and one without."""
    folder = tmp_path_factory.mktemp("clouds")
    for number in range(7):
        path = folder / "ab"[number % 2] / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        names = "x y z nx ny nz red green blue"
        np.savetxt(path, cylinder(), header=names, comments="")
    np.savetxt(folder / "a" / "bare.txt", cylinder()[:, :3], header="x y z", comments="")
    return folder


def made(source, store, small_rig, **options):
    shared = {"points": 64, "rig": small_rig, "workers": 1, "twins": "keep"}
    return prepare(PrepareConfig(f"clouds:{source}", store, **shared | options))


def test_features_stand_beside_the_points(clouds, small_rig, tmp_path):
    result = made(clouds, tmp_path / "s", small_rig, features=("colours", "normals"), variants=1)
    assert [entry["name"] for entry in result.skipped] == ["a/bare"]
    assert "has no normals" in result.skipped[0]["reason"]
    store = Store(tmp_path / "s")
    assert store.features == ("normals", "colours")
    rows = np.arange(len(store.shapes))
    whole = store.points(rows, 64, store.features)
    assert whole.shape == (7, 64, 9)
    assert whole.dtype == np.float32
    points, normals, colours = np.split(whole, 3, axis=2)
    np.testing.assert_array_equal(points, store.points(rows, 64))
    # Square to the axis, and outwards: they are of these very points, in their order.
    assert np.abs(normals[..., 1]).max() < 0.02
    assert (normals * points)[..., [0, 2]].sum(axis=2).min() > 0.1
    spread = [np.corrcoef(p[:, 1], c[:, 0])[0, 1] for p, c in zip(points, colours, strict=True)]
    assert min(spread) > 0.99
    np.testing.assert_array_equal(
        store.points(rows, 20, ("colours",)), whole[:, :20, [0, 1, 2, 6, 7, 8]]
    )


def test_where_most_files_lack_a_feature_that_is_said(clouds, small_rig, tmp_path, cli):
    for number in range(3):
        shutil.copy(clouds / "a" / "bare.txt", tmp_path / f"bare{number}.txt")
    shutil.copy(clouds / "a" / "0.txt", tmp_path)
    rest = ["--rig", small_rig, "--points", 64, "--workers", 1, "--features", "normals"]
    status, _, err = cli("prepare", f"clouds:{tmp_path}", tmp_path / "s", *rest)
    assert status == 0
    said = "most files were skipped; without --features normals those that lack them are read"
    assert said in " ".join(err.split())
    status, _, err = cli("prepare", f"clouds:{clouds}", tmp_path / "t", *rest)
    assert status == 0
    assert "without --features" not in err


def test_a_variant_has_normals_of_its_own(clouds, small_rig, tmp_path, monkeypatch):
    def stretched(points, seed):  # one that is known: the normals stay square to the axis
        return points * [3.0, 1.0, 0.5]

    monkeypatch.setattr("pointmcd.preparation.prepare_shape.deform", stretched)
    made(clouds, tmp_path / "s", small_rig, features=("normals",), variants=1)
    store = Store(tmp_path / "s")
    moved = store.points(np.arange(len(store.shapes), len(store.shape_of)), 64, ("normals",))
    assert len(moved) > 2
    points, normals = moved[..., :3], moved[..., 3:]
    radius = points * [1, 0, 1] * [1 / 9, 0, 4]  # gradient of x^2 / 9 + 4 z^2
    radius /= np.linalg.norm(radius, axis=2, keepdims=True)
    assert np.median((radius * normals).sum(axis=2)) > 0.99


def test_a_store_without_is_what_it_was(few_meshes, small_rig, tmp_path):
    shared = {"points": 32, "rig": small_rig, "workers": 1}
    plain = prepare(PrepareConfig(few_meshes, tmp_path / "plain", **shared)).store
    rich = prepare(PrepareConfig(few_meshes, tmp_path / "rich", features="normals", **shared)).store
    before, after = files_of(plain), files_of(rich)
    added = {name for name in after if name not in before}
    assert {name.rpartition("/")[2] for name in added} == {"normals.npy"}
    differ = {name for name in before if before[name] != after[name]}
    assert differ == {"plan.json", "store.json"}
    assert "features" not in json.loads(before["store.json"])
    assert Store(plain).fingerprint == Store(rich).fingerprint  # teachers serve both
    normals = np.load(next(rich.glob("shards/*/normals.npy")))
    assert (normals.dtype, normals.shape[1:]) == (np.int8, (32, 3))


def test_of_a_mesh_they_are_square_to_its_faces(few_meshes, small_rig, tmp_path):
    shared = {"points": 32, "rig": small_rig, "workers": 1, "variants": 1, "features": ("normals",)}
    store = Store(prepare(PrepareConfig(few_meshes, tmp_path / "s", **shared)).store)
    every = store.points(np.arange(len(store.shape_of)), 32, ("normals",))
    np.testing.assert_allclose(np.linalg.norm(every[..., 3:], axis=2), 1, atol=1e-5)


def test_a_store_that_lacks_them_says_what_to_run(tiny_store, few_meshes, small_rig, tmp_path):
    with pytest.raises(
        StoreError, match="holds no normals of its points; prepare it again with --feat"
    ):
        Store(tiny_store).points(np.array([0]), 8, ("normals",))
    shared = {"points": 32, "rig": small_rig, "workers": 1}
    prepare(PrepareConfig(few_meshes, tmp_path / "s", **shared))
    with pytest.raises(StoreError, match="was made with --features none, not normals"):
        prepare(PrepareConfig(few_meshes, tmp_path / "s", features=("normals",), **shared))


def test_no_shape_has_them(clouds, small_rig, tmp_path, few_meshes):
    with pytest.raises(StoreError, match=r"none of 14 shapes is usable; first: .*has no colours"):
        prepare(
            PrepareConfig(
                few_meshes,
                tmp_path / "s",
                points=8,
                rig=small_rig,
                features=("colours",),
                workers=1,
            )
        )


@pytest.mark.parametrize("variant", [0, 1])
def test_a_cloud_with_a_mesh_has_its_normals(variant, tmp_path):
    mesh = trimesh.creation.box((1, 0.5, 0.8))
    mesh.export(tmp_path / "a.obj")
    points = np.asarray(trimesh.sample.sample_surface(mesh, 400, seed=1)[0])
    np.savetxt(tmp_path / "a.xyz", points)
    file = TreeFile(tmp_path / "a.xyz", "a")
    options = {"mesh": tmp_path / "a.obj", "variant": variant, "features": ("normals",)}
    shape = prepare_shape(FileCloud("a", None, "train", file, **options), 128, RIG, 0)
    normals = shape.features["normals"]
    assert normals.shape == (128, 3)
    outwards = (normals * shape.points).sum(axis=1) > 0  # a box is star-shaped, deformed or not
    assert outwards.mean() > 0.98
    axes = np.sort(np.abs(normals), axis=1)
    assert (axes[:, 2] > 0.999).all() == (variant == 0)


def test_what_does_not_fit_the_points(tmp_path):
    np.savetxt(tmp_path / "a.xyz", np.random.default_rng(0).normal(size=(9, 3)))
    source = Wrong("a", None, None, TreeFile(tmp_path / "a.xyz", "a"), features=("normals",))
    with pytest.raises(ShapeError, match="a: 8 normals for 9 points"):
        prepare_shape(source, 4, RIG, 0)


class Wrong(FileCloud):
    def read_cloud(self):
        return replace(super().read_cloud(), features={"normals": np.ones((8, 3), np.float32)})


def test_rows_of_an_hdf5_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    points = np.random.default_rng(0).normal(size=(2, 40, 3)).astype(np.float32)
    normals = points / np.linalg.norm(points, axis=2, keepdims=True)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"], file["label"], file["normal"] = points, np.array([0, 0]), normals
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["data"], file["label"] = points, np.array([0, 0])
    for name in "ab":
        _, row = array_clouds(tmp_path / f"{name}.h5", ["x"], "train")
        assert row.read_cloud().features == {}
        found = replace(row, features=("normals", "colours")).read_cloud().features
        assert [*found] == (["normals"] if name == "a" else [])
    found = replace(array_clouds(tmp_path / "a.h5", ["x"], "train")[1], features=("normals",))
    np.testing.assert_allclose(found.read_cloud().features["normals"], normals[1], atol=1e-6)
