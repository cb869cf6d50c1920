"""Near-duplicates of test shapes: found by points, named, left out."""

import json
import shutil

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from pointmcd.data.splits import twin_notes
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.ops.farthest_points import farthest_points
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.preparation.twins import find_twins
from pointmcd.shapes.mesh import read_mesh
from pointmcd.shapes.sampling import sample_surface

COUNT = 512


@pytest.fixture(scope="module")
def meshes(few_meshes):
    """Seven real meshes of three classes, none like another."""
    return [
        read_mesh(path, path.name, "off") for path in sorted(few_meshes.rglob("train/*.off"))[:7]
    ]


def twins(samples, splits):
    return sorted(find_twins(lambda index: samples[index], splits))


def _trimesh(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def _mesh(mesh):
    return read_mesh(mesh.export(file_type="off").encode(), "made", "off")


def bracket(x=40.0, y=30.0, width=44.0, wall=4.0):
    """An L bracket of two plates, in millimetres."""
    corners = [(0, 0), (x, 0), (x, wall), (wall, wall), (wall, y), (0, y)]
    faces = [(0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 5)]
    return _mesh(trimesh.creation.extrude_triangulation(np.array(corners), faces, width))


def sampled(meshes, seed, count=COUNT):
    return [sample_surface(mesh, count, seed)[0] for mesh in meshes]


@pytest.mark.parametrize("split", ["train", "val"])
def test_another_sample_of_a_surface_is_found(meshes, split):
    samples = sampled(meshes, 1) + sampled(meshes, 2)[:2]
    assert twins(samples, [split] * 7 + ["test"] * 2) == [(0, 7), (1, 8)]


@pytest.mark.parametrize("count", [256, 2048])
def test_relatives_are_none_at_any_number_of_points(meshes, count):
    samples = sampled(meshes, 1, count)
    assert twins(samples, ["train", "test"] * 3 + ["train"]) == []


@pytest.mark.parametrize("angles", [(90, 0, 0), (0, 90, 90), (0, 45, 0), (17, 130, 71)])
def test_turned_scaled_and_moved_copies_are_found(meshes, angles):
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    moved = [(points @ turn * 0.4 + 0.3).astype(np.float32) for points in sampled(meshes, 2)]
    found = twins(sampled(meshes, 1) + moved, ["train"] * 7 + ["test"] * 7)
    assert found == [(i, i + 7) for i in range(7)]


def test_round_shapes_are_found_at_any_turn():
    mesh = _mesh(trimesh.creation.cylinder(0.3, 1.5))
    first, second = sampled([mesh, mesh], 1)[0], sampled([mesh, mesh], 2)[1]
    turn = Rotation.from_euler("xyz", (20, 33, 50), degrees=True).as_matrix()
    assert twins([first, second @ turn], ["train", "test"]) == [(0, 1)]


def test_points_by_chance_are_compared_as_such(meshes):
    samples = [
        trimesh.sample.sample_surface(_trimesh(meshes[i]), 1024, seed=s)[0]
        for i, s in ((0, 1), (1, 1), (2, 1), (0, 2), (3, 1))
    ]
    samples = [points[farthest_points(points, 1024)] for points in samples]
    assert set(twins(samples, ["train"] * 3 + ["test"] * 2)) <= {(0, 3)}


def test_a_mirror_image_is_no_twin():
    parts = [
        trimesh.creation.box((3, 0.2, 0.2)),
        trimesh.creation.box((0.2, 1.5, 0.2)),
        trimesh.creation.box((0.2, 0.2, 0.8)),
    ]
    for part, place in zip(parts, [(0, 0, 0), (1.2, 0.8, 0), (-0.6, 0, 0.5)], strict=True):
        part.apply_translation(place)
    [points] = sampled([_mesh(trimesh.util.concatenate(parts))], 1)
    assert twins([points, points * np.float32([1, 1, -1])], ["train", "test"]) == []
    assert twins([points, points.copy()], ["train", "test"]) == [(0, 1)]


@pytest.mark.parametrize("height", [0.8, 0.9])
def test_boxes_of_other_heights_are_none(height):
    boxes = [_mesh(trimesh.creation.box((1, tall, 0.6))) for tall in (1.0, height)]
    assert twins(sampled(boxes, 1), ["train", "test"]) == []


@pytest.mark.parametrize(
    ("count", "others"),
    [
        (1024, [bracket(33, 49, 57)]),
        (2048, [bracket(x=44), bracket(y=33), bracket(width=48.4), bracket(33, 49, 57)]),
    ],
)
def test_parts_of_other_proportions_are_none(count, others):
    turn = Rotation.from_euler("xyz", (20, 33, 50), degrees=True).as_matrix()
    samples = [*sampled([bracket()], 1, count), *(p @ turn for p in sampled(others, 2, count))]
    assert twins(samples, ["train"] + ["test"] * len(others)) == []


@pytest.mark.parametrize("count", [1024, 2048])
def test_a_copy_of_a_part_is_found(count):
    turn = Rotation.from_euler("xyz", (20, 33, 50), degrees=True).as_matrix()
    [first], [second] = (sampled([bracket()], seed, count) for seed in (1, 2))
    assert twins([first, second @ turn * 0.4 + 0.3], ["train", "test"]) == [(0, 1)]


@pytest.mark.parametrize(
    "splits", [["train"] * 3, ["test"] * 3, ["none", "test", "test"], ["train", "val", "none"]]
)
def test_without_two_sides_there_are_none(meshes, splits):
    assert twins([sampled(meshes[:1], 1)[0]] * 3, splits) == []


def test_small_and_repeated_clouds_are_passed_over():
    cloud = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    point = np.zeros((512, 3), np.float32)
    samples = [np.resize(cloud, (512, 3))] * 2 + [point] * 2
    assert twins(samples, ["train", "test", "train", "test"]) == []


def test_one_shape_may_have_several_twins(meshes):
    a, b, c = (sampled(meshes[:1], seed)[0] for seed in (1, 2, 3))
    assert twins([a, b, c], ["train", "val", "test"]) == [(0, 2), (1, 2)]
    assert twins([a, b, c], ["train", "test", "test"]) == [(0, 1), (0, 2)]


def test_the_nearest_come_first(meshes):
    samples = [*(sampled(meshes[:1], seed)[0] for seed in (1, 2)), sampled(meshes[:1], 2)[0]]
    found = find_twins(lambda index: samples[index], ["train", "train", "test"])
    assert found == [(1, 2), (0, 2)]


@pytest.fixture(scope="module")
def source(few_meshes, tmp_path_factory):
    """The few meshes, and in train of another class a copy of a test shape with z up."""
    folder = shutil.copytree(few_meshes, tmp_path_factory.mktemp("twins") / "set")
    path = sorted((folder / "chair" / "test").iterdir())[0]
    mesh = trimesh.load_mesh(path)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (1, 0, 0)))
    mesh.export(folder / "sofa" / "train" / "copy.off")
    return folder


@pytest.fixture
def settings(quick):
    return {**quick, "points": COUNT}


def pair(source):
    return ["sofa/train/copy", f"chair/test/{sorted((source / 'chair/test').iterdir())[0].stem}"]


def test_prepare_names_twins(source, settings, files_of, tmp_path):
    result = prepare(PrepareConfig(source, tmp_path / "store", **settings))
    store = Store(result.store)
    assert store.meta["twins"] == [pair(source)]
    assert [note["name"] for note in result.notes] == ["twins", "twins"]
    assert "is one of the labels wrong?" in result.notes[1]["note"]
    assert " of ".join(pair(source)) in result.notes[0]["note"]
    told = "(told apart by 512 points; similar shapes may be among them)"
    assert told in result.notes[0]["note"]
    assert "--twins drop" in result.notes[0]["note"]
    assert {shape.split for shape in store.shapes} == {"train", "val", "test"}
    before = files_of(result.store)
    assert prepare(PrepareConfig(source, result.store, **settings)) == result
    assert files_of(result.store) == before


def test_prepare_leaves_twins_out(source, settings, tmp_path):
    warned, dropped = (
        Store(prepare(PrepareConfig(source, tmp_path / t, **settings, twins=t)).store)
        for t in ("warn", "drop")
    )
    left_out = [shape.name for shape in dropped.shapes if shape.split == "none"]
    assert left_out == pair(source)[:1]
    assert [s.name for s in dropped.shapes] == [s.name for s in warned.shapes]
    every = np.arange(len(dropped.shapes))
    np.testing.assert_array_equal(dropped.points(every, COUNT), warned.points(every, COUNT))
    np.testing.assert_array_equal(dropped.indices("test"), warned.indices("test"))
    used = [len(dropped.indices(split)) for split in ("train", "val", "test")]
    assert sum(used) == len(every) - 1
    assert dropped.fingerprint != warned.fingerprint
    with pytest.raises(StoreError, match="was made with --twins drop, not warn"):
        prepare(PrepareConfig(source, tmp_path / "drop", **settings))


def test_prepare_keeps_twins_in_silence(source, settings, tmp_path):
    result = prepare(PrepareConfig(source, tmp_path / "store", **settings, twins="keep"))
    assert (result.notes, Store(result.store).meta["twins"]) == ([], [])


def test_a_store_begun_before_the_setting_goes_on(source, settings, tmp_path):
    store = prepare(PrepareConfig(source, tmp_path / "store", **settings)).store
    for name in ("plan.json", "store.json"):
        content = json.loads((store / name).read_text())
        del content["twins"]
        (store / name).write_text(json.dumps(content))
    prepare(PrepareConfig(source, store, **settings))
    assert Store(store).meta["twins"] == [pair(source)]


def test_dropping_needs_points():
    with pytest.raises(ConfigError, match="--twins drop: needs --points 256 or more"):
        PrepareConfig("meshes", "store", points=255, twins="drop").check()


def test_the_note_counts_shapes_and_names_a_few():
    twins = [[f"a/{i}", f"b/{i // 2}"] for i in range(12)]
    shapes = records({name: "chair" for pair in twins for name in pair})
    [note] = twin_notes(twins, True, shapes)
    assert note["note"].startswith(
        "12 in train or val are near-duplicates of 6 in test: a/0 of b/0"
    )
    assert "a/9 of b/4, 2 more pairs (twins in store.json); they are left out" in note["note"]
    assert twin_notes([], False, []) == []
    [note] = twin_notes(twins, True, shapes, 256)
    told = "6 in test (told apart by 256 points; similar shapes may be among them): a/0"
    assert told in note["note"]


def records(labels, dropped=()):
    """Shapes of a store: a/... are of train, but for the dropped, b/... of test."""
    splits = {name: "train" if name.startswith("a/") else "test" for name in labels}
    splits |= dict.fromkeys(dropped, "none")
    return [{"name": n, "class": label, "split": splits[n]} for n, label in labels.items()]


def test_the_note_says_how_much_is_left_out():
    labels = {f"a/{i}": "pin" if i < 4 else "nut" for i in range(20)} | {"b/0": "pin"}
    twins = [["a/0", "b/0"], ["a/1", "b/0"], ["a/9", "b/0"]]
    dropped, warned = (
        twin_notes(twins, drop, records(labels, ["a/0", "a/1", "a/9"] * drop))[0]["note"]
        for drop in (True, False)
    )
    share = "3 of 20 shapes of train and val, 2 of 4 of pin"
    assert dropped.endswith(f"a/9 of b/0; they are left out: {share}")
    assert f"--twins drop leaves out {share}; keep is silent" in warned


def test_twins_of_two_classes_are_noted():
    labels = {"a/0": "chair", "a/1": "chair", "b/0": "lamp", "b/1": None, "b/2": "chair"}
    twins = [["a/0", "b/1"], ["a/0", "b/0"], ["a/1", "b/0"], ["a/1", "b/2"]]
    _, note = twin_notes(twins, False, records(labels))
    assert note["note"] == (
        "a/0 is chair and its twin b/0 lamp (1 more like this); is one of the labels wrong?"
    )
