"""What the progress bar counts."""

import re
import time
from functools import partial
from io import StringIO
from threading import Event

import pytest
from rich.console import Console

from pointmcd import progress
from pointmcd.preparation import prepare as module
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.preparation.shards import write_shard
from pointmcd.progress import Estimate, console, fitting, progress_bar, repeating
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train


def test_within_a_command_a_note_is_printed_once(capsys):
    with progress.notes_once():
        for number in range(3):
            progress.note("a")
            progress.note(f"{number} steps are few", kind="few")
    progress.note("a")
    progress.note("a")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["note: a", "note: 0 steps are few", "note: a", "note: a"]


def test_texts_cannot_command_the_terminal(capsys):
    console.print("a\x1b[2Jb \u2028c\n[d] é")
    assert capsys.readouterr().err == "a?[2Jb ?c\n[d] é\n"


@pytest.mark.parametrize("width", [80, 100, 160])
def test_times_are_whole_on_any_terminal(monkeypatch, width):
    text = StringIO()
    monkeypatch.setattr(
        progress,
        "console",
        progress._Messages(file=text, force_terminal=True, width=width, legacy_windows=False),
    )
    with progress_bar() as bar:
        task = bar.add_task("scans-my_student.py-Tiny-distilled-s0-0.2", total=400, note="")
        bar.update(task, completed=38, note="loss 1.023  validation 41.9%")
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue()).splitlines()[-1].strip()
    assert len(line) <= width
    assert re.fullmatch(
        r"scans.+ 38/400 0:00:0\d left -:--:-- loss 1\.023  validation 41\.9%", line
    )


@pytest.mark.parametrize(
    ("terminal", "name", "told"),
    [
        (True, "furniture-pointnet-distilled-s12", "…illed-s12"),
        (True, "mine-s2", "mine-s2"),
        (False, "furniture-pointnet-distilled-s12", "furniture-pointnet-distilled-s12"),
    ],
)
def test_a_name_in_a_narrow_terminal_keeps_its_end(monkeypatch, terminal, name, told):
    stand_in = Console(file=StringIO(), force_terminal=terminal, width=80, legacy_windows=False)
    monkeypatch.setattr(progress, "console", stand_in)
    assert fitting(name) == told


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


def test_the_last_line_of_a_log_has_the_whole_name(capsys):
    name = "runs/a-long-folder/store-segmentation-pointnet-distilled-0.1-s0"
    with progress_bar() as bar:
        bar.add_task(name, total=4, completed=4, note="loss 0.5")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{name} 4/4 after 0:00:00 loss 0.5"


def test_a_notebook_without_widgets_gets_lines_too(monkeypatch):
    said = []
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.01)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    monkeypatch.setattr(progress.console, "is_jupyter", True)
    monkeypatch.setattr(progress.console, "print", lambda text, **_: said.append(text))
    with progress_bar() as bar:
        task = bar.add_task("shapes", total=7, completed=0, note="")
        bar.update(task, completed=3)
        time.sleep(0.1)
    assert said[-1].startswith("shapes 3/7 after ")


def test_no_lines_where_no_bar_is_shown(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.01)
    with progress_bar(shown=False) as bar:
        bar.add_task("shapes", total=None, note="")
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


@pytest.fixture
def clock(monkeypatch):
    """A list with the time in seconds, which tests set on."""
    now = [100.0]
    monkeypatch.setattr(progress, "perf_counter", lambda: now[0])
    return now


def said(estimate, clock, times, capsys):
    """What an estimate says as steps take these seconds, and at which step."""
    for number, seconds in enumerate(times, 1):
        clock[0] += seconds
        estimate.reach(number, ", validation not counted")
        if text := capsys.readouterr().err:
            return number, text
    return None


def test_an_estimate_is_of_measured_steps(clock, capsys):
    times = [40.0, 1.0, 1.1, 1.08, 9.0]  # the first step, in which code is compiled, is left out
    line = "about 12 minutes: 680 steps, 1.06 s each (measured on 3), validation not counted\n"
    estimate = Estimate(680)
    assert said(estimate, clock, times, capsys) == (4, line)
    assert said(estimate, clock, times, capsys) is None  # once


@pytest.mark.parametrize(
    ("total", "options", "times", "number", "text"),
    [
        (90_000, {}, [0.25] * 20, 5, "about 6.2 hours: 90,000 steps, 0.25 s each (measured on 4)"),
        (9, {}, [30.0] * 9, 2, "about 4 minutes: 9 steps, 30 s each (measured on 1)"),
        (70, {"least": 5}, [1.0] * 9, 6, "about 70 seconds: 70 steps, 1 s each (measured on 5)"),
        (70, {"skipped": 4, "steps": "shapes"}, [1.0] * 9, 7, "about 70 seconds: 70 shapes, 1 s"),
        (500_000, {}, [1.0] * 9, 4, "about 5.8 days: 500,000 steps"),
    ],
)
def test_slow_and_quick_steps(clock, capsys, total, options, times, number, text):
    found = said(Estimate(total, **options), clock, times, capsys)
    assert found is not None
    assert found[0] == number
    assert found[1].startswith(text)


def test_nothing_is_said_of_short_work(clock, capsys):
    assert said(Estimate(50), clock, [1.0] * 50, capsys) is None
    assert said(Estimate(500, shown=False), clock, [1.0] * 50, capsys) is None


def test_a_device_is_waited_for_when_time_is_taken(clock):
    waits = []
    estimate = Estimate(680, wait=lambda: waits.append(clock[0]))
    for number in range(1, 7):
        clock[0] += 1
        estimate.reach(number)
    assert waits == [101, 104]


def test_a_training_says_its_time_within_its_first_steps(tiny_store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LEAST_SECONDS", 0.0)
    config = TrainConfig(
        tiny_store,
        tmp_path / "run",
        student="tiny_student:TinyStudent",
        teacher=None,
        epochs=3,
        points=32,
        batch_size=2,
        device="cpu",
    )
    train(config)
    (line,) = (one for one in capsys.readouterr().err.splitlines() if one.startswith("about"))
    pattern = (
        r"about \d+ seconds: 12 steps, [\d.e-]+ s each \(measured on 3\), validation not counted"
    )
    assert re.fullmatch(pattern, line)


def test_a_preparation_and_a_teacher_say_their_times(
    few_meshes, quick, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(progress, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(module, "_MEASURED", 1)
    monkeypatch.setattr(module, "repeating", partial(repeating, seconds=0.001))
    prepare(PrepareConfig(few_meshes, tmp_path / "store", **quick))
    shapes = r"about \d+ (seconds|minutes): 14 shapes, "
    assert re.search(shapes, capsys.readouterr().err)
    teach(TeachConfig(tmp_path / "store", epochs=4, batch_size=2, device="cpu"))
    told = capsys.readouterr().err
    assert re.search(shapes, told)
    assert re.search(r"about \d+ seconds: \d+ steps, .* s each \(measured on 3\)\n", told)


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
