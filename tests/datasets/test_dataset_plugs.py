"""Data sets as plugs: one from a file outside the package, its options, and the checker."""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from toy_dataset import Reels, write_reels

from pointmcd.data.store import Store
from pointmcd.datasets.base import DataSet, Layout, register_dataset
from pointmcd.datasets.check import check_dataset
from pointmcd.datasets.folder import Meshes, list_shapes
from pointmcd.datasets.furniture import furniture10
from pointmcd.datasets.registry import find_shapes, get_data_set, list_data_sets
from pointmcd.datasets.sources import Listing
from pointmcd.errors import ConfigError, ShapeError


@pytest.fixture
def reels(tmp_path):
    return write_reels(tmp_path / "reels")


@pytest.mark.parametrize("name", ["reels", "toy_dataset:Reels"])
def test_a_toy_set_is_prepared_by_name_and_by_where_it_is(reels, tmp_path, small_rig, cli, name):
    options = ("--points", 16, "--rig", small_rig, "--workers", 2)
    status, out, err = cli("prepare", f"{name}:{reels}", tmp_path / "store", *options)
    assert (status, out.strip()) == (
        0,
        f"{tmp_path / 'store'}: 6 shapes (clouds of 40 points), 0 skipped",
    )
    assert "note: reels: 2 test shapes found, officially (raw) 3" in err
    store = Store(tmp_path / "store")
    assert store.classes == ["flat", "tall"]
    assert Counter(record.split for record in store.shapes)["test"] == 2


@pytest.mark.slow
def test_it_is_found_where_the_command_runs(reels, tmp_path, small_rig):
    """In a process of its own, whose workers must find the file too."""
    code = Path(__file__).parents[1] / "toy_dataset.py"
    (tmp_path / "my_reels.py").write_bytes(code.read_bytes())
    command = [sys.executable, "-m", "pointmcd", "prepare", f"my_reels:Reels:{reels}", "store"]
    command += ["--points", "16", "--rig", str(small_rig), "--workers", "2", "--shard-size", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (
        0,
        "store: 6 shapes (clouds of 40 points), 0 skipped",
    ), done.stderr


def test_options_follow_the_path_and_are_recorded(reels):
    found = find_shapes(f"reels:{reels},step=4")
    assert found.text == f"reels:{reels},step=4"
    assert found.up == "z"
    assert len(found.listing.sources[0].read_cloud().points) == 10
    assert find_shapes(f"reels:{reels}").text == f"reels:{reels}"
    with pytest.raises(ConfigError, match="data set reels: option steps is unknown; use step"):
        find_shapes(f"reels:{reels},steps=4")
    with pytest.raises(ConfigError, match=r"data set reels: invalid literal for int\(\)"):
        find_shapes(f"reels:{reels},step=four")


def test_a_path_that_looks_like_a_name_or_an_option_is_a_path(reels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("toy_dataset:Reels:x", "set,step=2"):
        folder = Path(name)
        folder.mkdir()
        (folder / "a.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
        assert [shape.name for shape in find_shapes(name).listing.sources] == ["a"]
    reels.rename("half:way")
    assert len(find_shapes("reels:half:way").listing.sources) == 6
    assert len(find_shapes("toy_dataset:Reels:half:way").listing.sources) == 6


def test_what_is_no_data_set_or_not_there_is_one_line(reels):
    with pytest.raises(ConfigError, match="toy_dataset:Reel: is not a subclass of"):
        find_shapes(f"toy_dataset:Reel:{reels}")
    with pytest.raises(ConfigError, match="data set absent_file:Reels: cannot be imported"):
        find_shapes(f"absent_file:Reels:{reels}")
    with pytest.raises(ShapeError, match=r"nothing of reels in a known layout \(raw\); write them"):
        find_shapes(f"reels:{furniture10()}")


def test_a_set_without_a_home_is_none_of_the_public_ones():
    assert get_data_set("reels") is Reels
    assert not {"reels", "clouds", "meshes"} & set(list_data_sets())


@pytest.mark.parametrize("name", ["C", "My-Scans", "a:b", ""])
def test_names_that_cannot_stand_before_a_path(name):
    with pytest.raises(ConfigError, match="must be lower case"):
        register_dataset(name)(type("Set", (DataSet,), {}))


# The checker


@pytest.mark.parametrize("given", [Reels, Reels(), Reels(step=3)])
def test_a_good_set_passes(reels, given):
    check_dataset(given, reels)


def test_the_embedded_set_passes():
    check_dataset(Meshes, furniture10())


class Good(DataSet):
    title = "Good"
    licence = "CC0-1.0"
    layouts = (Layout("off", lambda tree: Listing(list_shapes(tree))),)


def broken(**facts):
    return type("Broken", (Good,), facts)


def listing(change):
    """A set whose list of shapes is changed."""
    lister = lambda tree: change(list_shapes(tree))  # noqa: E731
    return broken(layouts=(Layout("off", lister),))


def first_as(**changes):
    return listing(lambda shapes: Listing([replace(shapes[0], **changes), *shapes[1:]]))


@dataclass
class Demanding(Good):
    seed: int


def boom(*_):
    raise KeyError("no such key")


class Unstable(Good):
    count = 0

    def list_shapes(self, tree, layout):
        Unstable.count += 1
        return Listing(list_shapes(tree)[Unstable.count :])


BREACHES = {
    "no class of ours": (dict, "is not a subclass of"),
    "option": (Demanding, "option seed has no default"),
    "title": (broken(title=""), "title is ''; make it one line"),
    "licence": (broken(licence="one\ntwo"), "licence is 'one"),
    "no layouts": (broken(layouts=()), "layouts must be a tuple"),
    "one layout": (
        broken(layouts=Good.layouts[0]),
        r"a tuple of .*, such as \(Layout\(\.\.\.\),\)",
    ),
    "same layouts": (broken(layouts=Good.layouts * 2), "two layouts have the same name"),
    "splits": (broken(layouts=(Layout("a", boom, splits={"dev": 3}),)), "split 'dev'; use"),
    "up": (broken(layouts=(Layout("a", boom, up="Z"),)), "up is 'Z'; use x, y, z"),
    "none matches": (broken(layouts=(Layout("a", boom, lambda _: False),)), r"layouts \(a\) match"),
    "matching fails": (broken(layouts=(Layout("a", boom, boom),)), "layout fails: KeyError: 'no s"),
    "listing fails": (broken(layouts=(Layout("a", boom),)), "list_shapes fails: KeyError"),
    "no listing": (listing(list), "returns list, not Listing"),
    "empty": (listing(lambda shapes: Listing([])), "lists no shape"),
    "no shapes": (listing(lambda shapes: Listing(["a"])), "lists str, not ShapeSource"),
    "absolute name": (first_as(name="/a"), "the name must be like CLASS/NAME"),
    "backslash": (first_as(name="a\\b"), "the name must be like CLASS/NAME"),
    "label": (first_as(label=3), "class 3; make it a text"),
    "split": (first_as(split="dev"), "split 'dev'; use one of"),
    "split for some": (first_as(split=None), "has no split, though others"),
    "twice": (first_as(name=list_shapes(furniture10())[1].name), "the name occurs twice"),
    "labels": (first_as(labels=list_shapes(furniture10())[0].file), "no names of parts"),
    "parts": (first_as(parts=("a",)), "other parts than the class"),
    "pickle": (first_as(label=type("Text", (str,), {})("bed")), "cannot be pickled"),
    "order": (Unstable, "a second listing differs"),
    "reading": (
        first_as(file=replace(list_shapes(furniture10())[0].file, member="none.off")),
        "reading bed/.* fails: ShapeError",
    ),
}


@pytest.mark.parametrize("kind", BREACHES)
def test_the_first_rule_broken_is_named_in_a_line(kind):
    given, words = BREACHES[kind]
    with pytest.raises(ConfigError, match=words) as caught:
        check_dataset(given, furniture10())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("data set ")


def test_a_good_base_for_the_breaches():
    check_dataset(Good, furniture10())


def test_points_that_are_not_finite_are_named(reels):
    (reels / "flat-0-train.reel").write_bytes(np.full((4, 3), np.nan, "<f4").tobytes())
    with pytest.raises(ConfigError, match=r"reading flat/0 fails: ShapeError: .* NaN"):
        check_dataset(Reels, reels)


def test_the_example_of_the_docs_is_a_good_set(tmp_path, monkeypatch, encode_mesh):
    text = (Path(__file__).parents[2] / "docs" / "data-sets.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "doc_sets.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    triangle = encode_mesh([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], "stl")
    for name in ("chair_017", "table_003"):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / f"{name}.stl").write_bytes(triangle)
    source = f"doc_sets:Scans:{tmp_path / 'files'}"
    assert [shape.label for shape in find_shapes(source).listing.sources] == ["chair", "table"]
    check_dataset(get_data_set("doc_sets:Scans"), tmp_path / "files")
