"""The examples run as a reader would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pointmcd.inference.predict import predict

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments, cwd=None):
    command = [sys.executable, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )


@pytest.mark.slow
def test_plain_loop_writes_a_run_like_any_other(taught_store, tmp_path, cli):
    out = tmp_path / "plain"
    small = ("--epochs", 2, "--points", 64, "--out", out)
    done = run(EXAMPLES / "plain_loop.py", taught_store, *small)
    assert done.returncode == 0, done.stderr
    *epochs, last, folder = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in epochs] == ["epoch 1", "epoch 2"]
    assert re.fullmatch(r"validation accuracy (0|33\.3|66\.7|100)(\.0)?%", last)
    assert folder == str(out)
    status, table, error = cli("evaluate", out)
    assert status == 0, error
    assert "accuracy" in table


@pytest.mark.slow
def test_a_fifth_student_goes_through_every_command_and_is_short(
    taught_store, tmp_path, cli, monkeypatch
):
    example = EXAMPLES / "own_student.py"
    assert len(example.read_text().splitlines()) < 60
    done = run(example, taught_store, "--epochs", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = [tmp_path / line.split()[0] for line in done.stdout.splitlines()]
    arms = [run.name.rpartition("-s0")[0].rpartition("-")[2] for run in runs]
    assert arms == ["baseline", "distilled"]
    monkeypatch.syspath_prepend(EXAMPLES)
    points = np.random.default_rng(0).normal(size=(64, 3))
    np.save(tmp_path / "cloud.npy", points)
    for command in (
        ("compare", *runs, "--baseline", runs[0]),
        ("predict", runs[1], tmp_path / "cloud.npy"),
        ("report", *runs, "--out", tmp_path / "report.html"),
    ):
        status, _, error = cli(*command)
        assert status == 0, error
    assert "ResidualMLP" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_a_fifth_student_is_found_in_the_current_folder_and_labels_parts(parts_store, tmp_path):
    (tmp_path / "mine.py").write_text((EXAMPLES / "own_student.py").read_text())
    options = ["--student", "mine:ResidualMLP", "--task", "segmentation", "--no-distill"]
    small = ["--epochs", 1, "--points", 32, "--batch-size", 4, "--out", "run"]
    command = Path(sys.executable).with_name("pointmcd")
    for line in (["train", parts_store, *options, *small], ["evaluate", "run"]):
        done = subprocess.run(
            [str(command), *map(str, line)], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert "instance mIoU" in done.stdout


def test_an_exported_class_is_named_without_torch_in_few_lines(trained_run, exported_run, tmp_path):
    example = EXAMPLES / "classify_onnx.py"
    assert len(example.read_text().splitlines()) <= 27
    points = 7 + 30 * np.random.default_rng(0).normal(size=(200, 3))
    for name, save in (("cloud.npy", np.save), ("cloud.xyz", np.savetxt)):
        save(tmp_path / name, points)
        (wanted,) = predict(trained_run, [tmp_path / name], device="cpu")
        # None in sys.modules: an import of it fails.
        hidden = (
            "import sys, runpy; sys.modules.update(torch=None, pointmcd=None); sys.argv.pop(0);"
        )
        code = f"{hidden} runpy.run_path(sys.argv[0])"
        done = run("-c", code, example, exported_run, tmp_path / name, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"{wanted.label} {wanted.confidence:.0%}\n")
