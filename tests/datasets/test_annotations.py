"""Lists of splits, part names and labels per face that stand beside the meshes of a set."""

import json
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pointmcd.data.store import Store
from pointmcd.datasets.annotations import MAX_PARTS, parse_labels
from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.errors import ShapeError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.shapes.mesh import read_mesh

#: A tetrahedron.
OFF = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"
SQUARE = "OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n"
SET = {
    **{f"{name}.off": OFF for name in ("bus/b", "car/a", "car/c")},
    **{f"{name}.seg": "0\n1\n1\n0\n" for name in ("bus/b", "car/a", "car/c")},
    "parts.json": json.dumps({"bus": ["body", "wheel"], "car": ["roof", "door", "wheel"]}),
}


def write(folder, files):
    """Write files, text or bytes; None leaves one out."""
    for name, content in files.items():
        if content is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture(params=["folder", "zip"])
def make(request, tmp_path):
    """Build a source of three shapes with what is changed, as a folder and as a zip."""

    def build(changes=None, root=""):
        files = {f"{root}{name}": content for name, content in (SET | (changes or {})).items()}
        folder = write(tmp_path / "set", files)
        if request.param == "folder":
            return folder
        return Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))

    return build


def refused(call, *words):
    with pytest.raises(ShapeError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_classes_in_two_forms_of_unicode(make):
    nfc, nfd = "Stühle", unicodedata.normalize("NFD", "Stühle")
    names = json.dumps({nfc: ["low", "high"], "bus": ["body", "wheel"], "car": ["a", "b"]})
    source = make({"parts.json": names, f"{nfd}/a.off": OFF, f"{nfd}/a.seg": "0\n1\n1\n0\n"})
    shape = list_shapes(source)[0]
    assert (shape.label, shape.parts) == (nfc, ("low", "high"))
    assert shape.read_labels().tolist() == [0, 1, 1, 0]


# Lists of splits


def splits(source):
    return {shape.name: shape.split for shape in list_shapes(source)}


LISTS = {"train.txt": "car/a\nbus/b\n", "test.txt": "car/c\n"}


@pytest.mark.parametrize("root", ["", "wrapped/", "two/folders/"])
def test_lists_give_the_splits(make, root):
    source = make(LISTS, root)
    assert splits(source) == {"bus/b": "train", "car/a": "train", "car/c": "test"}
    assert {shape.fault for shape in list_shapes(source)} == {None}


@pytest.mark.parametrize(
    "text",
    [
        b"car\\a\r\nbus\\b\r\n",
        b"\n\n  car/a \n\n\tbus/b\n\n",
        b"\xef\xbb\xbfcar/a\nbus/b",
        b"car/a\nbus/b\ncar/a\n",
    ],
    ids=["backslashes", "blanks", "byte order mark", "twice in one list"],
)
def test_lists_as_people_write_them(make, text):
    assert splits(make(LISTS | {"train.txt": text})) == splits(make(LISTS))


@pytest.mark.parametrize("name", ["val.txt", "valid.txt"])
def test_a_list_for_validation(make, name):
    assert splits(make(LISTS | {"train.txt": "bus/b\n", name: "car/a\n"}))["car/a"] == "val"


def test_a_shape_in_no_list_carries_a_fault(make):
    shapes = {shape.name: shape for shape in list_shapes(make(LISTS | {"train.txt": "car/a\n"}))}
    assert "none of the lists" in shapes["bus/b"].fault
    assert shapes["bus/b"].split is None
    assert [shapes[name].fault for name in ("car/a", "car/c")] == [None, None]


@pytest.mark.parametrize("name", ["test.txt", "val.txt", "valid.txt"])
def test_an_absent_mesh_in_a_list(make, name):
    source = make({"train.txt": "car/a\nbus/b\n", name: "car/c\ncar/none\n"})
    refused(lambda: list_shapes(source), str(source), name, "car/none")


@pytest.mark.parametrize("root", ["", "wrapped/"])
def test_a_shape_in_two_lists(make, root):
    source = make(LISTS | {"test.txt": "car/c\ncar/a\n"}, root)
    refused(lambda: list_shapes(source), f"{source}/{root}t", ".txt: car/a is in the ")


# Names of parts


def test_parts_of_each_class(make):
    shapes = list_shapes(make())
    assert [shape.parts for shape in shapes] == [
        ("body", "wheel"),
        *[("roof", "door", "wheel")] * 2,
    ]
    assert all(shape.read_labels().tolist() == [0, 1, 1, 0] for shape in shapes)
    assert {shape.read_labels().dtype for shape in shapes} == {np.dtype(np.int16)}


def test_a_set_without_parts_json_has_no_parts(make):
    found = list_shapes(make({"parts.json": None}))
    assert {(shape.parts, shape.labels, shape.read_labels()) for shape in found} == {(None,) * 3}


def test_a_byte_order_mark_and_classes_that_do_not_occur(make):
    text = b"\xef\xbb\xbf" + json.dumps(json.loads(SET["parts.json"]) | {"ship": ["a"]}).encode()
    assert list_shapes(make({"parts.json": text}))[0].parts == ("body", "wheel")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["is not JSON"]),
        (b"\xff\xfe{}", ["is not JSON"]),
        ("", ["is not JSON"]),
        ('["body"]', ["object of classes"]),
        ('{"bus": "body", "car": ["a"]}', ["bus", "list of part names"]),
        ('{"bus": ["body", 1], "car": ["a"]}', ["bus", "list of part names"]),
        ('{"bus": ["body", ""], "car": ["a"]}', ["bus", "list of part names"]),
        ('{"bus": ["body", "body"], "car": ["a"]}', ["bus", "each once"]),
        ('{"bus": [], "car": ["a"]}', ["bus", "1 to 254"]),
        ('{"car": ["a"]}', ["lacks the class bus", "bus/b"]),
        ("{}", ["lacks the class bus"]),
    ],
)
def test_parts_json_that_cannot_be_used(make, content, words):
    source = make({"parts.json": content})
    refused(lambda: list_shapes(source), f"{source}/parts.json: ", *words)


@pytest.mark.parametrize("count", [MAX_PARTS, MAX_PARTS + 1])
def test_as_many_parts_as_a_pixel_can_hold(make, count):
    names = {"bus": [f"p{i}" for i in range(count)], "car": ["a"]}
    source = make({"parts.json": json.dumps(names)})
    if count <= MAX_PARTS:
        assert len(list_shapes(source)[0].parts) == MAX_PARTS
        return
    refused(lambda: list_shapes(source), "parts.json: bus", "1 to 254")


# Labels of faces

LABEL_FAULTS = {
    "short": ("0\n1\n", ["2 part labels", "4 faces"]),
    "long": ("0\n" * 5, ["5 part labels", "4 faces"]),
    "empty": ("", ["0 part labels", "4 faces"]),
    "high": ("0\n1\n3\n0\n", ["label 3", "face 2", "3 parts", "0 to 2"]),
    "negative": ("-2\n0\n0\n0\n", ["label -2", "face 0", "0 to 2"]),
    "words": ("0\nroof\n0\n0\n", ["whole number", "roof"]),
    "floats": ("0\n1.0\n0\n0\n", ["whole number", "1.0"]),
    "huge": ("0\n99999999999999999999\n0\n0\n", ["whole number"]),
    "binary": (bytes(range(256)), ["whole number"]),
}


@pytest.mark.parametrize("kind", LABEL_FAULTS)
def test_labels_that_cannot_be_used_skip_the_shape_alone(make, tmp_path, kind):
    content, words = LABEL_FAULTS[kind]
    source = make(LISTS | {"car/a.seg": content})
    rig = write(tmp_path, {"rig.json": '{"cameras": [[0, 0]], "size": 16}'}) / "rig.json"
    result = prepare(
        PrepareConfig(source, tmp_path / "store", rig=rig, points=8, workers=1, val_fraction=0)
    )
    assert result.done == 2
    (entry,) = result.skipped
    assert entry["name"] == "car/a"
    assert f"{source}/car/a." in entry["reason"]
    assert "\n" not in entry["reason"]
    assert all(word in entry["reason"] for word in words)
    assert [record.name for record in Store(tmp_path / "store").shapes] == ["bus/b", "car/c"]


@pytest.mark.parametrize("suffix", ["off", "xyz"])
def test_parts_of_a_shape_without_labels_are_not_known(tmp_path, suffix):
    # As people label: a few of many, which serve for test and training, the others to distil from.
    content = OFF if suffix == "off" else "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
    files = {f"car/{name}.{suffix}": content for name in "abcdefghij"}
    files |= {f"car/{name}.seg": "0\n1\n1\n0\n" for name in [*"abcd", "E"]}  # not of e
    folder = write(tmp_path / "set", files | {"parts.json": '{"car": ["roof", "door"]}'})
    rig = write(tmp_path, {"rig.json": '{"cameras": [[0, 0]], "size": 16}'}) / "rig.json"
    options = {"rig": rig, "points": 8, "workers": 1, "twins": "keep"}
    result = prepare(PrepareConfig(folder, tmp_path / "store", **options))
    assert (result.done, result.skipped) == (10, [])
    note = "6 of 10 shapes have no .seg beside them, like car/e: their parts are not known"
    assert note in [entry["note"] for entry in result.notes]
    assert "not read: 1 .seg" in [entry["note"] for entry in result.notes]
    (folder / "parts.json").unlink()
    result = prepare(PrepareConfig(folder, tmp_path / "unnamed", **options))
    why = "part labels need a parts.json beside the classes, which names their parts"
    assert f"not read: 5 .seg; {why}" in [entry["note"] for entry in result.notes]
    store = Store(tmp_path / "store")
    for index, record in enumerate(store.shapes):
        known = record.name[-1] in "abcd"
        parts = store.part_labels(np.array([index]), 8)
        assert (set(parts.ravel()) == {-1}) == (not known)
        assert store.is_labelled(index) == known
        assert (record.split == "train") if not known else record.split in ("train", "val", "test")
    assert [len(store.indices(split)) for split in ("val", "test")] == [1, 1]


def test_labels_may_stand_in_any_white_space():
    assert parse_labels(b"\xef\xbb\xbf0 1\r\n\n 2\t0", "x.seg", 3).tolist() == [0, 1, 2, 0]


def test_a_degenerate_face_is_dropped_with_its_label(tmp_path):
    faces = "3 0 1 2\n3 0 1 1\n3 0 1 3\n3 2 2 2\n3 1 2 3\n"
    text = "OFF\n4 5 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n" + faces
    mesh = read_mesh(text.encode(), "a.off", "off", np.array([0, 9, 1, 9, 2], np.int16))
    assert mesh.parts.tolist() == [0, 1, 2]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 1, 3], [1, 2, 3]]


def test_the_labels_of_a_shape_keep_to_its_faces(make):
    unlike = "OFF\n5 2 0\n9 9 9\n0 0 0\n1 0 0\n0 1 0\n0 0 5\n3 1 2 3\n3 1 2 4\n"
    shape = list_shapes(make({"bus/b.off": unlike, "bus/b.seg": "1\n0\n"}))[0]
    mesh = load_shape(shape)
    assert mesh.parts.tolist() == [1, 0]
    assert mesh.double_areas.argmax() == 1  # the far corner is of the second face


def test_a_label_belongs_to_a_face_of_the_file(make):
    shape = list_shapes(make({"bus/b.off": SQUARE, "bus/b.seg": "1\n"}))[0]
    assert load_shape(shape).parts.tolist() == [1, 1]
    shape = list_shapes(make({"bus/b.off": SQUARE, "bus/b.seg": "1\n1\n"}))[0]
    refused(lambda: load_shape(shape), "bus/b.off: ", "2 part labels for 1 faces")


def test_a_zip_equals_its_folder(tmp_path):
    folder = write(tmp_path / "set", {f"in/{k}": v for k, v in (SET | LISTS).items()})
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
    pairs = list(zip(list_shapes(folder), list_shapes(archive), strict=True))
    assert len(pairs) == 3
    for one, other in pairs:
        assert one.read_labels().tolist() == other.read_labels().tolist()
        where = {"file": None, "labels": None}
        assert replace(one, **where) == replace(other, **where)


def test_a_lone_class_in_folders_of_splits_needs_no_list(tmp_path):
    names = ("car/train/a", "car/test/b")
    files = {f"{name}.off": OFF for name in names} | {
        f"{name}.seg": "0\n1\n1\n0\n" for name in names
    }
    files |= {"train.txt": "no/shape\n", "parts.json": SET["parts.json"]}
    shapes = list_shapes(write(tmp_path, files))
    assert [shape.split for shape in shapes] == ["test", "train"]
    assert [shape.read_labels().tolist() for shape in shapes] == [[0, 1, 1, 0]] * 2


@pytest.mark.parametrize("root", ["wrapped/", "two/folders/"])
def test_a_labelled_set_in_wrapping_folders(make, root):
    found = list_shapes(make(LISTS, root))
    assert [shape.name for shape in found] == ["bus/b", "car/a", "car/c"]
    assert all(load_shape(shape).parts.tolist() == [0, 1, 1, 0] for shape in found)


@pytest.mark.parametrize("root", ["", "wrapped/"])
def test_a_labelled_set_of_one_class(make, root):
    alone = dict.fromkeys(("bus/b.off", "bus/b.seg")) | {"train.txt": "car/a\n"}
    found = list_shapes(make({**LISTS, **alone}, root))
    assert [(shape.name, shape.split) for shape in found] == [("car/a", "train"), ("car/c", "test")]
    assert [shape.parts for shape in found] == [("roof", "door", "wheel")] * 2
