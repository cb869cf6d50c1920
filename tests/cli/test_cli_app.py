"""The front of the command line: mistyped commands, the version, pipes, completion, speed."""

import os
import subprocess
import sys

import pytest

import pointmcd

SLOW = {"torch", "numba", "trimesh", "scipy", "sklearn", "matplotlib"}


@pytest.fixture
def misused(cli):
    """A caller that expects one line of error and status 2; it returns the line."""

    def call(*arguments):
        status, out, err = cli(*arguments)
        assert (status, out) == (2, "")
        (line,) = err.splitlines()
        return line

    return call


def test_version(cli):
    assert cli("--version") == (0, f"pointmcd {pointmcd.__version__}\n", "")


def test_a_mistyped_command_is_told_the_right_one(misused):
    line = misused("trian", "store")
    assert line == "pointmcd: trian: no such command; did you mean pointmcd train?"


def test_an_unknown_command_is_sent_to_the_help(misused):
    assert misused("xyzzy") == "pointmcd: xyzzy: no such command; see pointmcd --help"


@pytest.mark.parametrize("command", ["compare", "report"])
def test_runs_are_needed(misused, command):
    assert "no runs" in misused(command)


def test_predict_needs_files(misused, tmp_path):
    assert "no files" in misused("predict", tmp_path)


def test_help_is_fast_because_it_imports_little():
    code = (
        "import sys\nfrom pointmcd.cli import main\n"
        "try:\n    main(['{}', '--help'])\nexcept SystemExit:\n    print(*sys.modules)\n"
    )
    for command in ("train", "predict"):
        run = [sys.executable, "-c", code.format(command)]
        done = subprocess.run(run, capture_output=True, text=True, check=True)
        assert not SLOW & set(done.stdout.splitlines()[-1].split())


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


def test_completion_in_bash(tmp_path):
    script = tmp_path / "pointmcd"
    make = [sys.executable, "-m", "pointmcd", "--tyro-write-completion", "bash", str(script)]
    subprocess.run(make, check=True)
    subprocess.run(["bash", "-n", str(script)], check=True)
