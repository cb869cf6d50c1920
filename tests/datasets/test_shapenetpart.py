import json
import re
import shutil

import numpy as np
import pytest
from part_layouts import CLASSES, NORMAL, PLAIN, write_core, write_layout, zipped

from pointmcd.datasets.shapenetpart.dataset import ShapeNetPart, list_labelled_clouds
from pointmcd.datasets.shapenetpart.files import PART_COUNTS
from pointmcd.datasets.tree import open_tree
from pointmcd.errors import ShapeError


@pytest.fixture(scope="module")
def originals(furniture_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    return {name: write_layout(furniture_root, folder, name, 200) for name in (NORMAL, PLAIN)}


@pytest.fixture(params=[NORMAL, PLAIN])
def root(request, originals, tmp_path):
    return shutil.copytree(originals[request.param], tmp_path / request.param)


@pytest.fixture
def normal(originals, tmp_path):
    return shutil.copytree(originals[NORMAL], tmp_path / NORMAL)


@pytest.fixture
def plain(originals, tmp_path):
    return shutil.copytree(originals[PLAIN], tmp_path / PLAIN)


def test_fifty_parts_in_sixteen_classes_in_sorted_order():
    assert (len(PART_COUNTS), sum(PART_COUNTS.values())) == (16, 50)
    assert list(PART_COUNTS) == sorted(PART_COUNTS)
    starts = dict(zip(PART_COUNTS, np.cumsum([0, *PART_COUNTS.values()]), strict=False))
    known = {"Airplane": 0, "Car": 8, "Chair": 12, "Lamp": 24, "Motorbike": 30, "Table": 47}
    assert {name: starts[name] for name in known} == known


@pytest.mark.parametrize("as_zip", [False, True])
def test_lists_names_classes_splits_and_parts(root, as_zip):
    source = zipped(root) if as_zip else root
    assert ShapeNetPart.recognises(open_tree(source))
    listing = list_labelled_clouds(source)
    shapes = listing.sources
    assert [s.label for s in shapes] == ["Airplane"] * 3 + ["Chair"] * 3
    assert [s.split for s in shapes] == ["train", "train", "val", "train", "train", "test"]
    assert [s.name for s in shapes] == sorted(s.name for s in shapes)
    assert shapes[0].name.startswith("Airplane/bed_")
    assert {s.parts for s in shapes} == {("part0", "part1", "part2", "part3")}
    assert all(s.fault is None and s.mesh is None and not s.wants_mesh for s in shapes)
    assert listing.notes == []


@pytest.mark.parametrize("as_zip", [False, True])
def test_reads_points_and_local_parts(root, as_zip):
    for shape in list_labelled_clouds(zipped(root) if as_zip else root).sources:
        cloud = shape.read_cloud()
        assert cloud.points.shape == (200, 3)
        assert cloud.points.dtype == np.float64
        assert cloud.parts.dtype == np.int16
        assert set(np.unique(cloud.parts)) <= {0, 1, 2, 3}
        # Labels rise with the height, in every file.
        height = cloud.points[:, 1]
        assert height[cloud.parts == 0].max() <= height[cloud.parts == 3].min()


def test_both_layouts_say_the_same(originals):
    first, second = (list_labelled_clouds(originals[name]).sources for name in (NORMAL, PLAIN))
    for one, other in zip(first, second, strict=True):
        assert (one.name, one.split) == (other.name, other.split)
        np.testing.assert_allclose(one.read_cloud().points, other.read_cloud().points, atol=1e-5)
        np.testing.assert_array_equal(one.read_cloud().parts, other.read_cloud().parts)


def test_a_mesh_set_is_of_another_layout(furniture_root):
    assert not ShapeNetPart.recognises(open_tree(furniture_root))
    with pytest.raises(ShapeError, match="lacks synsetoffset2category"):
        list_labelled_clouds(furniture_root)


def test_without_lists_there_are_no_splits(root):
    shutil.rmtree(root / "train_test_split")
    assert {(s.split, s.fault) for s in list_labelled_clouds(root).sources} == {(None, None)}


def test_files_in_no_list_are_faults_and_names_without_files_notes(root):
    path = root / "train_test_split" / "shuffled_train_file_list.json"
    names = json.loads(path.read_text())
    path.write_text(json.dumps([*names[1:], "shape_data/02691156/lost", "shape_data/03001627/x"]))
    listing = list_labelled_clouds(root)
    faults = [s for s in listing.sources if s.fault is not None]
    assert [s.name.split("/")[1] for s in faults] == [names[0].split("/")[-1]]
    with pytest.raises(ShapeError, match="none of the split lists"):
        faults[0].read_cloud()
    assert [note["note"] for note in listing.notes] == [
        "train list: 2 without a file, like 02691156/lost"
    ]


def test_parts_json_names_the_parts(root):
    names = {"Airplane": ["body", "wing", "tail", "engine"], "Chair": ["a", "b", "c", "d"]}
    (root / "parts.json").write_text(json.dumps(names))
    shapes = list_labelled_clouds(root).sources
    assert shapes[0].parts == ("body", "wing", "tail", "engine")
    assert shapes[-1].read_cloud().parts.max() == 3  # Chair still begins at 12


def test_own_classes_need_parts_json_and_run_through_it(normal):
    file = normal / "synsetoffset2category.txt"
    file.write_text(file.read_text().replace("Airplane", "Zeppelin"))
    with pytest.raises(ShapeError, match=r"Zeppelin is not a class of ShapeNetPart.*parts\.json"):
        list_labelled_clouds(normal)
    four = ["a", "b", "c", "d"]
    (normal / "parts.json").write_text(json.dumps({"Zeppelin": four, "Chair": four}))
    shapes = list_labelled_clouds(normal).sources
    assert {s.label: s.first_label for s in shapes} == {"Chair": 0, "Zeppelin": 4}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"Chair": ["seat"]}, "Chair has 4 parts, 1 named"),
        ({"Chair": "seat"}, "Chair: must be a list"),
        ([], "must be an object"),
    ],
)
def test_bad_parts_json(root, content, text):
    (root / "parts.json").write_text(json.dumps(content))
    with pytest.raises(ShapeError, match=re.escape(text)):
        list_labelled_clouds(root)


def test_a_folder_missing_from_the_class_file_is_one_line(root):
    file = root / "synsetoffset2category.txt"
    file.write_text(file.read_text().splitlines()[0])
    with pytest.raises(ShapeError, match="03001627 is missing from synsetoffset2category") as error:
        list_labelled_clouds(root)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", ["Airplane", "Airplane\t99", "Bag\t02691156", "a b c"])
def test_bad_class_lines(root, line):
    file = root / "synsetoffset2category.txt"
    file.write_text(f"{file.read_text()}\n{line}\n")
    with pytest.raises(ShapeError, match="line 4 must be a class and its folder"):
        list_labelled_clouds(root)


@pytest.mark.parametrize(("content", "text"), [("{", "not JSON"), ("{}", "must be a list")])
def test_bad_lists(root, content, text):
    (root / "train_test_split" / "shuffled_val_file_list.json").write_text(content)
    with pytest.raises(ShapeError, match=text):
        list_labelled_clouds(root)


def test_a_name_in_two_lists(root):
    lists = root / "train_test_split"
    shutil.copy(lists / "shuffled_train_file_list.json", lists / "shuffled_val_file_list.json")
    with pytest.raises(ShapeError, match="is in the train list too"):
        list_labelled_clouds(root)


def test_two_layouts_in_one_folder(normal, plain):
    shutil.copytree(plain, normal, dirs_exist_ok=True)
    with pytest.raises(ShapeError, match="occurs twice"):
        list_labelled_clouds(normal)


def test_no_cloud_at_all(root):
    for _, synset, _, _ in CLASSES:
        shutil.rmtree(root / synset)
    with pytest.raises(ShapeError, match="holds no labelled cloud"):
        list_labelled_clouds(root)


def read_changed(root, old, new):
    """Read the first cloud after changing its file with points and labels (one for all)."""
    shape = list_labelled_clouds(root).sources[0]
    path = shape.file.path
    rows = path.read_text().splitlines()
    path.write_text("\n".join(new if old is None else old(rows)))
    return shape.read_cloud()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda rows: [], "is empty"),
        (lambda rows: ["  ", ""], "is empty"),
        (lambda rows: [*rows, "1 2 3 4 5"], "cannot be read as rows of numbers"),
        (lambda rows: [*rows[:-1], "x" + rows[-1][1:]], "cannot be read as rows of numbers"),
        (lambda rows: [row + " 1" for row in rows], "numbers, not x y z"),
        (
            lambda rows: ["nan" + rows[0][rows[0].index(" ") :], *rows[1:]],
            "the first in row 1;",
        ),
    ],
)
def test_bad_points_are_one_line(root, change, text):
    with pytest.raises(ShapeError, match=text) as error:
        read_changed(root, change, None)
    assert str(root) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("label", ["4.000000", "-1", "1.5", "nan", "12"])
def test_labels_of_another_class_are_refused(normal, label):
    def change(rows):
        return [*rows[:-1], rows[-1].rpartition(" ")[0] + f" {label}"]

    with pytest.raises(ShapeError, match=r"in row 200; a Airplane has labels 0 to 3"):
        read_changed(normal, change, None)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda rows: rows[:-1], "199 labels for 200 points"),
        (lambda rows: [*rows, "1"], "201 labels for 200 points"),
        (lambda rows: ["0", *rows[1:]], "label 0 in row 1; a Airplane has labels 1 to 4"),
        (lambda rows: [*rows[:-1], "5"], "label 5 in row 200"),
        (lambda rows: [row + " 1" for row in rows], "not one label"),
        (lambda rows: [], "is empty"),
        (lambda rows: ["one", *rows[1:]], "cannot be read"),
    ],
)
def test_bad_label_files_are_one_line(plain, change, text):
    shape = list_labelled_clouds(plain).sources[0]
    file = next((plain / "02691156" / "points_label").glob(f"{shape.file.path.stem}.seg"))
    file.write_text("\n".join(change(file.read_text().split("\n")[:-1])))
    with pytest.raises(ShapeError, match=re.escape(text)) as error:
        shape.read_cloud()
    assert f"points_label/{file.name}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cloud_without_a_label_file_is_a_fault(plain):
    shape = list_labelled_clouds(plain).sources[0]
    (plain / "02691156" / "points_label" / f"{shape.file.path.stem}.seg").unlink()
    assert "has no labels" in list_labelled_clouds(plain).sources[0].fault


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("place", ["beside", "inside", "given"])
def test_meshes_of_shapenetcore_are_found(root, furniture_root, tmp_path, version, place):
    folder = {"beside": tmp_path, "inside": root, "given": tmp_path / "far"}[place]
    core = write_core(furniture_root, folder, version)
    shapes = list_labelled_clouds(root, core if place == "given" else None).sources
    assert len(shapes) == 6
    assert all(s.mesh is not None and s.mesh.is_file() and s.wants_mesh for s in shapes)
    shapes[0].mesh.unlink()
    again = list_labelled_clouds(root, core if place == "given" else None).sources
    assert [s.mesh is None for s in again] == [True] + [False] * 5


def test_a_given_shapenetcore_must_be_there(root, tmp_path):
    with pytest.raises(ShapeError, match="folder of ShapeNetCore"):
        list_labelled_clouds(root, tmp_path / "nowhere")
