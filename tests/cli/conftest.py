"""What tests of the command line share."""

import shutil
from pathlib import Path

import pytest
from store_copies import copy_store

from pointmcd.cli import main

CPU = ["--device", "cpu"]
TINY = ["--student", "tiny_student:TinyStudent", "--epochs", 1, "--points", 32]
TINY += ["--batch-size", 4, *CPU]
RUN = "runs/store-pretrain-tiny_student-TinyStudent-distilled-s0"


@pytest.fixture
def refused(cli):
    """A caller that expects one line of error; it returns the line."""

    def call(*arguments):
        status, out, err = cli(*arguments)
        assert (status, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith("pointmcd: ")
        return line.removeprefix("pointmcd: ")

    return call


@pytest.fixture(scope="session")
def ready(taught_store, tmp_path_factory):
    """A folder with a store, its teachers lite0 and lite0-features, and RUN. To be read only."""
    folder = tmp_path_factory.mktemp("ready")
    copy_store(taught_store, folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (
            ["teach", "store", "--task", "features", *CPU],
            ["train", "store", "--task", "pretrain", *TINY],
        ):
            main([str(argument) for argument in command])
    return folder


@pytest.fixture
def here(ready, tmp_path, monkeypatch):
    """A copy of it, as the current folder."""
    folder = shutil.copytree(ready, tmp_path / "here")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def parts_run(trained_parts_run, tmp_path):
    return Path(shutil.copytree(trained_parts_run, tmp_path / "run"))


@pytest.fixture
def chair(labelled_meshes):
    return min((labelled_meshes / "chair").glob("*.off"))
