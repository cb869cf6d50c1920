"""Preparing with a label file."""

import shutil

import pytest

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare


@pytest.fixture
def file(tmp_path):
    return tmp_path / "labels.csv"


@pytest.fixture
def make(few_meshes, quick, tmp_path, file):
    return lambda: prepare(
        PrepareConfig(few_meshes, tmp_path / "store", labels=file, **(quick | {"val_fraction": 0}))
    )


def test_classes_and_splits_of_the_file_replace_those_of_the_folders(make, few_meshes, file):
    one, two, three = sorted(few_meshes.rglob("*.off"))[:3]
    names = [path.relative_to(few_meshes).as_posix() for path in (one, two, three)]
    file.write_text(
        f"path,class,split\n{names[0]},soft,train\n{names[1]},hard,test\n{names[2]},soft,\n"
    )
    store = Store(make().store)
    assert store.classes == ["hard", "soft"]
    found = {shape.name + ".off": (shape.label, shape.split) for shape in store.shapes}
    assert [found.pop(name)[0] for name in names] == ["soft", "hard", "soft"]
    assert {label for label, _ in found.values()} == {None}


def test_files_that_differ_in_their_ending_alone_share_a_label(quick, tmp_path, file):
    """Only the first of them is taken; a label of the other would be that of another file."""
    (tmp_path / "m").mkdir()
    for number, name in enumerate("abcd"):
        text = f"OFF\n3 1 0\n0 0 0\n1 0 0\n0 {number + 1} 0\n3 0 1 2\n"
        (tmp_path / "m" / f"{name}.off").write_text(text)
    (tmp_path / "m" / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    file.write_text("path,class,split\na.off,x,test\nb.off,y,\nc.off,x,\n")
    options = {"labels": file, "twins": "keep", **quick, "val_fraction": 0}
    with pytest.raises(ConfigError, match=r"line 2: no shape a\.off in .*; a comes from .*a\.obj"):
        prepare(PrepareConfig(tmp_path / "m", tmp_path / "s", **options))
    file.write_text("path,class,split\na.obj,x,test\nb,y,\nc.OFF,x,\n")
    store = Store(prepare(PrepareConfig(tmp_path / "m", tmp_path / "s", **options)).store)
    assert {s.name: s.label for s in store.shapes} == {"a": "x", "b": "y", "c": "x", "d": None}
    assert store.shapes[0].split == "test"


def test_a_path_that_is_no_shape_stops_before_the_store_is_made(make, few_meshes, file, tmp_path):
    file.write_text("nobody.off,x\n")
    with pytest.raises(ConfigError, match=r"line 1: no shape nobody\.off in"):
        make()
    assert not (tmp_path / "store").exists()


def test_part_labels_need_their_own_classes(labelled_meshes, tmp_path, quick, file):
    file.write_text("a,b\n")
    with pytest.raises(ConfigError, match="has labels of parts"):
        prepare(PrepareConfig(labelled_meshes, tmp_path / "store", labels=file, **quick))


def test_folders_do_not_say_that_a_shape_has_no_label(quick, few_meshes, tmp_path, file):
    """The file does."""
    shutil.copytree(few_meshes, tmp_path / "m")
    loose = shutil.copy(min(few_meshes.rglob("*.off")), tmp_path / "m" / "loose.off")
    file.write_text("path,class\nloose.off,x\n")
    options = {"twins": "keep", **quick, "val_fraction": 0}
    for labels, said in ((None, 1), (file, 0)):
        config = PrepareConfig(tmp_path / "m", tmp_path / f"s{said}", labels=labels, **options)
        notes = [note["note"] for note in prepare(config).notes]
        assert sum("lie in no class folder" in note for note in notes) == said, loose
