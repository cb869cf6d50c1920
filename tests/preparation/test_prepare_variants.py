"""Variants in a store: deformed copies of train shapes, which no list of shapes shows."""

import json
import shutil
import time

import numpy as np
import pytest
from part_layouts import NORMAL, write_core, write_layout
from scipy.spatial import cKDTree
from store_copies import copy_store, edit_json
from test_prepare_killed import kill, start
from trimesh.triangles import closest_point

from pointmcd.data.store import Store
from pointmcd.datasets.folder import load_shape
from pointmcd.datasets.registry import find_shapes
from pointmcd.datasets.sources import Cloud
from pointmcd.errors import ShapeError, StoreError
from pointmcd.preparation import shards as shards_module
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.plan import with_variants
from pointmcd.preparation.prepare import prepare
from pointmcd.preparation.prepare_shape import _deformed, prepare_shape, shape_seed
from pointmcd.shapes.alignment import OnSurface, project
from pointmcd.shapes.deformation import deform
from pointmcd.shapes.mesh import Mesh, normalise
from pointmcd.shapes.sampling import sample_surface
from pointmcd.views.rig import Rig

RIG = Rig("three", ((30.0, 0.0), (30.0, 120.0), (-30.0, 240.0)), size=48)


@pytest.fixture(scope="module")
def varied(few_meshes, small_rig, tmp_path_factory):
    """Nine train shapes with two variants each, five test shapes. To be read only."""
    store = tmp_path_factory.mktemp("varied") / "store"
    options = {"points": 32, "rig": small_rig, "workers": 1, "shard_size": 4, "variants": 2}
    result = prepare(PrepareConfig(few_meshes, store, **options))
    assert (result.done, result.variants, result.skipped) == (14, 18, [])
    return store


@pytest.fixture
def quick(quick):
    return quick | {"variants": 2}


def first_variants(listing, count):
    """The first train shape of a listing and its variants."""
    items = with_variants(tuple(s for s in listing.sources if s.split == "train")[:1], count)
    return items


def test_the_shapes_are_those_of_a_store_without(few_meshes, varied, quick, tmp_path):
    store = Store(varied)
    plain = Store(
        prepare(PrepareConfig(few_meshes, tmp_path / "s", **quick | {"variants": 0})).store
    )
    assert store.shapes == plain.shapes
    assert store.classes == plain.classes
    every = np.arange(14)
    assert np.array_equal(store.points(every, 32), plain.points(every, 32))
    assert np.array_equal(store.visibility(every, 32), plain.visibility(every, 32))
    for index in every:
        assert np.array_equal(store.views(index), plain.views(index))
        assert np.array_equal(store.indices("test"), plain.indices("test"))
    assert store.meta["notes"] == plain.meta["notes"]
    assert store.fingerprint != plain.fingerprint
    assert np.array_equal(plain.shape_of, every)


def test_only_train_shapes_have_variants_each_with_content_of_its_own(varied):
    store = Store(varied)
    held = np.concatenate([store.indices("train"), store.indices("val")])
    assert store.shape_of.tolist() == [*range(14), *np.repeat(np.sort(held), 2)]
    for variants, count in ((False, 14), (True, 14 + 18)):
        ranges = [indices for _, indices in store.shard_ranges(variants)]
        assert np.concatenate(ranges).tolist() == list(range(count))
        assert all(map(len, ranges))
    rows = np.arange(14 + 18)
    assert len({cloud.tobytes() for cloud in store.points(rows, 32)}) == len(rows)
    assert len({store.views(row).tobytes() for row in rows}) == len(rows)
    assert np.linalg.norm(store.points(rows, 32), axis=2).max() <= 1 + 1e-6
    assert store.visibility(rows, 32).any(axis=1).all()
    assert np.array_equal(store.labels(rows), store.labels(store.shape_of))


def test_a_variant_is_sampled_seen_and_labelled_on_the_deformed_mesh(labelled_meshes):
    listing = find_shapes(labelled_meshes, None).listing
    source = first_variants(listing, 2)[2]
    mesh = load_shape(source)
    own = shape_seed(0, source.name, 2)
    moved = normalise(Mesh(deform(mesh.vertices, own), mesh.faces, mesh.parts))
    prepared = prepare_shape(source, 256, RIG, 0)
    on = project(prepared.points.astype(np.float64), moved)
    found = on.distance < 1e-6  # `project` may miss a face where many meet
    assert found.mean() > 0.8
    same = moved.parts[on.face] == prepared.parts
    assert same[found].mean() > 0.98  # on edges, either face is right
    assert project(prepared.points.astype(np.float64), mesh).distance.mean() > 0.01
    plain = prepare_shape(first_variants(listing, 0)[0], 256, RIG, 0)
    assert not np.array_equal(plain.pixels, prepared.pixels)
    assert set(np.unique(prepared.pixels)) == set(np.unique(plain.pixels))


@pytest.mark.parametrize("meshes", [False, True])
def test_labels_of_a_cloud_travel_with_its_points(furniture_root, tmp_path, meshes):
    root = write_layout(furniture_root, tmp_path, NORMAL, 700)
    if meshes:
        write_core(furniture_root, tmp_path / "core", "v1")
        root = shutil.copytree(root, tmp_path / "core" / root.name)
    source, variant = first_variants(find_shapes(root, None).listing, 1)
    assert (source.mesh is not None) == meshes
    whole, prepared = (prepare_shape(item, 700, RIG, 0) for item in (source, variant))
    moved = deform(whole.points.astype(np.float64), shape_seed(0, source.name, 1))
    moved -= moved.mean(axis=0)
    moved /= np.linalg.norm(moved, axis=1).max()
    distance, near = cKDTree(moved).query(prepared.points)
    # Faces stay flat, and carry the points: these are a little off the smooth deformation.
    assert distance.max() < (0.1 if meshes else 1e-6)
    assert (whole.parts[near] == prepared.parts).mean() > (0.9 if meshes else 0.999)
    assert np.linalg.norm(whole.points[near] - prepared.points, axis=1).mean() > 0.02
    gaps = [cKDTree(prepared.points[:i]).query(prepared.points[i])[0] for i in (9, 99, 600)]
    assert gaps == sorted(gaps, reverse=True)  # farthest first
    assert np.linalg.norm(prepared.points, axis=1).max() == pytest.approx(1, abs=1e-6)
    assert abs(prepared.visibility.mean() - whole.visibility.mean()) < 0.1


def test_an_aligned_cloud_is_carried_along_on_the_faces(labelled_meshes):
    mesh = load_shape(first_variants(find_shapes(labelled_meshes, None).listing, 0)[0])
    points, face = sample_surface(mesh, 300, 0)
    on = OnSurface(points.astype(np.float64), face, np.zeros(300))
    off = 1e-3 * np.sin(np.arange(900)).reshape(300, 3)
    cloud, moved, then = _deformed(Cloud(on.points + off), mesh, on, 7)
    corners = moved.vertices[moved.faces[face]]
    assert np.linalg.norm(closest_point(corners, then.points) - then.points, axis=1).max() < 1e-6
    assert np.linalg.norm(cloud.points - then.points, axis=1).max() < 5e-3
    assert np.linalg.norm(cloud.points, axis=1).max() == pytest.approx(1)
    assert np.abs(cloud.points.mean(axis=0)).max() < 1e-9
    assert np.linalg.norm(closest_point(corners, on.points) - on.points, axis=1).mean() > 0.01


def test_a_needle_of_a_face_carries_points_too():
    vertices = np.array([[-1.0, 0, 0], [1, 0, 0], [0, 1e-15, 0], [0, 0.9, 0.1]])
    mesh = Mesh(vertices, np.array([[0, 1, 2], [0, 1, 3]]))
    points = np.array([[0.5, 0, 0], [0, 0, 0], [0.2, 0.3, 0.03]])
    on = OnSurface(points, np.array([0, 0, 1]), np.zeros(3))
    cloud, moved, then = _deformed(Cloud(points), mesh, on, 7)
    assert np.isfinite(cloud.points).all()
    corners = moved.vertices[moved.faces[on.face]]
    assert np.linalg.norm(closest_point(corners, then.points) - then.points, axis=1).max() < 1e-6


@pytest.mark.slow
def test_killed_and_run_again_by_two(few_meshes, varied, quick, small_rig, files_of, tmp_path):
    store = tmp_path / "store"
    process = start(few_meshes, store, small_rig, points=32, variants=2, shard_size=4)
    while not (store / "shards" / "00001").exists() and process.poll() is None:
        time.sleep(0.002)
    kill(process, group=True)
    (store / "store.json").unlink(missing_ok=True)
    shutil.rmtree(store / "shards" / "00005", ignore_errors=True)
    prepare(PrepareConfig(few_meshes, store, **quick | {"workers": 2}))
    assert files_of(store) == files_of(varied)


def test_a_store_of_another_number_is_refused(few_meshes, varied, quick, tmp_path):
    store = copy_store(varied, tmp_path / "store")
    with pytest.raises(StoreError, match="was made with --variants 2, not 3"):
        prepare(PrepareConfig(few_meshes, store, **quick | {"variants": 3}))


def test_a_store_that_knows_of_none_goes_on(few_meshes, quick, tmp_path):
    options = quick | {"variants": 0}
    store = prepare(PrepareConfig(few_meshes, tmp_path / "store", **options)).store
    edit_json(store / "plan.json", lambda plan: plan.pop("variants"))
    edit_json(store / "store.json", lambda meta: meta.pop("variant_of"))
    opened = Store(store)
    train = opened.indices("train")
    assert np.array_equal(opened.with_variants(train), train)
    assert np.array_equal(opened.draw_variants(train, np.full(len(train), 0.99)), train)
    assert prepare(PrepareConfig(few_meshes, store, **options)).done == 14


def test_a_bad_shape_is_listed_once(few_meshes, quick, tmp_path):
    root = shutil.copytree(few_meshes, tmp_path / "meshes")
    bad = sorted((root / "chair" / "train").glob("*.off"))[1]
    bad.write_text("OFF\n1 1 0\n")
    result = prepare(PrepareConfig(root, tmp_path / "store", **quick))
    assert (result.done, result.variants, len(result.skipped)) == (13, 16, 1)
    assert not [note for note in result.notes if "variant" in note["note"]]
    store = Store(result.store)
    assert store.shape_of.max() == 12
    assert len(store.with_variants(store.indices("train"))) == 3 * len(store.indices("train"))


def test_a_file_that_comes_and_goes(few_meshes, quick, tmp_path, monkeypatch):
    """A variant without its shape is no one's; a shape without a variant goes on, with a note."""

    chair, sofa = (
        f"{label}/train/{min(path.stem for path in (few_meshes / label / 'train').iterdir())}"
        for label in ("chair", "sofa")
    )

    def flaky(item, *arguments):
        if (item.name, item.variant) in ((chair, 0), (sofa, 2)):
            raise ShapeError(f"{item.location}: Stale file handle")
        return prepare_shape(item, *arguments)

    monkeypatch.setattr(shards_module, "prepare_shape", flaky)
    result = prepare(PrepareConfig(few_meshes, tmp_path / "store", **quick))
    assert [entry["name"] for entry in result.skipped] == [chair]
    told = [note for note in result.notes if "variant" in note["note"]]
    assert [note["name"] for note in told] == [sofa]
    assert told[0]["note"].startswith("lacks variant 2: ")
    store = Store(result.store)
    assert store.shape_of.tolist().count(-1) == 2
    lone = next(i for i, shape in enumerate(store.shapes) if shape.name == sofa)
    assert store.with_variants(np.array([lone])).tolist()[1:] == [
        int(np.flatnonzero(store.shape_of == lone)[1])
    ]
    everyone = np.arange(13)
    for chance in np.linspace(0, 0.999, 20):
        drawn = store.draw_variants(everyone, np.full(13, chance))
        assert np.array_equal(store.shape_of[drawn], everyone)


def test_notes_of_clouds_are_told_once(furniture_root, tmp_path, quick):
    root = write_layout(furniture_root, tmp_path, NORMAL, 20)
    result = prepare(PrepareConfig(root, tmp_path / "store", **quick))
    assert (result.done, result.variants) == (6, 8)
    repeated = [note for note in result.notes if "repeated" in note["note"]]
    assert len(repeated) == 6


def test_the_command_says_how_many(cli, few_meshes, small_rig, tmp_path):
    options = ["--points", 32, "--rig", small_rig, "--workers", 1, "--variants", 1]
    status, printed, _ = cli("prepare", few_meshes, tmp_path / "store", *options)
    assert status == 0
    assert printed.strip().endswith("14 shapes, 9 variants, 0 skipped")
    plan = json.loads((tmp_path / "store" / "plan.json").read_text())
    assert (plan["variants"], len(plan["items"])) == (1, 14)


def test_a_twin_that_is_dropped_takes_its_variants_with_it(few_meshes, quick, tmp_path):
    root = shutil.copytree(few_meshes, tmp_path / "meshes")
    original = min((root / "chair" / "test").iterdir())
    shutil.copy(original, root / "chair" / "train" / "copy.off")
    options = quick | {"points": 256, "twins": "drop", "variants": 1}
    store = Store(prepare(PrepareConfig(root, tmp_path / "store", **options)).store)
    assert store.meta["twins"] == [["chair/train/copy", f"chair/test/{original.stem}"]]
    drawn = store.with_variants(np.concatenate([store.indices("train"), store.indices("val")]))
    names = [store.shapes[index].name for index in store.shape_of[drawn]]
    assert "chair/train/copy" not in names
    assert len(names) == 2 * 9
