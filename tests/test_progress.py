"""What the progress bar counts."""

import time
from threading import Event

from pointmcd import progress
from pointmcd.preparation import prepare as module
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.preparation.shards import write_shard
from pointmcd.progress import console, progress_bar, repeating


def test_texts_cannot_command_the_terminal(capsys):
    console.print("a\x1b[2Jb \u2028c\n[d] é")
    assert capsys.readouterr().err == "a?[2Jb ?c\n[d] é\n"


def test_a_log_gets_lines_while_the_work_goes_on(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.01)
    with progress_bar() as bar:
        task = bar.add_task("shapes", total=7, completed=0, note="")
        bar.update(task, completed=3, note="loss [0.5]")
        time.sleep(0.1)
        first = capsys.readouterr().err
        time.sleep(0.1)
        assert capsys.readouterr().err == ""  # nothing new
        bar.update(task, completed=7)
    lines = first.splitlines()
    assert lines[-1].startswith("shapes 3/7 after 0:00:0")
    assert lines[-1].endswith("loss [0.5]")
    assert "7/7" in capsys.readouterr().err


def test_no_lines_where_no_bar_is_shown(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.01)
    with progress_bar(shown=False) as bar:
        bar.add_task("shapes", total=None, note="")
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_calls_are_repeated_until_the_context_is_left():
    thrice, calls = Event(), []

    def call():
        calls.append(None)
        if len(calls) == 3:
            thrice.set()

    with repeating(call, seconds=0.001):
        assert thrice.wait(10)
    ended = len(calls)
    time.sleep(0.02)
    assert len(calls) == ended


def test_shapes_of_a_shard_that_is_being_written_count(few_meshes, quick, tmp_path, monkeypatch):
    counts = []
    shards = tmp_path / "store" / "shards"

    def strip(path, pictures):
        counts.append(module._count_unfinished(shards))
        written(path, pictures)

    written = write_shard.__globals__["_write_strip"]
    monkeypatch.setitem(write_shard.__globals__, "_write_strip", strip)
    prepare(PrepareConfig(few_meshes, tmp_path / "store", **{**quick, "shard_size": 5}))
    assert counts == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert module._count_unfinished(shards) == 0
    assert module._count_unfinished(tmp_path / "absent") == 0
