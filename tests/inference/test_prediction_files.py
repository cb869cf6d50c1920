"""Folders to predict on, tables of predictions, and files sorted into classes."""

import csv
import shutil
import unicodedata
from pathlib import Path

import pytest

from pointmcd.datasets.registry import find_shapes
from pointmcd.errors import ConfigError, PointMCDError, ShapeError
from pointmcd.inference.files import (
    find_files,
    labelled_files,
    refuse_guesses,
    sort_into,
    write_table,
)
from pointmcd.tasks.classification import ClassPrediction
from pointmcd.tasks.part_prediction import PartPrediction


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_folders_are_searched_and_files_are_taken_as_they_are(tmp_path):
    touch(
        tmp_path, "b/x.OFF", "b/deep/y.npy", "b/read.me", "b/z.jpg", "b/.hidden/a.off", "b/.a.off"
    )
    files, note = find_files([tmp_path / "none.off", tmp_path / "b", str(tmp_path / "b" / "x.OFF")])
    names = [file.relative_to(tmp_path).as_posix() for file in files]
    assert names == ["none.off", "b/deep/y.npy", "b/x.OFF"]  # a file that is absent is told later
    assert note == "not read: 1 .jpg, 1 .me"


def test_a_folder_without_shapes(tmp_path):
    touch(tmp_path, "a/readme.pdf")
    with pytest.raises(ShapeError, match="holds no mesh and no point cloud"):
        find_files([tmp_path / "a"])
    assert find_files([]) == ([], "")


def taken(source):
    """The files that `prepare` reads."""
    sources = find_shapes(source).listing.sources
    return sorted(source.file.path for source in sources)


def touch_tables(folder):
    touch(folder, "readme.txt", "labels.csv", "sub/BOM.csv", "M8.TXT")
    (folder / "train.txt").touch()


def test_tables_beside_meshes_are_no_shapes(tmp_path):
    touch(tmp_path, "sub/a.off", "sub/b.OBJ")
    touch_tables(tmp_path)
    files, note = find_files([tmp_path])
    assert files == taken(tmp_path) == [tmp_path / "sub" / "a.off", tmp_path / "sub" / "b.OBJ"]
    assert note == "not read: 2 .csv, 2 .txt"  # but for the readme
    touch(tmp_path, "sub/c.npy", "sub/d.xyz")
    files, note = find_files([tmp_path])
    assert [file.name for file in files] == ["a.off", "b.OBJ", "c.npy", "d.xyz"]
    assert note == "not read: 2 .csv, 2 .txt"  # but for the readme


def test_tables_beside_clouds_are_what_prepare_takes_them_for(tmp_path):
    touch(tmp_path, "sub/a.npy")
    touch_tables(tmp_path)
    files, note = find_files([tmp_path])
    assert files == taken(f"{tmp_path},labels=none")
    assert [file.name for file in files] == ["M8.TXT", "BOM.csv", "a.npy"]
    assert note == "not read: 1 .csv, 1 .txt"


def test_tables_alone_are_what_prepare_takes_for_clouds_when_it_is_told(tmp_path):
    touch_tables(tmp_path)
    files, _ = find_files([tmp_path])
    assert files == taken(f"clouds:{tmp_path},labels=none")
    assert [file.name for file in files] == ["M8.TXT", "BOM.csv"]
    (tmp_path / "only").mkdir()
    touch(tmp_path / "only", "labels.csv", "readme.txt")
    with pytest.raises(ShapeError, match="holds no mesh and no point cloud"):
        find_files([tmp_path / "only"])


def test_predictions_print_as_their_answer():
    found = ClassPrediction(Path("a/chair.off"), None, "chair", 0.93, (("chair", 0.93),))
    bad = PartPrediction(Path("b.off"), "b.off: is empty")
    assert repr([found, bad]) == (
        "[<chair.off: class chair, confidence 93%>, <b.off: b.off: is empty>]"
    )


def test_a_table(tmp_path):
    rows = [{"file": 'a,"b".off', "class": "椅"}, {"file": "c\nd", "class": ""}]
    write_table(tmp_path / "t.csv", rows)
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == rows
    write_table(tmp_path / "t.csv", [{"file": "a"}, {"file": "b", "class": "c"}])
    assert (tmp_path / "t.csv").read_text() == "file,class\na,\nb,c\n"
    write_table(tmp_path / "t.csv", [{"file": "a", "x": "1"}, {"file": "b", "y": "2"}])
    assert (tmp_path / "t.csv").read_text() == "file,x,y\na,1,\nb,,2\n"
    write_table(tmp_path / "t.csv", [])
    assert (tmp_path / "t.csv").read_text().strip() == ""


@pytest.mark.parametrize("link", [False, True])
def test_files_are_sorted_and_none_is_replaced(tmp_path, link):
    touch(tmp_path, "one/a.off", "two/a.off", "b.off")
    files = [tmp_path / name for name in ("one/a.off", "two/a.off", "b.off")]
    where = sort_into(tmp_path / "out", files, ["chair", "chair", "a/b"], link)
    names = [path.relative_to(tmp_path / "out").as_posix() for path in where]
    assert names == ["chair/a.off", "chair/a-2.off", "a-b/b.off"]
    assert [path.read_text() for path in where] == ["one/a.off", "two/a.off", "b.off"]
    assert where[0].samefile(files[0]) is link
    assert sort_into(tmp_path / "out", files, ["chair", "chair", "a/b"], link) == where


@pytest.mark.parametrize("link", [False, True])
def test_a_copy_in_another_class_moves(tmp_path, link):
    touch(tmp_path, "one/a.off", "b.off", "out/lamp/mine.off", "out/chair/b.off")
    own = tmp_path / "out" / "shelf" / "b.off"  # sorted by hand, the same byte for byte
    own.parent.mkdir()
    shutil.copy(tmp_path / "b.off", own)
    files = [tmp_path / "one" / "a.off", tmp_path / "b.off"]
    sort_into(tmp_path / "out", files, ["chair", "chair"], link)
    where = sort_into(tmp_path / "out", files, ["lamp", "lamp"], link)
    found = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in where[0].parents[1].rglob("*.off")
    )
    # A file of another content, and one of another name, are not ours.
    assert found == ["chair/b.off", "lamp/a.off", "lamp/b.off", "lamp/mine.off", "shelf/b.off"]
    assert (tmp_path / "out" / "chair" / "b.off").read_text() == "out/chair/b.off"
    assert all(path.exists() for path in files)


def test_what_labels_have_sorted_is_not_sorted_by_guesses(tmp_path):
    touch(tmp_path, "a.off", "b.off", "c.off")
    a, b, c = files = [tmp_path / f"{name}.off" for name in "abc"]
    out = tmp_path / "out"
    refuse_guesses(out, files, ())
    sort_into(out, files, ["chair"] * 3, False, [a])
    refuse_guesses(out, [b, c, tmp_path / "gone.off"], [a])
    sort_into(out, files, ["chair", "lamp", "bed"], False, [b])  # b moves, a was guessed the same
    text = rf"--sort-into {out}: your labels put {out}/chair/a.off and 1 more there, and guesses"
    with pytest.raises(ConfigError, match=text):
        refuse_guesses(out, files, [])
    with pytest.raises(ConfigError, match=rf"your labels put {out}/lamp/b.off there"):
        refuse_guesses(out, [b, c], [a])
    twin = tmp_path / "twin" / "a.off"
    twin.parent.mkdir()
    shutil.copy(a, twin)
    refuse_guesses(out, [twin, c], [a, b])
    (out / "chair" / "a.off").unlink()  # withdrawn by hand
    refuse_guesses(out, [a, c], [b])


def test_a_list_of_copies_that_does_not_tell_labels_is_read(tmp_path):
    touch(tmp_path, "a.off", "out/chair/a.off")
    shutil.copy(tmp_path / "a.off", tmp_path / "out" / "chair" / "a.off")
    (tmp_path / "out" / ".sorted.json").write_text('["chair/a.off"]')
    refuse_guesses(tmp_path / "out", [tmp_path / "a.off"], ())
    sort_into(tmp_path / "out", [tmp_path / "a.off"], ["lamp"], False)
    assert not (tmp_path / "out" / "chair" / "a.off").exists()


def test_what_a_user_put_there_stays(tmp_path):
    touch(tmp_path, "a.off")
    own = tmp_path / "out" / "chair" / "a.off"
    own.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "a.off", own)
    # The first call finds it there; the second must not take it for a copy of the first.
    assert sort_into(tmp_path / "out", [tmp_path / "a.off"], ["chair"], False) == [own]
    sort_into(tmp_path / "out", [tmp_path / "a.off"], ["lamp"], False)
    assert own.exists()


def test_what_a_user_put_there_is_found(tmp_path):
    touch(tmp_path, "a.off", "all/out/chair/own.off")
    (copy,) = sort_into(tmp_path / "all" / "out", [tmp_path / "a.off"], ["chair"], False)
    assert copy.exists()
    assert find_files([tmp_path / "all"])[0] == [tmp_path / "all" / "out" / "chair" / "own.off"]


@pytest.mark.parametrize("content", ["[", "3"])
def test_a_damaged_list_of_copies_stops_nothing(tmp_path, content):
    touch(tmp_path, "all/out/chair/own.off")
    (tmp_path / "all" / "out" / ".sorted.json").write_text(content)
    assert find_files([tmp_path / "all"])[0] == [tmp_path / "all" / "out" / "chair" / "own.off"]


def test_files_that_lie_there_themselves_stay(tmp_path):
    touch(tmp_path, "out/chair/a.off")
    file = tmp_path / "out" / "chair" / "a.off"
    (where,) = sort_into(tmp_path / "out", [file], ["lamp"], False)
    assert file.exists()
    assert where == tmp_path / "out" / "lamp" / "a.off"


@pytest.mark.parametrize(
    ("label", "name"), [("..", "_.."), ("", "_"), (" x ", "x"), ("a\\b", "a-b")]
)
def test_a_class_is_one_folder_below(tmp_path, label, name):
    touch(tmp_path, "a.off")
    (where,) = sort_into(tmp_path / "out", [tmp_path / "a.off"], [label], False)
    assert where == tmp_path / "out" / name / "a.off"


def test_what_cannot_be_written(tmp_path):
    touch(tmp_path, "a.off", "out")
    with pytest.raises(PointMCDError, match="cannot be written"):
        sort_into(tmp_path / "out", [tmp_path / "a.off"], ["x"], False)
    with pytest.raises(PointMCDError, match="leave out --link to copy"):
        sort_into(tmp_path / "out", [tmp_path / "a.off"], ["x"], True)


def test_a_label_file_names_files_by_the_end_of_their_paths(tmp_path):
    files = [tmp_path / name for name in ("set/a.off", "set/deep/a.b.off", "set/other/a.b.off")]
    labels = tmp_path / "labels.csv"
    labels.write_text('path,class\na,chair\ndeep\\a.b.off,"x, y"\nelsewhere/z,lamp\n')
    note = f"1 of the 3 rows of {labels} name no file here, such as elsewhere/z"
    assert labelled_files(labels, files) == ({files[0]: "chair", files[1]: "x, y"}, note)
    labels.write_text(f"path,class\n{files[2]},chair\nset/other/a.b,chair\n")
    assert labelled_files(labels, files) == ({files[2]: "chair"}, "")


def test_a_row_fits_a_file_with_its_suffix_in_any_case_and_form_of_unicode(tmp_path):
    folder = tmp_path / unicodedata.normalize("NFD", "Stühle")
    files = [folder / "M8.5-bolt.STL", folder / "M8.stl", tmp_path / "Tische" / "M8.stl"]
    labels = tmp_path / "labels.csv"
    labels.write_text("path,class\nM8.5-bolt.stl,bolt\nStühle\\M8.stl,nut\nM8.5,lost\n", "utf-8")
    note = f"1 of the 3 rows of {labels} name no file here, such as M8.5"
    assert labelled_files(labels, files) == ({files[0]: "bolt", files[1]: "nut"}, note)
    labels.write_text("sep=;\nDatei;Klasse\nM8.5-bolt.stl;bolt\n")
    told = f"{labels}: line 2 (Datei, Klasse) looks like a header; call its columns path and class"
    assert labelled_files(labels, files) == ({files[0]: "bolt"}, told)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("one/b.off,chair\nb.stl,lamp", "line 3: no file b.stl here, but .*one/b.off; correct the"),
        ("b,chair", "line 2: b may be .*one/b.off and .*two/b.off; name one"),
        ("one/b,chair\nb.off,lamp", "line 3: b.off may be .*one/b.off and .*two/b.off"),
        ("one/b,chair\none/b.off,lamp", "line 3: one/b.off may be chair and lamp; name one"),
        ("", "holds no labels"),
    ],
)
def test_label_files_that_do_not_fit(rows, text, tmp_path):
    files = [tmp_path / "one" / "b.off", tmp_path / "two" / "b.off"]
    labels = tmp_path / "labels.csv"
    labels.write_text(f"path,class\n{rows}\n")
    with pytest.raises(ConfigError, match=text):
        labelled_files(labels, files)


def test_a_label_file_may_name_none_of_the_files(tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("path,class\nz,chair\n")
    note = f"{labels}: names none of the 2 files, such as new/a.off; all are predicted"
    assert labelled_files(labels, [Path("new/a.off"), Path("new/b.off")]) == ({}, note)


def test_clouds_that_predict_wrote_are_passed_over(tmp_path):
    for name in ("a.ply", "a-parts.ply", "a-parts.png", "a-parts-2.ply", "a-parts-2.png"):
        (tmp_path / name).touch()
    (tmp_path / "own-parts.ply").touch()  # without a picture it may be anybody's
    files, _ = find_files([tmp_path])
    assert [file.name for file in files] == ["a.ply", "own-parts.ply"]


def test_copies_that_were_sorted_and_tables_are_passed_over(tmp_path):
    touch(tmp_path, "a.off", "classes.npy", "labels.npy", "points.npy")
    sort_into(tmp_path / "sorted", [tmp_path / "a.off"], ["chair"], False)
    tables = [tmp_path / "classes.npy", tmp_path / "labels.npy", tmp_path / "absent.npy"]
    files, _ = find_files([tmp_path], tables)
    assert [file.name for file in files] == ["a.off", "points.npy"]
    files, _ = find_files([tmp_path / "sorted"])  # which is asked for itself
    assert files == [tmp_path / "sorted" / "chair" / "a.off"]
