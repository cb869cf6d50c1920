import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pointmcd.errors import PointMCDError
from pointmcd.files import (
    is_temporary,
    page_file,
    read_json,
    remove,
    remove_stale,
    replacing,
    write_json,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["file"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_an_exception_passes_and_leaves_the_old_file_alone(tmp_path, error, folder):
    path = tmp_path / "file"
    path.write_text("old")

    def write():
        with replacing(path) as temporary:
            if folder:
                temporary.mkdir()
                (temporary / "part").write_text("half")
            else:
                temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_folder_is_replaced_with_all_that_it_held(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("old")
    with replacing(path) as temporary:
        (temporary / "deep").mkdir(parents=True)
        (temporary / "deep" / "new").write_text("new")
        assert names(path) == ["old"]
    assert names(path) == ["deep"]
    assert (path / "deep" / "new").read_text() == "new"
    assert names(tmp_path) == ["folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")

    def write():
        with replacing(path) as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_text("anything")

    with pytest.raises(PointMCDError) as caught:
        write()
    assert str(caught.value).startswith(f"{path}: cannot be written: {os.strerror(errno.ENOSPC)}")
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.json"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PointMCDError, match=r"file/child\.json: cannot be written"):
        write_json(tmp_path / "file" / "child.json", 1)


def test_leftovers_under_our_own_process_number_do_not_disturb(tmp_path):
    with pytest.raises(RuntimeError), replacing(tmp_path / "folder") as left:
        raise RuntimeError
    left.mkdir()
    (left / "half").write_text("half")
    with replacing(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "whole").write_text("whole")
    assert names(tmp_path / "folder") == ["whole"]


def test_stale_leftovers_of_the_dead_are_removed_and_nothing_else(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".a.json.{ended.pid}.tmp").write_text("half")
    dead = tmp_path / f".folder.{ended.pid}.tmp"
    (dead / "deep").mkdir(parents=True)
    kept = [f".b.{os.getppid()}.tmp", ".keep", ".mine.tmp", f"a.{ended.pid}.tmp"]
    for name in kept:
        (tmp_path / name).touch()
    remove_stale(tmp_path)
    assert names(tmp_path) == sorted(kept)
    assert [is_temporary(tmp_path / name) for name in kept] == [True, False, False, False]
    remove_stale(tmp_path / "absent")


def test_temporaries_of_this_machine_are_known_by_their_process(tmp_path):
    with replacing(tmp_path / "file.json") as live:
        live.touch()
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        dead = live.with_name(live.name.replace(f".{os.getpid()}@", f".{ended.pid}@"))
        dead.touch()
        remove_stale(tmp_path)
        assert names(tmp_path) == [live.name]
        assert is_temporary(live)


def test_temporaries_of_another_machine_stay_for_a_day(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    new, old = (tmp_path / f".{name}.{ended.pid}@else-where.tmp" for name in ("new", "old"))
    new.touch()
    old.mkdir()
    (old / "half").write_text("half")
    os.utime(old, (0, time.time() - 25 * 3600))
    remove_stale(tmp_path)
    assert names(tmp_path) == [new.name]
    assert is_temporary(new)


def test_remove_takes_files_folders_and_what_is_not_there(tmp_path):
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("folder", "file", "absent"):
        remove(tmp_path / name)
    assert names(tmp_path) == []


def test_json_goes_there_and_back(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"umlaut": "ä"}}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    assert (tmp_path / "value.json").read_text(encoding="utf-8").endswith("}\n")


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "value.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "value.json", object())
    assert json.loads((tmp_path / "value.json").read_text()) == 1
    assert names(tmp_path) == ["value.json"]


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe{}", None, "folder"])
def test_unreadable_json_is_named(tmp_path, content):
    path = tmp_path / "value.json"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(PointMCDError, match=r"value\.json: (does not exist|is not readable JSON)"):
        read_json(path)


@pytest.mark.parametrize("name", ["mine", "mine/..", "."])
def test_a_file_never_takes_the_place_of_a_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "chair.obj").write_text("v 0 0 0\n")
    with pytest.raises(PointMCDError, match="is a folder; name a file"), replacing(name) as file:
        file.write_text("a,b\n")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "chair.obj"]


@pytest.mark.parametrize("out", ["", "maps", "maps/"])
def test_a_page_goes_into_a_folder_that_is_not_there_yet(tmp_path, out):
    assert page_file(tmp_path / out, "map.html") == tmp_path / out / "map.html"
    assert page_file(tmp_path / out / "a.htm", "map.html") == tmp_path / out / "a.htm"
