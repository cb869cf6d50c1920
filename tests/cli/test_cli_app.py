"""The command line as a whole: help, usage errors, user errors, pipes, completion."""

import importlib
import os
import shutil
import subprocess
import sys
from itertools import pairwise

import pytest

import pointmcd

COMMANDS = ("download", "prepare", "label", "teach", "teachers", "train", "evaluate", "compare")
COMMANDS += ("probe", "embed", "similar", "map", "predict", "report", "view", "export", "demo")
COMMANDS += ("doctor",)
SLOW = {"torch", "numba", "trimesh", "scipy", "sklearn", "matplotlib", "embreex", "joblib"}
TRAIN = importlib.import_module("pointmcd.training.train")


@pytest.fixture
def misused(cli):
    """A caller that expects one line of error and status 2; it returns the line."""

    def call(*arguments):
        status, out, err = cli(*arguments)
        assert (status, out) == (2, "")
        (line,) = err.splitlines()
        return line

    return call


def test_help_names_every_command(cli):
    status, out, _ = cli("--help")
    assert status == 0
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, cli):
    status, out, err = cli(command, "--help")
    assert (status, err) == (0, "")
    assert f"pointmcd {command}" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_descriptions_of_options_are_wrapped_by_the_help_alone(command, cli, monkeypatch):
    """A line of a description that is left short is the last one, or the next word is longer."""
    monkeypatch.setenv("COLUMNS", "100")
    # The frame is of blanks where the output cannot show another.
    rows = [row[1:-1] for row in cli(command, "--help")[1].splitlines() if row[:1] in "│ "]
    assert len(rows) > 5
    for row, following in pairwise(rows):
        start = len(following) - len(following.lstrip())
        if start >= 12 and row[start - 2 : start] == "  " and row[start:].strip():
            word = following.split()[0]
            assert len(row.rstrip()) + 1 + len(word) > len(row) - 2, row
    assert "default: None" not in " ".join(" ".join(rows).split())


@pytest.mark.parametrize("command", [[], ["prepare"], ["train"], ["predict"]])
def test_help_is_fast_because_it_imports_little(command):
    code = f"import sys\nfrom pointmcd.cli import main\ntry:\n    main([*{command}, '--help'])\n"
    code += "except SystemExit:\n    print(*sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "pointmcd.cli.app" in imported
    assert imported.isdisjoint(SLOW)


def test_version(cli):
    assert cli("--version") == (0, f"pointmcd {pointmcd.__version__}\n", "")


def test_a_mistyped_command_is_told_the_right_one(misused):
    line = misused("trian", "store")
    assert line == "pointmcd: trian: no such command; did you mean pointmcd train?"


def test_an_unknown_command_is_sent_to_the_help(misused):
    assert misused("xyzzy") == "pointmcd: xyzzy: no such command; see pointmcd --help"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "store", "--recipe", "secret"],
        ["train", "store", "--epochs", "many"],
        ["train"],
        ["evaluate", "run", "--split", "dev"],
        ["distil", "store"],
        [],
    ],
)
def test_what_cannot_be_parsed_is_told_with_status_2(arguments, cli):
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["compare", "report"])
def test_runs_are_needed(misused, command):
    assert "no runs" in misused(command)


def test_predict_needs_files(misused, tmp_path):
    assert "no files" in misused("predict", tmp_path)


def test_a_user_error_in_a_real_process_is_one_line_without_traceback(tmp_path):
    command = [sys.executable, "-m", "pointmcd", "prepare", tmp_path / "none", tmp_path / "to"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "none") in done.stderr
    assert not (tmp_path / "to").exists()


def test_missing_store(refused, tmp_path):
    store = tmp_path / "no-store"
    for command in ("teach", "train"):
        line = refused(command, store)
        assert line.startswith(f"{store}: no such store")
        assert "pointmcd prepare" in line


def test_a_store_for_a_run_and_shapes_for_a_store(refused, tiny_store):
    assert "is not a run folder but a store" in refused("evaluate", tiny_store)
    meshes = tiny_store.parent / "meshes"
    assert refused("teach", meshes).startswith(f"{meshes}: is not a store; make one of your shapes")


def test_half_prepared_store(refused, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "half", ignore=shutil.ignore_patterns("store.json"))
    assert "not a complete store" in refused("train", tmp_path / "half", "--no-distill")


def test_missing_run(refused, tmp_path):
    run = tmp_path / "no-run"
    for command in (["evaluate"], ["compare"], ["report", "--out", tmp_path / "page.html"]):
        line = refused(*command[:1], run, *command[1:])
        assert str(run) in line
        assert "pointmcd train" in line
    assert str(run) in refused("predict", run, tmp_path / "chair.off")
    assert not (tmp_path / "page.html").exists()


def test_run_that_is_not_evaluated(refused, trained_run):
    for command in ("compare", "report"):
        line = refused(command, trained_run)
        assert f"pointmcd evaluate {trained_run}" in line


def test_interrupt_exits_with_130_and_says_how_to_go_on(cli, monkeypatch, tmp_path):
    def interrupted(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(TRAIN, "train", interrupted)
    status, out, err = cli("train", tmp_path)
    assert (status, out) == (130, "")
    assert err == "pointmcd: interrupted; run the same command again to go on\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes of Unix")
@pytest.mark.parametrize("arguments", [["train", "--help"], ["--version"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough_ends_it_quietly(arguments, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "pointmcd", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_completion_in_bash(tmp_path):
    script = tmp_path / "pointmcd"
    make = [sys.executable, "-m", "pointmcd", "--tyro-write-completion", "bash", str(script)]
    subprocess.run(make, check=True)
    # The function that docs/getting-started.md names.
    ask = "source $0; COMP_WORDS=(pointmcd tra); COMP_CWORD=1; _tyro_pointmcd; echo $COMPREPLY"
    done = subprocess.run(["bash", "-c", ask, script], capture_output=True, text=True, check=True)
    assert done.stdout == "train\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp850", "utf-8"])
def test_results_get_out_in_any_encoding(encoding, tmp_path):
    name = "\u0441\u0442\u043e\u043b \u00b1.off"
    code = "from pointmcd.cli.output import out, print_line\nfrom pointmcd.cli import main\n"
    code += "try:\n    main(['--version'])\nfinally:\n"
    code += f"    print_line({name!r}); out.rule({name!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    shown = done.stdout.decode(encoding)
    assert (name if encoding == "utf-8" else "\\u0441") in shown
