"""ShapeNetCore in both versions, and ShapeNetPart by name."""

import shutil

import pytest
from dataset_layouts import write_shapenetcore
from part_layouts import NORMAL, PLAIN, write_core, write_layout, zipped

from pointmcd.datasets.folder import load_shape
from pointmcd.datasets.registry import find_shapes
from pointmcd.errors import ShapeError


@pytest.fixture(scope="module", params=[1, 2])
def core(request, furniture_root, tmp_path_factory):
    return write_shapenetcore(furniture_root, tmp_path_factory.mktemp("core"), request.param)


@pytest.fixture
def copy(core, tmp_path):
    return shutil.copytree(core, tmp_path / core.name)


@pytest.mark.parametrize("as_zip", [False, True])
def test_meshes_classes_and_splits(core, as_zip):
    shapes = find_shapes(f"shapenetcore:{zipped(core) if as_zip else core}").listing.sources
    assert [(s.name, s.split) for s in shapes] == [
        (f"{label}/{row}{synset}a1b2c3", split)
        for label, synset in (("bed", "02818832"), ("chair", "03001627"))
        for row, split in enumerate(("train", "val", "test"))
    ]
    assert all(len(load_shape(shape).faces) > 50 for shape in shapes)


def test_the_number_of_classes_is_a_note_and_no_split_is_counted(core):
    notes = [note["note"] for note in find_shapes(f"shapenetcore:{core}").listing.notes]
    assert notes == [f"2 classes found, officially ({core.name[-2:]}) 55"]


def test_without_lists_classes_are_numbers_and_splits_are_none(copy):
    (copy / "all.csv").unlink()
    (copy / "taxonomy.json").unlink()
    shapes = find_shapes(f"shapenetcore:{copy}").listing.sources
    assert {(s.label, s.split) for s in shapes} == {("02818832", None), ("03001627", None)}


def test_models_without_a_line_and_lines_without_a_model(copy):
    lines = (copy / "all.csv").read_text().splitlines()
    lines[1] = "000099,2818832,2818832,gone,train"  # a spreadsheet has eaten the zero
    (copy / "all.csv").write_text("\n".join(lines))
    listing = find_shapes(f"shapenetcore:{copy}").listing
    assert listing.sources[0].fault == "is not in all.csv"
    assert [shape.fault for shape in listing.sources[1:]] == [None] * 5
    assert listing.notes[0]["note"] == "train list: 1 without a file, like 02818832/gone"


def test_two_synsets_of_one_word_stay_two_classes(copy):
    text = (copy / "taxonomy.json").read_text().replace('"chair"', '"bed,berth"')
    (copy / "taxonomy.json").write_text(text)
    labels = {s.label for s in find_shapes(f"shapenetcore:{copy}").listing.sources}
    assert labels == {"bed", "bed_03001627"}


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("all.csv", "id,synsetId,modelId\n1,02818832,x\n", "line 2 must have synsetId"),
        ("all.csv", '"' + "x" * 200_000, "cannot be read as csv"),
        ("all.csv", "id,synsetId,modelId,split\n1,02818832,x,maybe\n", "line 2 must have"),
        ("taxonomy.json", "{}x", "is not a list"),
        ("taxonomy.json", '[{"synset": 1}]', "is not a list"),
    ],
)
def test_damaged_lists_are_one_line(copy, file, content, words):
    (copy / file).write_text(content)
    with pytest.raises(ShapeError, match=words) as caught:
        find_shapes(f"shapenetcore:{copy}")
    assert str(caught.value).startswith(f"{copy / file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", [NORMAL, PLAIN])
def test_shapenetpart_by_name(furniture_root, tmp_path, layout, monkeypatch):
    root = write_layout(furniture_root, tmp_path, layout, 50)
    found = find_shapes(f"shapenetpart:{root}")
    plain = find_shapes(root)
    assert found.listing.sources == plain.listing.sources
    short = "v0_normal" if layout == NORMAL else "v0"
    assert [note["note"] for note in found.listing.notes] == [
        f"4 train shapes found, officially ({short}) 12137",
        f"1 val shapes found, officially ({short}) 1870",
        f"1 test shapes found, officially ({short}) 2874",
        f"2 classes found, officially ({short}) 16",
    ]
    core = write_core(furniture_root, tmp_path / "elsewhere", "v1")
    shapes = find_shapes(f"shapenetpart:{root},shapenetcore={core}").listing.sources
    assert all(shape.mesh is not None for shape in shapes)
    monkeypatch.chdir(core.parent)
    text = find_shapes(f"{root},shapenetcore={core.name}").text
    assert text == f"{root},shapenetcore={core}"
