"""Plugs of every kind are found in the same way."""

import sys
from importlib.metadata import EntryPoint

import pytest

from pointmcd import plugs as module
from pointmcd.errors import ConfigError
from pointmcd.plugs import Plugs


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two plugs, one in a package below it, and a file of a user's own."""
    inner = tmp_path / "kinds_of_x" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "kinds_of_x" / "__init__.py").write_text(
        "from pointmcd.plugs import Plugs\nXS = Plugs('x', 'kinds_of_x')\n"
    )
    line = "from kinds_of_x import XS\n@XS.register('{0}')\nclass Made:\n    pass\n"
    (tmp_path / "kinds_of_x" / "one.py").write_text(line.format("one"))
    (inner / "__init__.py").write_text("")
    (inner / "_helper.py").write_text("raise AssertionError('nobody asked for it')\n")
    (inner / "two.py").write_text(line.format("two"))
    (tmp_path / "own_x.py").write_text("class Mine:\n    pass\n")
    (tmp_path / "broken_x.py").write_text("raise ValueError('no good\\nat all')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [n for n in sys.modules if n.split(".")[0] in ("kinds_of_x", "own_x")]:
        del sys.modules[name]


@pytest.fixture
def xs(package) -> Plugs:
    from kinds_of_x import XS

    return XS


def test_own_plugs_are_found_in_every_module_of_the_package(xs):
    assert xs.names() == ["one", "two"]
    assert xs.get("two").__name__ == "Made"


def test_a_plug_may_be_named_by_its_place(xs):
    assert xs.get("own_x:Mine").__name__ == "Mine"
    assert xs.names() == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tow", r"x tow: unknown; did you mean two\? Use one of"),
        ("zebra", "x zebra: unknown; use one of one, two, or package.module:Name or FILE.py:Name"),
        ("own_x:Absent", "x own_x:Absent: cannot be imported"),
        ("absent_x:Mine", "x absent_x:Mine: cannot be imported"),
        ("broken_x:Mine", "x broken_x:Mine: cannot be imported: no good$"),
        ("", "x : unknown"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(xs, name, text):
    with pytest.raises(ConfigError, match=text) as told:
        xs.get(name)
    assert "\n" not in str(told.value)


def test_a_name_is_taken_once(xs):
    xs.names()
    with pytest.raises(ConfigError, match="x one: the name is taken already"):
        xs.register("one")(object())


def test_a_module_that_is_imported_again_registers_again(xs):
    import importlib

    xs.names()
    importlib.reload(sys.modules["kinds_of_x.one"])
    assert xs.get("one") is sys.modules["kinds_of_x.one"].Made


def test_entry_points_of_other_packages(xs, monkeypatch):
    points = [
        EntryPoint("mine", "own_x:Mine", "kinds_of_x"),
        EntryPoint("broken", "broken_x:Mine", "kinds_of_x"),
    ]
    monkeypatch.setattr(module, "entry_points", lambda group: points if group == xs.group else [])
    assert xs.names() == ["broken", "mine", "one", "two"]
    assert xs.get("mine").__name__ == "Mine"
    with pytest.raises(ConfigError, match=r"x broken: broken_x:Mine cannot be imported: no good$"):
        xs.get("broken")


def test_a_plug_may_be_in_a_file(xs, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "helper_of_x.py").write_text("class Base:\n    pass\n")
    (folder / "file_x.py").write_text(
        "from helper_of_x import Base\nclass Outer:\n    class Mine(Base):\n        pass\n"
    )
    found = xs.get(f"{folder}/file_x.py:Outer.Mine")
    assert found.__name__ == "Mine"
    monkeypatch.chdir(folder)
    assert xs.get("./file_x.py:Outer.Mine") is found  # one file is one module
    assert str(folder) not in sys.path
    del sys.modules["helper_of_x"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("absent.py:Mine", "cannot be imported: .*absent.py: no such file"),
        ("own_x.py:Absent", "cannot be imported: module .* has no attribute 'Absent'"),
        ("broken_x.py:Mine", "cannot be imported: no good$"),
    ],
)
def test_faults_of_files_are_told_in_a_line(xs, tmp_path, monkeypatch, name, text):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # a file that fails is not kept half made
        with pytest.raises(ConfigError, match=text):
            xs.get(name)
