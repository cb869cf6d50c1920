"""What the progress bar counts."""

import time
from threading import Event

from pointmcd.preparation import prepare as module
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.preparation.shards import write_shard
from pointmcd.progress import console, repeating


def test_texts_cannot_command_the_terminal(capsys):
    console.print("a\x1b[2Jb \u2028c\n[d] é")
    assert capsys.readouterr().err == "a?[2Jb ?c\n[d] é\n"


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
