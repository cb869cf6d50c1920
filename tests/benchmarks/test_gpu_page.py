"""The script of `make bench-gpu`, on the CPU."""

import pytest
import torch

from benchmarks.speed import divergence, gpu
from benchmarks.speed.gpu_parity import difference


@pytest.mark.usefixtures("one_thread")
@pytest.mark.slow
def test_the_small_form_goes_through_every_part(tmp_path, monkeypatch):
    given, end = [], (True, "all right")
    monkeypatch.setattr(gpu, "tested", lambda tests, seconds: given.append(seconds) or end)
    page = tmp_path / "page.md"
    small = ["--device", "cpu", "--small", "--out", str(page)]
    assert gpu.main(small) == 0
    text = page.read_text(encoding="utf-8")
    parts = [line for line in text.splitlines() if line.startswith("## ")]
    assert [part[3:] for part in parts] == [
        "A train step",
        "Kernels alone",
        "The loader",
        "Teachers",
        "Parity",
        "Tests",
    ]
    assert "| pointnet2, segmentation | 0.0e+00 | 0.0e+00 |" in text
    assert "busy " in text
    assert "| features, decoding among them | 30 |" in text
    assert "| fine-tuning step, 4 shapes: " in text
    assert text.endswith("## Tests\n\n```\nall right\n```\n\n" + text.split("\n\n")[-1])
    end = False, "no"
    assert gpu.main([*small, "--only", "tests", "--test-seconds", "5"]) == 1
    assert page.read_text(encoding="utf-8") == text.replace("all right", "no")
    assert 0 < given[0] < gpu.SECONDS
    assert given[1] == 5


@pytest.mark.slow
def test_tests_are_run_their_faults_named_and_stopped(tmp_path):
    right, wrong = tmp_path / "test_right.py", tmp_path / "test_wrong.py"
    right.write_text("def test_right():\n    pass\n")
    wrong.write_text("def test_wrong():\n    assert 1 == 2\n")
    passed, said = gpu.tested([str(right)], 200)
    assert passed
    assert "1 passed in " in said
    passed, said = gpu.tested([str(right), str(wrong)], 200)
    assert not passed
    assert said.startswith("FAILED ")
    assert "1 failed, 1 passed in " in said
    passed, said = gpu.tested([str(right)], 0.01)
    assert not passed
    assert said.endswith("stopped after 0 s")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "no GPU here" in capsys.readouterr().err


def test_trainings_drift_apart_where_their_first_weights_differ(monkeypatch):
    monkeypatch.setattr(divergence, "POINTS", 64)
    assert divergence.drift("pointnet", 0) > 0
    monkeypatch.setattr(divergence, "CHANGE", 0.0)
    assert divergence.drift("pointnet", 0) == 0


def test_a_difference_is_in_units_of_the_largest_value():
    assert difference(torch.tensor([0.0, 4.0]), torch.tensor([1.0, 4.0])) == 0.25
    assert difference(torch.zeros(2), torch.zeros(2)) == 0
