"""Files of a folder and of a zip, told apart by nothing but where they are."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pointmcd.datasets.tree import open_tree
from pointmcd.errors import ShapeError

FILES = {
    "a/Names.TXT": b"\xef\xbb\xbf one\\two \r\n\n three\n",
    "a/b/names.txt": b"deeper",
    "__MACOSX/names.txt": b"no",
    "a/b/c.off": b"OFF",
}


@pytest.fixture(params=["folder", "zip"])
def source(request, tmp_path):
    folder = tmp_path / "set"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if request.param == "folder":
        return folder
    return Path(shutil.make_archive(str(tmp_path / "set"), "zip", folder))


def test_files_are_listed_and_read(source):
    tree = open_tree(str(source))
    assert sorted(tree.files) == sorted(FILES)
    assert {name: tree.file(name).read() for name in tree.files} == FILES
    assert "a/b/c.off" in tree
    assert "c.off" not in tree
    assert tree.file("a/b/c.off").suffix == "off"
    assert tree.file("a/b/c.off").name == f"{source}/a/b/c.off"
    assert tree.is_zip == source.is_file()
    assert open_tree(tree) is tree


def test_files_beside_another_are_read(source):
    file = open_tree(source).file("a/b/c.off")
    assert file.beside("names.txt") == b"deeper"
    assert file.beside("gone.txt") is None


def test_a_file_that_left_the_zip(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.off").write_bytes(b"OFF")
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "set")
    file = open_tree(archive).file("a.off")
    (tmp_path / "set/a.off").rename(tmp_path / "set/other.off")
    shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "set")
    with pytest.raises(ShapeError, match=r"set.zip/a.off: is no longer in the zip"):
        file.read()


def test_a_folder_inside_is_a_tree_of_its_own(source):
    tree = open_tree(source).below("a/").below("b/")
    assert sorted(tree.files) == ["c.off", "names.txt"]
    assert tree.file("c.off").read() == b"OFF"
    assert tree.file("c.off").name == f"{source}/a/b/c.off"


def test_a_file_is_found_by_name_nearest_to_the_top(source):
    tree = open_tree(source)
    assert tree.find("names.txt") == "a/Names.TXT"
    assert tree.below("a/b/").find("NAMES.txt") == "names.txt"
    assert tree.find("other.txt") is None
    assert tree.file("a/Names.TXT").lines() == ["one/two", "three"]


def test_a_name_as_given_and_a_path_that_holds_anywhere(source, monkeypatch, tmp_path):
    monkeypatch.chdir(source.parent)
    file = open_tree(source.name).file("a/b/c.off")
    monkeypatch.chdir("/")
    assert file.name == f"{source.name}/a/b/c.off"
    assert file.read() == b"OFF"


def test_a_zip_is_refused_where_files_must_be_unpacked(source):
    tree = open_tree(source)
    if tree.is_zip:
        with pytest.raises(ShapeError, match=r"set\.zip: unpack it first; arrays are not read"):
            tree.check_unpacked("arrays")
    else:
        tree.check_unpacked("arrays")


def test_a_lone_array_stands_for_its_folder(tmp_path):
    np.save(tmp_path / "data.npy", np.zeros(3))
    (tmp_path / "other.npy").write_bytes(b"")
    tree = open_tree(tmp_path / "data.npy")
    assert (tree.path, tree.files) == (tmp_path, ("data.npy",))
