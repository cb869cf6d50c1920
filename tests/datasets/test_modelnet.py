import shutil
import sys
import zipfile
from collections import Counter

import h5py
import numpy as np
import pytest
from dataset_layouts import (
    write_modelnet_hdf5,
    write_modelnet_meshes,
    write_modelnet_npy,
    write_modelnet_text,
)
from part_layouts import zipped

from pointmcd.datasets import array_cloud
from pointmcd.datasets.folder import load_shape
from pointmcd.datasets.modelnet import MODELNET40_CLASSES, ModelNet40
from pointmcd.datasets.registry import find_shapes, get_data_set
from pointmcd.datasets.tree import FileTree
from pointmcd.errors import ConfigError, ShapeError


@pytest.fixture(scope="module")
def off(furniture_root, tmp_path_factory):
    return write_modelnet_meshes(furniture_root, tmp_path_factory.mktemp("off"))


@pytest.fixture(scope="module")
def hdf5(furniture_root, tmp_path_factory):
    return write_modelnet_hdf5(furniture_root, tmp_path_factory.mktemp("hdf5"))


@pytest.fixture(scope="module")
def text(furniture_root, tmp_path_factory):
    return write_modelnet_text(furniture_root, tmp_path_factory.mktemp("text"))


def splits(shapes):
    return Counter((shape.label, shape.split) for shape in shapes)


WHOLE = {(c, s): n for c in ("bed", "chair", "night_stand") for s, n in (("train", 2), ("test", 1))}


@pytest.fixture(scope="module")
def npy(furniture_root, tmp_path_factory):
    return write_modelnet_npy(furniture_root, tmp_path_factory.mktemp("npy"))


@pytest.mark.parametrize("layout", ["off", "hdf5", "text", "npy"])
def test_every_layout_has_the_same_classes_and_splits(layout, request):
    found = find_shapes(f"modelnet40:{request.getfixturevalue(layout)}")
    assert splits(found.listing.sources) == WHOLE
    assert len({shape.name for shape in found.listing.sources}) == 9
    assert all(shape.name.startswith(f"{shape.label}/") for shape in found.listing.sources)
    assert found.up == ("z" if layout in ("off", "npy") else "y")


def test_meshes_with_all_quirks_are_read(off):
    for shape in find_shapes(f"modelnet40:{off}").listing.sources:
        assert shape.fault is None
        assert len(load_shape(shape).faces) > 50


def test_the_zip_and_one_with_backslashes(off, tmp_path):
    shutil.copytree(off / "ModelNet40", tmp_path / "ModelNet40")
    archive = zipped(tmp_path / "ModelNet40")
    windows = tmp_path / "windows.zip"
    with zipfile.ZipFile(archive) as one, zipfile.ZipFile(windows, "w") as other:
        for name in one.namelist():
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("/", "\\")
            other.writestr(info, one.read(name))
    expected = find_shapes(f"modelnet40:{off}").listing.sources
    for source in (archive, windows):
        shapes = find_shapes(f"modelnet40:{source}").listing.sources
        assert [shape.name for shape in shapes] == [shape.name for shape in expected]
        for shape, other in zip(shapes, expected, strict=True):
            assert shape.file.read() == other.file.read()


def test_hdf5_rows_are_the_clouds_in_file_order(hdf5):
    shapes = find_shapes(f"modelnet40:{hdf5}").listing.sources
    assert [shape.name for shape in shapes[-3:]] == [
        "night_stand/ply_data_train1_0000",
        "chair/ply_data_train1_0001",
        "bed/ply_data_train1_0002",
    ]
    with h5py.File(hdf5 / "ply_data_train1.h5") as file:
        for row, shape in enumerate(shapes[-3:]):
            cloud = shape.read_cloud()
            assert cloud.parts is None
            assert cloud.points.dtype == np.float64
            np.testing.assert_array_equal(cloud.points, file["data"][row])


def test_a_file_stays_open_from_row_to_row(hdf5):
    """HDF5 unpacks a chunk of many rows for each of them, unless the data set stays open."""
    shapes = find_shapes(f"modelnet40:{hdf5}").listing.sources
    array_cloud._opened.cache_clear()
    for shape in shapes:
        shape.read_cloud()
    assert array_cloud._opened.cache_info().misses == 3


def test_text_is_read_without_its_normals(text):
    shape = find_shapes(f"modelnet40:{text}").listing.sources[0]
    expected = np.loadtxt(text / "bed" / "bed_0001.txt", delimiter=",")[:, :3]
    assert shape.name == "bed/bed_0001"
    np.testing.assert_array_equal(shape.read_cloud().points, expected)


def test_text_in_a_zip_and_the_ten_classes_in_it(text):
    archive = zipped(text)
    names = [shape.name for shape in find_shapes(f"modelnet40:{archive}").listing.sources]
    assert names == [shape.name for shape in find_shapes(f"modelnet40:{text}").listing.sources]
    ten = find_shapes(f"modelnet10:{archive}").listing
    assert splits(ten.sources) == {key: n for key, n in WHOLE.items() if key[0] != "night_stand"}
    np.testing.assert_array_equal(
        ten.sources[0].read_cloud().points,
        np.loadtxt(text / "bed/bed_0001.txt", delimiter=",")[:, :3],
    )


def test_counts_other_than_the_official_ones_are_notes(off, hdf5):
    notes = [note["note"] for note in find_shapes(f"modelnet40:{hdf5}").listing.notes]
    assert notes == [
        "6 train shapes found, officially (hdf5) 9840",
        "3 test shapes found, officially (hdf5) 2468",
        "3 classes found, officially (hdf5) 40",
    ]


def test_the_whole_official_split_makes_no_note(tmp_path):
    """Names as in the real set, one file short in the second try; nothing is read for it."""
    layout = next(layout for layout in ModelNet40.layouts if layout.name == "off")
    files = []
    for split, count in layout.splits.items():
        for i in range(count):
            label = MODELNET40_CLASSES[i % 40]
            files.append(f"ModelNet40/{label}/{split}/{label}_{split}{i:04d}.off")
    shapes = layout.list_shapes(FileTree(tmp_path, "set", tuple(files))).sources
    assert ModelNet40().official_notes(layout, shapes) == []
    assert ModelNet40().official_notes(layout, shapes[1:]) == [
        {"name": "modelnet40", "note": "2467 test shapes found, officially (off) 2468"}
    ]


def test_absent_files_of_the_lists_are_notes(text, hdf5, tmp_path):
    root = shutil.copytree(text, tmp_path / "text")
    (root / "bed" / "bed_0002.txt").unlink()
    listing = find_shapes(f"modelnet40:{root}").listing
    assert len(listing.sources) == 8
    assert listing.notes[0]["note"] == "train list: 1 without a file, like bed_0002"
    root = shutil.copytree(hdf5, tmp_path / "hdf5")
    (root / "ply_data_test0.h5").unlink()
    notes = [note["note"] for note in find_shapes(f"modelnet40:{root}").listing.notes]
    assert notes[0] == "test list: 1 without a file, like ply_data_test0.h5"
    assert "0 test shapes found, officially (hdf5) 2468" in notes


def change(path, **arrays):
    with h5py.File(path, "a") as file:
        for name, values in arrays.items():
            del file[name]
            if isinstance(values, dict):
                file.create_group(name)
            elif values is not None:
                file[name] = values


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"data": None}, "data"),
        ({"label": None}, "label"),
        ({"data": np.zeros((3, 8, 2))}, r"\(3, 8, 2\), not numbers \[shapes, points, 3\]"),
        ({"data": np.zeros((3, 8, 3), "S4")}, "not numbers"),
        ({"data": {}}, "data_train0.h5: lacks the array data"),
        ({"label": np.array([b"bed", b"car", b"cup"])}, "not one class per cloud"),
        ({"label": np.array([1.5, 2, 3])}, "not one class per cloud"),
        ({"label": np.uint8(3)}, "not one class per cloud"),
        ({"data": np.zeros((2, 8, 3))}, "3 labels for 2 clouds"),
        ({"label": np.array([1, 40, 2], np.uint8)}, "label 40; there are 40 classes"),
        ({"label": np.zeros((3, 2), np.uint8)}, "not one class per cloud"),
    ],
)
def test_damaged_hdf5_is_one_line(hdf5, tmp_path, arrays, words):
    root = shutil.copytree(hdf5, tmp_path / "set")
    change(root / "ply_data_train0.h5", **arrays)
    with pytest.raises(ShapeError, match=words) as caught:
        find_shapes(f"modelnet40:{root}")
    assert str(caught.value).startswith(str(root / "ply_data_train0.h5"))
    assert "\n" not in str(caught.value)


def test_what_hdf5_promises_and_does_not_hold_is_not_allocated(hdf5, tmp_path):
    for name, shape in (("data", (3, 1 << 40, 3)), ("label", (1 << 40,))):
        root = shutil.copytree(hdf5, tmp_path / name)
        with h5py.File(root / "ply_data_train0.h5", "a") as file:
            del file[name]
            file.create_dataset(name, shape, np.float32, chunks=(1,) * len(shape))
        with pytest.raises(ShapeError, match=r"larger than 1 GiB|not one class per cloud"):
            find_shapes(f"modelnet40:{root}")


def test_truncated_and_foreign_files_are_one_line(hdf5, tmp_path):
    root = shutil.copytree(hdf5, tmp_path / "set")
    path = root / "ply_data_train0.h5"
    for content in (path.read_bytes()[:3000], b"no HDF5 at all", b""):
        path.write_bytes(content)
        with pytest.raises(ShapeError, match=r"ply_data_train0\.h5: cannot be read"):
            find_shapes(f"modelnet40:{root}")


def test_bad_rows_are_found_when_they_are_read(hdf5, tmp_path):
    root = shutil.copytree(hdf5, tmp_path / "set")
    change(root / "ply_data_test0.h5", data=np.full((3, 8, 3), np.nan, np.float32))
    shape = find_shapes(f"modelnet40:{root}").listing.sources[0]
    with pytest.raises(ShapeError, match=r"test0\.h5\[0\]: .* the first in row 1;"):
        shape.read_cloud()


def test_hdf5_in_a_zip_says_what_to_do(hdf5):
    with pytest.raises(ShapeError, match="unpack it first"):
        find_shapes(f"modelnet40:{zipped(hdf5)}")


def test_a_name_in_two_lists_is_refused(text, tmp_path):
    root = shutil.copytree(text, tmp_path / "set")
    (root / "modelnet40_test.txt").write_text("bed_0001\n")
    with pytest.raises(ShapeError, match=r"modelnet40_test\.txt: bed_0001 is in two lists"):
        find_shapes(f"modelnet40:{root}")


def test_hdf5_without_h5py_says_how_to_install_it(hdf5, monkeypatch):
    array_cloud._opened.cache_clear()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"pip install 'pointmcd\[hdf5\]'"):
        find_shapes(f"modelnet40:{hdf5}")


def test_known_facts():
    assert len(MODELNET40_CLASSES) == 40 == get_data_set("modelnet40").classes
    assert list(MODELNET40_CLASSES) == sorted(MODELNET40_CLASSES)
