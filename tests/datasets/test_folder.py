import pickle
import unicodedata
import zipfile

import pytest
import trimesh

from pointmcd.datasets.folder import list_meshes, list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.datasets.registry import find_shapes
from pointmcd.datasets.tree import open_tree
from pointmcd.errors import ConfigError, ShapeError

#: What is to be done about files of one name.
RENAME = "; rename one if they are different shapes"
OFF = b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


@pytest.fixture(params=["folder", "zip"])
def make(request, tmp_path):
    """Build a source of the given relative files, as a folder and as a zip."""

    def build(*files, **contents):
        contents = dict.fromkeys(files, OFF) | contents
        if request.param == "zip":
            path = tmp_path / "shapes.zip"
            with zipfile.ZipFile(path, "w") as archive:
                for file, content in contents.items():
                    archive.writestr(file, content)
            return path
        root = tmp_path / "shapes"
        root.mkdir()
        for file, content in contents.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(content)
        return root

    return build


def listed(source):
    return [(shape.name, shape.label, shape.split) for shape in list_shapes(source)]


def refused(source, *words):
    with pytest.raises(ShapeError) as caught:
        list_shapes(source)
    text = str(caught.value)
    assert str(source) in text
    assert "\n" not in text
    for word in words:
        assert word in text


def test_furniture_as_zip_and_as_folder(furniture_root):
    zipped, unpacked = list_shapes(furniture10()), list_shapes(furniture_root)
    assert [s.name for s in zipped] == [s.name for s in unpacked]
    assert len(zipped) == 254
    assert len({s.label for s in zipped}) == 10
    assert sum(s.split == "train" for s in zipped) == 188
    assert zipped[7].file.read() == unpacked[7].file.read()
    assert "bed/train/bed_0006" in {s.name for s in zipped}


def test_gltf_with_its_buffer_beside_it(make):
    files = trimesh.creation.box().export(file_type="gltf")
    text = files.pop("model.gltf").replace(b"gltf_buffer_", b"sub/my%20data_")
    contents = {"car/a.gltf": text, "bus/b.gltf": text}
    for name, data in files.items():
        contents[name.replace("gltf_buffer_", "car/sub/my data_")] = data
    shapes = list_shapes(make(**contents))
    assert len(load_shape(shapes[1]).faces) == 12
    with pytest.raises(ShapeError, match=r"bus/b.gltf: .* no file sub/my data_[01].bin beside it"):
        load_shape(shapes[0])


@pytest.mark.parametrize("wrapping", ["", "set/", "deep/er/set/"])
def test_class_split_layout(make, wrapping):
    files = ["car/train/a.off", "car/test/b.OFF", "bus/valid/c.off", "bus/val/d.obj"]
    assert listed(make(*(wrapping + file for file in files))) == [
        ("bus/val/d", "bus", "val"),
        ("bus/valid/c", "bus", "val"),
        ("car/test/b", "car", "test"),
        ("car/train/a", "car", "train"),
    ]


@pytest.mark.parametrize("wrapping", ["", "set/", "deep/er/set/"])
def test_class_layout(make, wrapping):
    source = make(wrapping + "car/b.off", wrapping + "bus/a.b.off")
    assert listed(source) == [("bus/a.b", "bus", None), ("car/b", "car", None)]


@pytest.mark.parametrize("wrapping", ["", "set/", "deep/er/set/"])
def test_flat_layout(make, wrapping):
    assert listed(make(wrapping + "b.off", wrapping + "a.off")) == [
        ("a", None, None),
        ("b", None, None),
    ]


def test_a_lone_class_keeps_its_label_beside_splits(make):
    assert listed(make("set/car/train/a.off", "set/car/test/b.off")) == [
        ("car/test/b", "car", "test"),
        ("car/train/a", "car", "train"),
    ]


def test_a_lone_class_with_one_split(make):
    assert listed(make("car/train/a.off", "car/train/b.off"))[0] == ("car/train/a", "car", "train")


def test_a_class_may_be_called_train(make):
    labels = {label for _, label, _ in listed(make("train/a.off", "car/b.off"))}
    assert labels == {"train", "car"}


def test_split_first_layout(make):
    assert listed(make("set/Train/car/a.off", "set/test/car/a.off", "set/val/bus/b.off")) == [
        ("Train/car/a", "car", "train"),
        ("test/car/a", "car", "test"),
        ("val/bus/b", "bus", "val"),
    ]


def test_classes_and_splits_may_have_each_others_names(make):
    assert listed(make("train/test/a.off", "test/train/b.off")) == [
        ("test/train/b", "test", "train"),
        ("train/test/a", "train", "test"),
    ]


@pytest.mark.parametrize("name", ["Car", "car ", "CAR", "c\uff41r"])
def test_classes_that_read_alike_are_refused(make, name):
    refused(make("car/a.off", f"{name}/b.off", "bus/c.off"), "classes", "rename one")


def test_hidden_and_foreign_files_are_passed_over(make):
    source = make(
        "car/a.off", "bus/b.off", "__MACOSX/car/._a.off", ".git/x.off", "car/.hid.off",
        "README.md", "car/a.png", "car/off", "bus/c.seg",
    )  # fmt: skip
    assert [name for name, *_ in listed(source)] == ["bus/b", "car/a"]


def test_names_of_a_zip_cannot_climb_out(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.off", OFF)
        archive.writestr("car/a.off", OFF)
        archive.writestr("bus/a.off", OFF)
    assert [name for name, *_ in listed(path)] == ["bus/a", "car/a"]
    assert list(tmp_path.iterdir()) == [path]


def test_two_files_of_one_name(make):
    shapes = list_shapes(make("car/a.off", "car/a.obj", "bus/a.off"))
    assert [(s.name, s.file.suffix, s.fault) for s in shapes] == [
        ("bus/a", "off", None),
        ("car/a", "obj", None),
        ("car/a", "off", f"same name as car/a.obj{RENAME}"),
    ]


def test_names_are_composed_and_those_of_two_forms_are_one(make):
    nfd, nfc = (unicodedata.normalize(form, "Stühle") for form in ("NFD", "NFC"))
    shapes = list_shapes(make(f"{nfd}/a.off", f"{nfc}/a.obj", f"{nfd}/ü.off", "bus/a.off"))
    assert [(s.name, s.label, s.fault) for s in shapes] == [
        (f"{nfc}/a", nfc, None),
        (f"{nfc}/a", nfc, f"same name as {nfd}/a.off{RENAME}"),
        (f"{nfc}/ü", nfc, None),
        ("bus/a", "bus", None),
    ]
    assert shapes[0].file.read() == OFF


def test_names_that_differ_in_case_only_are_two(make):
    assert [s.fault for s in list_shapes(make("c/a.off", "d/b.off", "c/A.off"))] == [None] * 3


def test_backslashes_in_some_names_of_a_zip(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("car\\a.off", OFF)
        archive.writestr("bus\\a.off", OFF)
        archive.writestr("docs/readme.md", "")
    assert [label for _, label, _ in listed(path)] == ["bus", "car"]
    assert [shape.file.read() for shape in list_shapes(path)] == [OFF] * 2


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_member_twice_in_a_zip(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.off", OFF)
        archive.writestr("a.off", OFF)
    assert [s.fault for s in list_shapes(path)] == [None, f"same name as a.off{RENAME}"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["car/train/a.off", "bus/b.off"], ["car/train/a.off", "bus/b.off", "mixes layouts"]),
        (["e.off", "train/a.off", "test/b.off"], ["has a split but no class"]),
        (["set/car/models/a.off", "set/bus/train/b.off"], ["set/car/models/a.off", "too deep"]),
        (["a/b/c/d.off", "e.off"], ["a/b/c/d.off", "too deep"]),
        (["train/a.off", "test/b.off"], ["no class"]),
    ],
)
def test_trees_that_follow_no_layout(make, files, words):
    refused(make(*files), *words)


def test_folders_of_any_depth_without_labels(make):
    source = make("all/props/chairs/a.off", "all/props/b.off", "all/train/c.off", "all/d.off")
    refused(source, "props/chairs/a.off", "too deep", "add ,labels=none to the path")
    found = find_shapes(f"{source},labels=none")
    shapes = found.listing.sources
    assert [shape.name for shape in shapes] == ["d", "props/b", "props/chairs/a", "train/c"]
    assert {(shape.label, shape.split) for shape in shapes} == {(None, None)}
    assert found.text == f"{source.resolve()},labels=none"
    with pytest.raises(ConfigError, match="data set meshes: labels=no: use folders or none"):
        find_shapes(f"{source},labels=no")


@pytest.mark.parametrize("split", ["", "train/"])
def test_loose_files_beside_classes_have_no_label(make, split):
    listing = list_meshes(open_tree(make("b.off", f"car/{split}c.off", f"bus/{split}a.off")))
    found = [(shape.name, shape.label, shape.split) for shape in listing.sources]
    of = split.rstrip("/") or None
    assert found == [
        ("b", None, None),
        (f"bus/{split}a", "bus", of),
        (f"car/{split}c", "car", of),
    ]
    notes = [note["note"] for note in listing.notes]
    assert "1 of 3 shapes lie in no class folder: they have no label" in notes


def test_nothing_readable(make):
    refused(make("a.png", "b/c.txt"), ".off", ".obj", ".glb")


def test_absent_source(tmp_path):
    refused(tmp_path / "absent", "does not exist")


def test_empty_folder(tmp_path):
    refused(tmp_path, "no mesh")


def test_a_file_that_is_no_zip(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"hello")
    refused(path, "zip")
    path.write_bytes(furniture10().read_bytes()[:100_000])
    refused(path, "zip")


def test_encrypted_zip(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.off", OFF)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, "a.off", "encrypted")


def test_damaged_member(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.off", OFF * 50)
        archive.writestr("b.off", OFF)
    data = bytearray(path.read_bytes())
    data[40:60] = bytes(20)
    path.write_bytes(data)
    first, second = list_shapes(path)
    with pytest.raises(ShapeError, match=r"a\.zip/a\.off: cannot be read"):
        first.file.read()
    assert second.file.read() == OFF


def test_oversized_member(tmp_path, monkeypatch):
    monkeypatch.setattr("pointmcd.datasets.tree.MAX_BYTES", 10)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.off", OFF)
    refused(path, "larger")


def test_sources_travel_to_other_processes(make, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    source = make("a.off", "b.off").relative_to(tmp_path)
    blob = pickle.dumps(list_shapes(source))
    monkeypatch.chdir("/")
    assert [shape.file.read() for shape in pickle.loads(blob)] == [OFF, OFF]
    assert len(load_shape(pickle.loads(blob)[0]).faces) == 1


def test_file_gone_before_it_is_read(make):
    source = make("a.off")
    shape = list_shapes(source)[0]
    shape.file.path.unlink()
    with pytest.raises(ShapeError, match=r"a\.off"):
        shape.file.read()


def test_links_are_followed_but_not_in_circles(tmp_path):
    root, outside = tmp_path / "set", tmp_path / "outside"
    (root / "car").mkdir(parents=True)
    outside.mkdir()
    (root / "car" / "a.off").write_bytes(OFF)
    (outside / "b.off").write_bytes(OFF)
    (root / "bus").symlink_to(outside)
    (root / "car" / "again").symlink_to(root)
    assert [name for name, *_ in listed(root)] == ["bus/b", "car/a"]
