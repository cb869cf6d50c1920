"""Label files: what they may look like, which shapes they mean, and what a store makes of them."""

import os
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from store_copies import copy_store

from pointmcd.data.label_file import labels_digest
from pointmcd.data.labels import (
    LabelRow,
    alike,
    labels_summary,
    match_labels,
    read_labels,
    write_labels,
)
from pointmcd.data.shape_names import ShapeNames, name_and_folder
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import read_json, write_json

#: As macOS writes it.
DECOMPOSED = unicodedata.normalize("NFD", "Stühle")
NAMES = ("bed/a", "bed/b.v2", "chair/c", "d")


@pytest.fixture
def write(tmp_path):
    def write(text, name="labels.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "path,class\na,x\nb,y\n",
        "a,x\nb,y",  # without a header
        "\ufeffpath,class\r\na,x\r\nb,y\r\n",
        "class;file\nx;a\ny;b\n",
        "filename,class\na,x\nb,y\n",
        "Name\tsplit\tLabel\na\t\tx\nb\t\ty\n",
        "path,class\n\na, x\nc,\nb,y\n",  # c is not labelled yet
        "sep=;\npath;class\na;x\nb;y\n",
        "\ufeffSEP=;\r\na;x\r\nb;y\r\n",
        "sep=,\npath,class\na,x\nb,y\n",
        "sep=\t\nb, c\tclass\tfile\n\tx\ta\n\ty\tb\n",
    ],
)
def test_forms_of_a_file(write, text):
    assert [row[:3] for row in read_labels(write(text))] == [("a", "x", None), ("b", "y", None)]


def test_names_of_any_script_with_commas_and_quotes(write):
    rows = [LabelRow('a,"b"; c', "стул"), LabelRow("椅子/1\n2", " x,y"[1:], "val")]
    path = write("")
    write_labels(path, rows)
    assert [row[:3] for row in read_labels(path)] == [row[:3] for row in rows]


words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).map(str.strip)
words = words.map(lambda word: unicodedata.normalize("NFC", word))
words = words.filter(lambda word: word and word.lower() not in ("path", "class", "file", "name"))


@given(
    st.lists(st.tuples(words, words, st.sampled_from([None, "train", "val", "test"])), min_size=1)
)
def test_what_is_written_is_read(tmp_path_factory, rows):
    assume(alike(label for _, label, _ in rows) is None)  # which are refused
    path = tmp_path_factory.mktemp("csv") / "labels.csv"
    write_labels(path, [LabelRow(*row) for row in rows])
    assert [row[:3] for row in read_labels(path)] == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no labels"),
        ("path,class\n", "holds no labels"),
        ("path,class\na,\n", "holds no labels"),
        ("path,class\na\n", "line 2: has no class"),
        (
            "path,klass\na,x\n",
            r"line 1 \(path, klass\) names no column of classes: call it class or label or",
        ),
        ("mesh,Class\na,x\n", r"line 1 \(mesh, class\) names no column of paths: call it path"),
        ("path,class,split\na,x,dev\n", "line 2: split dev: use one of train, val, test"),
        ('path,class\na,"x\n', "line 2: a quote is left open"),
        ('sep=;\npath;class\na;"x\n', "line 3: a quote is left open"),
        ("sep=;\npath;klass\na;x\n", r"line 2 \(path, klass\) names no column of classes"),
        ("sep=;\n", "holds no labels"),
        (b"\xff\xfe\x00", "is not UTF-8 text; save it as CSV UTF-8"),
    ],
)
def test_what_is_no_label_file(write, text, said):
    path = write(text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"--labels {path}: ")


def test_an_absent_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_labels(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("bed/a", 0),
        ("bed/a.obj", 0),
        ("./bed/a.obj", 0),
        ("bed\\a.obj", 0),
        ("/data/meshes/bed/a.obj", 0),
        ("bed/b.v2", 1),  # what looks like a suffix is part of the name
        ("bed/b.v2.ply", 1),
        ("d.stl", 3),
    ],
)
def test_which_shape_a_path_means(write, tmp_path, path, index):
    assert list(match_labels(NAMES, write(f"{path},x"), tmp_path)) == [index]


@pytest.mark.parametrize("path", ["bed", "e", "a", "bed/a/z", ""])
def test_a_path_that_is_no_shape(write, tmp_path, path):
    with pytest.raises(ConfigError, match=f"line 1: no shape {path} in .*; .* like bed/a"):
        match_labels(NAMES, write(f"{path},x"), tmp_path)


FILES = {
    "X": "/data/parts/X.stl",
    "bolt/X": "/data/parts/bolt/X.STL",
    "M8": "/data/parts/M8.obj",
    "M8.5-bolt": "/data/parts/M8.5-bolt.stl",
    "Stühle/a": f"/data/parts/{DECOMPOSED}/a.off",
    "zipped": "/data/parts.zip/zipped.off",
    "chair/rows_0001": "/data/rows.h5[1]",  # a row of an array has no file of its own
    " spaces ": None,
}


def find(path):
    return ShapeNames([*FILES], "store", [*FILES.values()].__getitem__).find(path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *((path, "X") for path in ("X", "X.stl", "X.STL", " X.stl ", "./X.stl", "../X.stl")),
        *((path, "X") for path in ("parts/X.stl", "/data/parts/X.stl", "data\\parts\\X")),
        *((path, "X") for path in ("P:\\PLM\\parts\\X.stl", "/home/me/parts/X.stl")),  # moved
        *((path, "bolt/X") for path in ("bolt/X.stl", "bolt\\X", "parts/bolt/X.STL")),
        *((path, "M8.5-bolt") for path in ("M8.5-bolt", "M8.5-bolt.stl")),
        *(
            (path, "Stühle/a")
            for path in (f"{DECOMPOSED}/a", "Stühle/a.off", f"{DECOMPOSED}/a.OFF")
        ),
        *((path, "zipped") for path in ("parts/zipped.off", "parts.zip/zipped")),
        ("chair/rows_0001.ply", "chair/rows_0001"),
        (" spaces ", " spaces "),
    ],
)
def test_a_path_fits_the_file_of_its_shape(path, name):
    assert [*FILES][find(path)] == name


@pytest.mark.parametrize(
    "path",
    [
        *("X.obj", "bolt/X.obj", "M8.5", "M8.5-bolt.obj", "X."),  # another file's suffix
        *("foo/X.stl", "foo/bar/X", "foo/bolt/X.stl", "/data/part/X.stl"),  # another folder
        *("/foo/data/X.stl", "C:\\bolt\\X.stl", "stl", "", "/", "..", "/\0/X.stl"),
    ],
)
def test_a_path_of_another_file_is_a_stranger(path):
    assert find(path) is None


def test_the_text_of_a_stranger_names_the_file_that_comes_nearest(write, tmp_path):
    file = write("bed/a.off,x\nbolt/c.stl,x")
    with pytest.raises(ConfigError) as caught:
        match_labels(
            ["bed/a", "c"], file, tmp_path, file_of=["/s/bed/a.off", "/s/c.obj"].__getitem__
        )
    near = "c comes from /s/c.obj: correct the path"
    assert str(caught.value) == (
        f"--labels {file}: line 2: no shape bolt/c.stl in {tmp_path}; {near}"
    )


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_path_by_way_of_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    names = ShapeNames(["a"], tmp_path, lambda index: str(tmp_path / "real" / "a.off"))
    assert names.find(str(tmp_path / "link" / "a.off")) == 0
    assert names.find("link/a.off") is None


def test_a_page_is_told_no_more_of_a_file_than_its_folder():
    told = [name_and_folder(file, name) for name, file in FILES.items()]
    assert told[:3] == ["parts/X.stl", "parts/bolt/X.STL", "parts/M8.obj"]
    assert told[-3:] == ["parts/zipped.off", None, None]


def test_names_that_differ_in_their_unicode_form_are_one():
    assert ShapeNames([f"{DECOMPOSED}/a"], "store").find("Stühle/a") == 0
    assert ShapeNames(["Stühle/a", f"{DECOMPOSED}/a"], "store").find(f"{DECOMPOSED}/a") == 0


def test_a_header_of_several_columns_in_another_language(write):
    told = r"line 1 \(Nr, Datei, Gewicht\) looks like a header; call its columns path and class"
    with pytest.raises(ConfigError, match=told):
        read_labels(write("Nr;Datei;Gewicht\n1;a.stl;2\n"))


@pytest.mark.parametrize("head", ["name;file;class", "file;name;class", "class;shape;file"])
def test_of_several_columns_of_paths_that_of_files_counts(write, head):
    cells = {"name": "My bolt", "shape": "Bolt", "file": "a.stl", "class": "bolt"}
    row = ";".join(cells[name] for name in head.split(";"))
    assert read_labels(write(f"{head}\n{row}\n"))[0][:2] == ("a.stl", "bolt")


@pytest.mark.parametrize("form", ["utf-16", "utf-16-le", "utf-16-be"])
def test_excel_s_unicode_text(tmp_path, form):
    mark = "" if form == "utf-16" else "\ufeff"
    (tmp_path / "a.csv").write_bytes(f"{mark}path\tclass\na\tStühle\n".encode(form))
    assert read_labels(tmp_path / "a.csv")[0][:2] == ("a", "Stühle")


@pytest.mark.parametrize(("above", "line"), [("", 1), ("sep=;\n", 2)])
@pytest.mark.parametrize("head", ["Datei;Klasse", "Fichier;Classe", "archivo;clase"])
def test_a_header_in_another_language(write, tmp_path, head, above, line):
    told = rf"line {line} \({head.replace(';', ', ')}\) looks like a header; call its columns path"
    with pytest.raises(ConfigError, match=told):
        match_labels(NAMES, write(f"{above}{head}\nbed/a;bed\nd.stl;lamp\n"), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "Datei,bed\nbed/a,bed",
        "f/e,x\nd,z",
        "e.off,x\nd,z",
        "e,x\nz,y",
        "e,x",
        "e,x\ne,y\nd,z",
        "d,x\ne,y",
    ],
)
def test_a_stranger_that_is_no_header(write, tmp_path, text):
    with pytest.raises(ConfigError, match="no shape"):
        match_labels(NAMES, write(text), tmp_path)


def test_two_labels_for_one_shape(write, tmp_path):
    with pytest.raises(ConfigError, match="lines 1 and 3 say of d x and y; keep one"):
        match_labels(NAMES, write("d,x\nbed/a,x\nd.off,y"), tmp_path)
    assert len(match_labels(NAMES, write("d,x\nd.off,x"), tmp_path)) == 1  # the same twice


def test_the_digest_is_of_what_a_file_says(write):
    one = labels_digest(write("path,class\na,x\nb,y\n", "1"))
    assert one == labels_digest(write("b;y\na;x", "2"))
    assert one != labels_digest(write("a,x\nb,x", "3"))


def test_a_store_with_a_label_file(tiny_store, write):
    own = Store(tiny_store)
    train = [shape.name for shape in own.shapes if shape.split == "train"]
    val = next(shape.name for shape in own.shapes if shape.split == "val")
    file = write(f"{train[0]},sofa\n{train[1]},lamp\n{val},sofa\n")
    store = Store(tiny_store, file)
    assert store.classes == ["bed", "chair", "lamp", "sofa"]  # those of test are known
    assert {s.name: s.label for s in store.shapes if s.split == "train" and s.label} == {
        train[0]: "sofa",
        train[1]: "lamp",
        val: "sofa",
    }
    assert store.ignored_classes == ()
    assert not len(store.indices("val"))
    assert store.indices("test").tolist() == own.indices("test").tolist()
    assert store.fingerprint != own.fingerprint == store.own_fingerprint == own.own_fingerprint


def test_a_store_knows_the_files_of_its_shapes(tiny_store, write):
    shapes = Store(tiny_store).shapes[:2]
    rows = [f"meshes/{shape.name}.OFF,{label}" for shape, label in zip(shapes, "xy", strict=True)]
    found = {
        s.name for s in Store(tiny_store, write("\n".join(rows))).shapes if s.label in ("x", "y")
    }
    assert found == {shape.name for shape in shapes}
    for wrong in (f"{shapes[0].name}.stl", f"elsewhere/{shapes[0].name}.off"):
        with pytest.raises(ConfigError, match=rf"no shape {wrong} in .*off: correct the path"):
            Store(tiny_store, write(f"{rows[1]}\n{wrong},x"))


def test_folders_that_are_no_classes_say_nothing_of_the_test_split(tiny_store, write):
    own = Store(tiny_store)
    train, test = ([s.name for s in own.shapes if s.split == one] for one in ("train", "test"))
    file = write(f"path,class,split\n{train[0]},wheel,\n{train[1]},brick,\n{test[0]},brick,test\n")
    store = Store(tiny_store, file)
    assert store.ignored_classes == ("bed", "chair", "lamp")
    assert store.classes == ["brick", "wheel"]
    assert [store.shapes[i].name for i in store.indices("test")] == [test[0]]
    assert len(store.indices("train")) == len(train) + len(own.indices("val"))
    assert sum(shape.label is not None for shape in store.shapes) == 3
    without = Store(tiny_store, write(f"{train[0]},wheel\n{train[1]},brick\n{test[0]},brick\n"))
    assert [without.shapes[i].name for i in without.indices("test")] == [test[0]]


def test_a_file_that_spells_the_folders_otherwise_is_refused(tiny_store, write):
    names = [shape.name for shape in Store(tiny_store).shapes]
    with pytest.raises(ConfigError, match=r"'Lamp' and 'lamp': the same but for case"):
        Store(tiny_store, write(f"{names[0]},Lamp\n{names[1]},sofa\n"))


def test_a_label_file_moves_shapes_between_splits(tiny_store, write):
    names = [shape.name for shape in Store(tiny_store).shapes]
    file = write(f"path,class,split\n{names[0]},a,val\n{names[1]},b,test\n{names[2]},b,\n")
    splits = {s.name: s.split for s in Store(tiny_store, file).shapes}
    assert (splits[names[0]], splits[names[1]]) == ("val", "test")


def test_one_class_alone_is_refused(tiny_store, write):
    name = Store(tiny_store).shapes[0].name
    with pytest.raises(ConfigError, match="names one class alone; training needs two"):
        Store(tiny_store, write(f"{name},x"))


def test_labels_of_parts_cannot_be_replaced(parts_store, write):
    name = Store(parts_store).shapes[0].name
    with pytest.raises(StoreError, match="has labels of parts"):
        Store(parts_store, write(f"{name},x"))


def test_shapes_left_out_as_twins_stay_out(tiny_store, write, tmp_path):
    path = copy_store(tiny_store, tmp_path / "store")
    meta = read_json(path / "store.json")
    meta["shapes"][0]["split"] = "none"
    write_json(path / "store.json", meta)
    names = [shape.name for shape in Store(path).shapes]
    store = Store(path, write(f"{names[1]},x\n{names[2]},y"))
    assert store.shapes[0].split == "none"


def test_a_label_file_in_one_line(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("path,class\na,lamp\nb,chair\nc,lamp\nd,\n")
    assert labels_summary(file) == f"{file}: 3 labelled shapes of 2 classes: chair 1, lamp 2"


@pytest.mark.parametrize("other", ["Lamp", "lamp ", "\uff4camp"])
def test_classes_that_read_alike(tmp_path, other):
    file = tmp_path / "labels.csv"
    file.write_text(f'path,class\na,lamp\nb,chair\nc,"{other}"\n', encoding="utf-8")
    if other.strip() == "lamp":
        assert {row.label for row in read_labels(file)} == {"lamp", "chair"}
        return
    with pytest.raises(ConfigError, match="the same but for case, blanks or Unicode; rename one"):
        read_labels(file)
