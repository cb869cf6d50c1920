"""From labels per face to labels of points and pixels in the store."""

import json
import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation
from store_copies import copy_store, edit_json
from test_prepare_killed import kill, start

from pointmcd.data.splits import labelled_train
from pointmcd.data.store import UNKNOWN_PIXEL, Store
from pointmcd.errors import StoreError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare

#: A cube: the four corners of each side, in the order of PARTS.
SIDES = ((0, 2, 6, 4), (1, 3, 7, 5), (0, 1, 5, 4), (2, 3, 7, 6), (0, 1, 3, 2), (4, 5, 7, 6))
PARTS = ["-x", "+x", "-y", "+y", "-z", "+z"]
FRONT = PARTS.index("+z")
#: The first camera stands on +z; the others see one more side, and three.
CAMERAS = [[0, 0], [0, 45], [35, 135]]
RIG = {"cameras": CAMERAS, "size": 32}


def cube():
    """The cube as text, and the label of each of its twelve triangles."""
    corners = [f"{i & 1} {i >> 1 & 1} {i >> 2}" for i in range(8)]
    faces = [f"3 {a} {b} {c}\n3 {a} {c} {d}" for a, b, c, d in SIDES]
    labels = [f"{side}\n{side}" for side in range(6)]
    return "\n".join(["OFF", "8 12 0", *corners, *faces, ""]), "\n".join(labels) + "\n"


def write_set(folder):
    """Two classes of cubes, boxes (two parts: bottom, rest) and dice (six), split by lists."""
    mesh, labels = cube()
    of_box = "".join("0\n" if int(label) == 2 else "1\n" for label in labels.split())
    names = {"box": ["bottom", "rest"], "die": PARTS}
    for label, text in (("box", of_box), ("die", labels)):
        (folder / label).mkdir(parents=True)
        for name in "abc":
            (folder / label / f"{name}.off").write_text(mesh)
            (folder / label / f"{name}.seg").write_text(text)
    (folder / "parts.json").write_text(json.dumps(names))
    for split, letters in (("train", "ab"), ("test", "c")):
        lines = [f"{label}/{letter}\n" for label in names for letter in letters]
        (folder / f"{split}.txt").write_text("".join(lines))
    return folder


@pytest.fixture
def meshes(tmp_path):
    return write_set(tmp_path / "meshes")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    rig = tmp_path_factory.mktemp("rig") / "rig.json"
    rig.write_text(json.dumps(RIG))
    return {"rig": rig, "points": 200, "workers": 1, "shard_size": 2, "val_fraction": 0}


@pytest.fixture(scope="module")
def made(options, tmp_path_factory):
    """The set, prepared: three shards of two shapes, boxes first. To be read only."""
    folder = tmp_path_factory.mktemp("made")
    return prepare(PrepareConfig(write_set(folder / "meshes"), folder / "store", **options))


def side_of(points):
    """Return the side of the cube, framed about the origin, that each point [..., 3] lies on."""
    axis = np.abs(points).argmax(axis=-1)
    positive = np.take_along_axis(points, axis[..., None], -1)[..., 0] > 0
    return 2 * axis + positive


def test_every_point_has_the_label_of_the_side_it_lies_on(made):
    store = Store(made.store)
    boxes, dice = np.arange(3), np.arange(3, 6)
    sides = side_of(store.points(dice, 200))
    assert set(sides.ravel()) == set(range(6))
    assert np.array_equal(store.part_labels(dice, 200), 2 + sides)
    of_box = side_of(store.points(boxes, 200)) != PARTS.index("-y")
    assert np.array_equal(store.part_labels(boxes, 200), of_box)


def test_fewer_points_have_the_same_labels(made):
    store, some = Store(made.store), np.array([5, 0, 4])
    assert np.array_equal(store.part_labels(some, 7), store.part_labels(some, 200)[:, :7])
    assert store.part_labels(some, 7).dtype == np.int64


def test_points_pixels_and_shapes_without_label(meshes, options, tmp_path):
    """Of box a the bottom alone has a label, of box b nothing has."""
    labels = (meshes / "box" / "a.seg").read_text()
    (meshes / "box" / "a.seg").write_text(labels.replace("1", "-1"))
    (meshes / "box" / "b.seg").write_text("-1\n" * 12)
    held = options | {"val_fraction": 0.5}
    store = Store(prepare(PrepareConfig(meshes, tmp_path / "store", **held)).store)
    boxes = np.arange(2)
    bottom = side_of(store.points(boxes[:1], 200)) == PARTS.index("-y")
    parts = store.part_labels(boxes, 200)
    assert np.array_equal(parts[:1], np.where(bottom, 0, -1))
    assert (parts[1] == -1).all()
    pixels = store.pixel_labels(1)
    assert set(np.unique(pixels)) == {-1, UNKNOWN_PIXEL}
    # Box c is the same cube with all labels: the background is where it was.
    assert np.array_equal(pixels == -1, store.pixel_labels(2) == -1)
    assert set(np.unique(store.pixel_labels(0))) <= {-1, 0, UNKNOWN_PIXEL}
    assert [shape.unlabelled for shape in store.shapes] == [False, True] + [False] * 4
    # Nothing to validate on, and no label to learn from.
    assert store.shapes[1].split == "train"
    assert 1 not in labelled_train(store)


def test_a_camera_sees_the_labels_of_the_sides_before_it(made):
    store = Store(made.store)
    pixels = store.pixel_labels(4)
    assert (pixels.dtype, pixels.shape) == (np.int16, (3, 32, 32))
    seen = [set(np.unique(view)) - {-1} for view in pixels]
    id_of = {name: 2 + i for i, name in enumerate(PARTS)}
    assert seen[0] == {id_of["+z"]}
    assert seen[1] == {id_of["+z"], id_of["+x"]}
    assert seen[2] == {id_of["-z"], id_of["+x"], id_of["+y"]}


def test_labelled_pixels_are_those_that_show_the_shape(made):
    store, near = Store(made.store), np.ones((3, 3))
    for index in range(6):
        pixels, views = store.pixel_labels(index), store.views(index)
        assert np.array_equal(pixels[0] >= 0, views[0] < 255)  # its edges run along the pixels
        for labels, view in zip(pixels, views, strict=True):
            assert (view[labels >= 0] < 255).all()
            assert (view[~binary_dilation(labels >= 0, near)] == 255).all()  # smoothed next to it


def test_points_lie_where_the_pixels_of_their_label_are(made):
    store = Store(made.store)
    seen = store.visibility(np.array([3]), 200)[0]
    labels = store.part_labels(np.array([3]), 200)[0]
    for view, pixels in enumerate(store.pixel_labels(3)):
        assert set(labels[seen[:, view]]) == set(pixels[pixels >= 0])


def test_ids_count_through_the_classes(made):
    store = Store(made.store)
    assert store.parts == {"box": ["bottom", "rest"], "die": PARTS}
    assert store.part_ranges.tolist() == [[0, 2], [2, 8]]
    assert store.part_names == ["box/bottom", "box/rest", *(f"die/{name}" for name in PARTS)]
    assert store.num_parts == 8


def test_stored_files(made):
    for shard in sorted((made.store / "shards").iterdir()):
        parts = np.load(shard / "parts.npy")
        assert (parts.dtype, parts.shape) == (np.int16, (2, 200))
        assert sorted(p.name for p in (shard / "pixels").iterdir()) == ["0000.png", "0001.png"]
        with Image.open(shard / "pixels" / "0001.png") as strip:
            assert (strip.size, strip.mode) == ((96, 32), "L")
            assert strip.getextrema()[0] == 0  # the background
    records = json.loads((shard / "shapes.json").read_text())["shapes"]
    assert [record["parts"] for record in records] == [list(range(6))] * 2
    assert parts.max() == 5  # counted within the class


def test_no_indices_give_no_labels(made):
    labels = Store(made.store).part_labels(np.array([], np.int64), 9)
    assert (labels.shape, labels.dtype) == ((0, 9), np.int64)


def test_more_points_than_there_are(made):
    with pytest.raises(StoreError, match="201 points requested, but the store holds 200"):
        Store(made.store).part_labels(np.array([0]), 201)


def test_a_picture_that_is_absent_or_damaged(made, tmp_path):
    store = copy_store(made.store, tmp_path / "store")
    (store / "shards" / "00000" / "pixels" / "0000.png").unlink()
    (store / "shards" / "00000" / "pixels" / "0001.png").write_bytes(b"half")
    for index in (0, 1):
        with pytest.raises(StoreError, match=rf"pixels/000{index}.png: .*pointmcd prepare"):
            Store(store).pixel_labels(index)


def test_a_store_without_parts_says_what_is_needed(tiny_store):
    store = Store(tiny_store)
    assert store.parts is None
    for ask in (
        lambda: store.part_labels(np.array([0]), 8),
        lambda: store.pixel_labels(0),
        lambda: store.part_ranges,
        lambda: store.part_names,
        lambda: store.num_parts,
    ):
        with pytest.raises(
            StoreError, match=r"no part labels; .*parts.json and a NAME.seg"
        ) as told:
            ask()
        assert str(told.value).startswith(str(tiny_store))
    assert not list(tiny_store.rglob("parts.npy"))
    assert not list(tiny_store.rglob("pixels"))


def test_the_parts_of_a_shape_without_labels_are_not_known(made, meshes, options, tmp_path):
    (meshes / "die" / "a.seg").unlink()
    result = prepare(PrepareConfig(meshes, tmp_path / "store", **options))
    assert not result.skipped
    assert "1 of 6 shapes have no .seg" in result.notes[0]["note"]
    store, whole = Store(result.store), Store(made.store)
    (bare,) = [i for i, shape in enumerate(whole.shapes) if shape.name == "die/a"]
    assert [store.is_labelled(index) for index in range(6)] == [i != bare for i in range(6)]
    assert set(store.part_labels(np.array([bare]), 200).ravel()) == {-1}
    assert set(np.unique(store.pixel_labels(bare))) == {-1, UNKNOWN_PIXEL}
    rest = np.delete(np.arange(6), bare)
    assert np.array_equal(store.part_labels(rest, 200), whole.part_labels(rest, 200))
    for index in rest:
        assert np.array_equal(store.pixel_labels(index), whole.pixel_labels(index))


def test_a_class_without_a_usable_shape_has_no_ids(meshes, options, tmp_path):
    for path in (meshes / "box").glob("*.seg"):
        path.write_text("")
    store = Store(prepare(PrepareConfig(meshes, tmp_path / "store", **options)).store)
    assert (store.parts, store.part_ranges.tolist()) == ({"die": PARTS}, [[0, 6]])


def test_a_class_without_labels_is_noted(meshes, options, tmp_path):
    for path in (meshes / "box").glob("*.seg"):
        path.unlink()
    result = prepare(PrepareConfig(meshes, tmp_path / "store", **options))
    told = [note["note"] for note in result.notes if note["name"] == "box"]
    assert told == ["no training shape has a label of its parts"]


def test_a_part_that_no_training_shape_has_is_noted(made, meshes, options, tmp_path):
    edit_json(meshes / "parts.json", lambda parts: parts["box"].append("lid"))
    (meshes / "box" / "c.seg").write_text("2\n" * 12)  # a test shape
    result = prepare(PrepareConfig(meshes, tmp_path / "store", **options))
    told = [note for note in result.notes if note["name"] == "box"]
    assert told == [{"name": "box", "note": "part lid occurs in no training shape"}]
    assert Store(result.store).meta["notes"] == result.notes
    assert [note["name"] for note in made.notes] == ["val"]  # all parts are in training there


# The same again, and something else


def test_twice_the_same_bytes(made, options, files_of, tmp_path):
    store = prepare(
        PrepareConfig(made.store.parent / "meshes", tmp_path / "store", **options)
    ).store
    assert files_of(store) == files_of(made.store)
    shutil.rmtree(store / "shards" / "00001")
    (store / "store.json").unlink()
    prepare(PrepareConfig(made.store.parent / "meshes", store, **options))
    assert files_of(store) == files_of(made.store)


def test_other_parts_are_refused_unless_told_to_replace(options, meshes, files_of, tmp_path):
    store = prepare(PrepareConfig(meshes, tmp_path / "store", **options)).store
    before, fingerprint = files_of(store), Store(store).fingerprint
    edit_json(meshes / "parts.json", lambda parts: parts.update(box=["bottom", "walls"]))
    with pytest.raises(StoreError, match=r"parts.box\[1\] rest, not walls; .*--overwrite"):
        prepare(PrepareConfig(meshes, store, **options))
    assert files_of(store) == before
    prepare(PrepareConfig(meshes, store, **options, overwrite=True))
    assert Store(store).part_names[1] == "box/walls"
    assert Store(store).fingerprint != fingerprint


def test_corrected_labels_make_another_store(made, options, meshes, tmp_path):
    again = prepare(PrepareConfig(meshes, tmp_path / "again", **options)).store
    assert Store(again).fingerprint == Store(made.store).fingerprint
    labels = min(meshes.rglob("*.seg"))
    parts = labels.read_text().split()
    labels.write_text("\n".join("1" if part == "0" else part for part in parts))
    corrected = prepare(PrepareConfig(meshes, tmp_path / "corrected", **options)).store
    assert Store(corrected).parts == Store(again).parts
    assert Store(corrected).fingerprint != Store(again).fingerprint


def test_a_store_begun_without_parts_is_another(options, meshes, tmp_path):
    parts = (meshes / "parts.json").rename(tmp_path / "parts.json")
    store = prepare(PrepareConfig(meshes, tmp_path / "store", **options)).store
    plain = Store(store).fingerprint
    shutil.move(parts, meshes / "parts.json")
    with pytest.raises(StoreError, match=r"made with parts None, not .*--overwrite"):
        prepare(PrepareConfig(meshes, store, **options))
    prepare(PrepareConfig(meshes, store, **options, overwrite=True))
    assert Store(store).fingerprint != plain


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
@pytest.mark.slow
def test_killed_after_the_first_shard(options, meshes, files_of, tmp_path):
    store, points = tmp_path / "store", 4096
    process = start(meshes, store, options["rig"], points=points)
    while not (store / "shards" / "00000").exists():
        assert process.poll() is None
        time.sleep(0.002)
    kill(process, group=False)
    same = {"rig": options["rig"], "points": points, "workers": 1, "shard_size": 2}
    prepare(PrepareConfig(meshes, store, **same))
    prepare(PrepareConfig(meshes, tmp_path / "calm", **same))
    assert files_of(store) == files_of(tmp_path / "calm")
