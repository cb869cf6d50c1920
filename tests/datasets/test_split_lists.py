"""Lists of splits under all names and in all places, and what is told of other files."""

import unicodedata

import pytest

from pointmcd.datasets.registry import find_shapes
from pointmcd.errors import ShapeError
from pointmcd.inference.files import find_files

OFF = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"
XYZ = "0 0 0\n1 0.5 0\n0 1 0.5\n"
NAMES = [f"{label}/{label}_{n}" for label in ("bed", "chair") for n in range(3)]
WANTED = {name: ("train", "val", "test")[int(name[-1])] for name in NAMES}
TRAIN, VAL, TEST = (
    "".join(f"{name}\n" for name, split in WANTED.items() if split == one)
    for one in ("train", "val", "test")
)
ALL = {"train.txt": TRAIN, "val.txt": VAL, "test.txt": TEST}


def write(folder, files, names=NAMES):
    files = {f"{name}.off": OFF for name in names} | files
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, "utf-8")
    return folder


def listed(source):
    listing = find_shapes(source).listing
    notes = [note["note"] for note in listing.notes]
    return {shape.name: shape.split for shape in listing.sources}, notes


def renamed(form):
    return {form(name.removesuffix(".txt")): text for name, text in ALL.items()}


USED = {
    "plain": ALL,
    "capitals": renamed(lambda split: f"{split.title()}.TXT"),
    "long words": {"training.txt": TRAIN, "validation.txt": VAL, "testing.txt": TEST},
    "of PCN": {f"{split[:-4]}.list": text for split, text in ALL.items()},
    "in splits": renamed(lambda split: f"splits/{split}.txt"),
    "in split": renamed(lambda split: f"Split/{split}.txt"),
    "after a name": renamed(lambda split: f"modelnet40_{split}.txt"),
    "before a word": renamed(lambda split: f"{split}_list.txt"),
    "named in splits": renamed(lambda split: f"splits/mine-{split}.txt"),
    "trainval and val": {"trainval.txt": TRAIN + VAL, "val.txt": VAL, "test.txt": TEST},
    "trainval beside all": {"train_val.txt": TRAIN + VAL, **ALL},
}


@pytest.mark.parametrize("kind", USED)
def test_lists_that_are_used(tmp_path, kind):
    splits, notes = listed(write(tmp_path, USED[kind]))
    assert splits == WANTED
    plain = kind == "plain"
    assert notes == ([] if plain else [f"the splits are those of {', '.join(sorted(USED[kind]))}"])


def test_trainval_alone_is_train(tmp_path):
    splits, _ = listed(write(tmp_path, {"trainval.txt": TRAIN + VAL, "test.txt": TEST}))
    assert splits == {name: "test" if name.endswith("2") else "train" for name in NAMES}


@pytest.mark.parametrize("root", ["", "wrapped/"])
def test_lists_of_a_lone_class(tmp_path, root):
    files = {f"{root}{name}.off": OFF for name in NAMES[:3]}
    files |= {f"{root}splits/Train.txt": "bed_0\nbed_1\n", f"{root}splits/Test.txt": "bed_2\n"}
    splits, _ = listed(write(tmp_path, files, names=()))
    assert splits == {"bed/bed_0": "train", "bed/bed_1": "train", "bed/bed_2": "test"}


@pytest.mark.parametrize(
    "form",
    [
        "{label}/{name}.off",
        "{label}\\{name}.off",
        "{name}",
        "{name}.off",
        "./{label}/{name}",
        "data/set/{label}/{name}.off",
        '"{label}/{name}"',
        "{label}/{name}.npy",
        "{LABEL}/{name}",
    ],
)
def test_forms_of_lines(tmp_path, form):
    def line(name):
        label, _, last = name.partition("/")
        return form.format(label=label, name=last, LABEL=label.title())

    files = {name: "\n".join(map(line, text.split())) for name, text in ALL.items()}
    assert listed(write(tmp_path, files))[0] == WANTED


@pytest.mark.parametrize(
    "line", ["bed/bed_9", "chair/bed_0", "same", "bed/bed_0 0", "bed/bed_0/more"]
)
def test_lines_that_name_no_shape_or_two(tmp_path, line):
    files = {"bed/same.off": OFF, "chair/same.off": OFF, "train.txt": f"{TRAIN}{line}\n"}
    with pytest.raises(ShapeError, match=rf"train\.txt: {line}: no shape of that name, or several"):
        find_shapes(write(tmp_path, files))


def test_lists_of_windows_programs(tmp_path):
    write(tmp_path, ALL)
    (tmp_path / "train.txt").write_bytes(TRAIN.replace("\n", "\r\n").encode("utf-16"))
    assert listed(tmp_path)[0] == WANTED


def test_a_shape_of_trainval_and_test(tmp_path):
    with pytest.raises(ShapeError, match="bed/bed_2 is in the lists for trainval and test"):
        find_shapes(write(tmp_path, {"trainval.txt": TRAIN + TEST, "test.txt": TEST}))


UNUSED = {
    "two groups": renamed(lambda s: f"ten_{s}.txt") | renamed(lambda s: f"forty_{s}.txt"),
    "of other shapes": {"old_train.txt": "bed/bed_7\n", "old_test.txt": "bed/bed_8\n"},
    "of a few": {"old_train.txt": "bed/bed_0\n", "old_test.txt": "bed/bed_1\n"},
    "of other types": {"train.json": "[]", "split.csv": "name,split\n"},
    "two splits at once": {"train_test_split.txt": TRAIN},
    "without a suffix": {"train": TRAIN, "test": TEST},
    "other words": {"dev.txt": TRAIN, "eval.txt": TEST},
    "in JSON": {"train_test_split/shuffled_train_file_list.json": "[]"},
}


@pytest.mark.parametrize("kind", UNUSED)
def test_lists_that_are_not_used_are_named(tmp_path, kind):
    splits, notes = listed(write(tmp_path, UNUSED[kind]))
    assert set(splits.values()) == {None}
    names = sorted(UNUSED[kind])
    told = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    assert notes == [f"{told}: named like a list of a split, but not read as one"]


def test_lists_beside_folders_of_splits_are_named(tmp_path):
    names = [f"{label}/{split}/a" for label in ("bed", "car") for split in ("Training", "TEST")]
    splits, notes = listed(write(tmp_path, {"train.txt": "bed/Training/a\n"}, names))
    assert set(splits.values()) == {"train", "test"}
    assert notes == ["train.txt: named like a list of a split, but not read as one"]


@pytest.mark.parametrize("word", ["val", "Valid", "validation", "VALIDATION"])
def test_folders_for_validation(tmp_path, word):
    names = [f"{label}/{split}/a" for label in ("bed", "car") for split in ("train", word, "test")]
    splits, _ = listed(write(tmp_path, {}, names))
    assert [splits[name] for name in names] == ["train", "val", "test"] * 2


def test_a_class_may_be_called_like_a_split(tmp_path):
    listing = find_shapes(write(tmp_path, {}, ["train/a", "bus/b", "test/c"])).listing
    assert [(s.label, s.split) for s in listing.sources] == [
        *(("bus", None), ("test", None), ("train", None))
    ]


@pytest.mark.parametrize("word", ["eval", "holdout"])
def test_other_folders_are_refused(tmp_path, word):
    names = [f"{label}/{split}/a" for label in ("bed", "car") for split in ("train", word)]
    with pytest.raises(ShapeError, match="the layouts are"):
        find_shapes(write(tmp_path, {}, names))


@pytest.mark.parametrize(("ours", "theirs"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_lists_and_files_in_two_forms_of_unicode(tmp_path, ours, theirs):
    names = [unicodedata.normalize(ours, f"{label}/ü{n}") for label in ("ä", "ö") for n in (0, 1)]
    lists = {"train.txt": f"{names[0]}\n{names[2]}", "test.txt": f"{names[1]}.off\n{names[3]}"}
    lists = {name: unicodedata.normalize(theirs, text) for name, text in lists.items()}
    splits, _ = listed(write(tmp_path, lists, names))
    assert splits == {"ä/ü0": "train", "ä/ü1": "test", "ö/ü0": "train", "ö/ü1": "test"}


def test_other_files_are_counted_by_kind(tmp_path):
    others = {"bed/a.XYZ": XYZ, "bed/b.xyz": XYZ, "chair/a.jpg": "", "chair/list": ""}
    litter = {"bed/.DS_Store": "", "Thumbs.db": "", "__MACOSX/bed/._a.off": "", "README.md": ""}
    _, notes = listed(write(tmp_path, others | litter | {"bed/a.mtl": "", "LICENSE": ""}))
    text = "not read: 1 .jpg, 2 .xyz, 1 without a suffix"
    assert notes == [f"{text}; clouds:PATH reads point clouds, into another store"]
    assert listed(write(tmp_path, ALL))[1] == notes


def test_scans_in_bin_are_counted_and_buffers_are_not(tmp_path):
    folder = write(tmp_path, {"bed/a.bin": "", "bed/b.bin": ""})
    assert listed(folder)[1] == ["not read: 2 .bin"]
    assert find_files([folder])[1] == "not read: 2 .bin"
    (folder / "bed" / "c.gltf").write_text("")
    assert listed(folder)[1] == []
    assert find_files([folder])[1] == ""


def test_meshes_beside_clouds(tmp_path):
    files = {"bed/a.xyz": XYZ, "chair/a.xyz": XYZ}
    splits, notes = listed(f"clouds:{write(tmp_path, files)}")
    assert splits == {"bed/a": None, "chair/a": None}
    assert notes == ["not read: 6 .off; meshes:PATH reads meshes, into another store"]


def test_lists_of_clouds_in_tables(tmp_path):
    files = {f"{name}.txt": XYZ for name in NAMES} | renamed(lambda s: f"splits/{s.title()}.txt")
    assert listed(f"clouds:{write(tmp_path, files, ())}")[0] == WANTED


def test_a_cloud_may_be_called_like_a_split(tmp_path):
    files = {f"{label}/{split}_1.txt": XYZ for label in ("a", "b") for split in ("train", "test")}
    assert set(listed(f"clouds:{write(tmp_path, files, ())}")[0]) == {
        *("a/test_1", "a/train_1", "b/test_1", "b/train_1")
    }


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"a/0.txt": XYZ, "b/1.csv": XYZ},
            r"if its \.csv and \.txt files are point clouds, give c",
        ),
        ({"main_split/training_objectdataset.h5": ""}, "give scanobjectnn-obj-bg:"),
        ({"main_split_nobg/test_objectdataset.h5": ""}, "give scanobjectnn-obj-only:"),
        ({"ply_data_train0.h5": "", "x.txt": ""}, "give modelnet40:"),
        ({"modelnet40_train.txt": "", "bed/bed_0001.txt": XYZ}, "give modelnet40:"),
        ({"data_gaussian_1.npy": "", "label.npy": ""}, "give modelnet40c:"),
        (
            {"ply_data_train0.h5": "", "catid_partid_to_overallid.json": ""},
            r"holds no mesh or point cloud, but 1 \.h5, 1 \.json",
        ),
        ({"ply_data_train0.h5": "", "ply_data_val0.h5": ""}, r"but 2 \.h5; data sets"),
        (
            {f"main_split{m}/test_objectdataset.h5": "" for m in ("", "_nobg")},
            "looks like scanobjectnn-obj-bg or scanobjectnn-obj-only; give",
        ),
        ({"a.zip": "", "b.tar": ""}, "unpack what is packed"),
        (
            {f"0{n}/1a/models/model_normalized.obj": "" for n in (2691156, 2747177)},
            "too deep.*; it looks .* shapenetcore:",
        ),
        ({"training_objectdataset.h5": "", "a.jpg": ""}, r"but 1 \.h5, 1 \.jpg; data sets"),
    ],
)
def test_what_to_give_instead(tmp_path, files, words):
    with pytest.raises(ShapeError, match=words):
        find_shapes(write(tmp_path, files, ()))
