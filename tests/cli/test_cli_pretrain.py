"""Pretraining, fine-tuning and learning curves on the command line."""

from pathlib import Path

import pytest
from store_copies import edit_json

from pointmcd.training.run import Run
from pointmcd.training.several import SHARES

CPU = ["--device", "cpu"]
TINY = ["--student", "tiny_student:TinyStudent", "--epochs", 1, "--points", 32]
TINY += ["--batch-size", 4, *CPU]
RUN = "runs/store-pretrain-tiny_student-TinyStudent-distilled-s0"


def test_pretraining(ready):
    assert Run(ready / RUN).finished
    assert Run(ready / RUN).config.task == "pretrain"
    assert Run(ready / RUN).meta["teacher"]["name"] == "lite0-features"


@pytest.mark.usefixtures("here")
def test_pretraining_again_keeps_it_and_prints_it(cli):
    before = Path(RUN, "last.safetensors").stat().st_mtime_ns
    status, out, err = cli("train", "store", "--task", "pretrain", *TINY)
    assert (status, out, err) == (0, f"{RUN}\n", "")
    assert Path(RUN, "last.safetensors").stat().st_mtime_ns == before


def test_pretraining_without_its_teacher(refused, taught_store, tmp_path):
    line = refused("train", taught_store, "--task", "pretrain", "--out", tmp_path / "run", *TINY)
    assert "no teacher lite0-features (there: lite0)" in line
    assert line.endswith(f"pointmcd teach {taught_store} --teacher lite0 --task features")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--no-distill"], "--no-distill: --task pretrain is distillation and nothing else"),
        (["--label-fraction", 0.5], "--label-fraction: --task pretrain uses no labels"),
        (["--learning-curve"], "--task pretrain uses no labels"),
    ],
)
@pytest.mark.usefixtures("here")
def test_pretraining_that_cannot_be_meant(options, text, refused):
    assert text in refused("train", "store", "--task", "pretrain", "--out", "new", *options, *TINY)
    assert not list(Path().glob("new*"))


def test_a_pretrained_run_is_not_evaluated(refused, ready):
    line = refused("evaluate", ready / RUN, *CPU)
    assert "was pretrained without labels" in line
    assert "pointmcd probe" in line


def test_a_pretrained_run_predicts_nothing(refused, ready, furniture_root):
    chair = min((furniture_root / "chair" / "test").glob("*.off"))
    assert "was pretrained without labels" in refused("predict", ready / RUN, chair, *CPU)


@pytest.mark.usefixtures("here")
def test_fine_tuning(cli):
    status, out, _ = cli("train", "store", "--no-distill", "--init", RUN, *TINY)
    folder = "runs/store-tiny_student-TinyStudent-finetuned-s0"
    assert (status, out) == (0, f"{folder}\n")
    start = Run(Path(folder)).meta["init"]
    assert (start["run"], start["task"]) == (str(Path(RUN).resolve()), "pretrain")
    assert cli("evaluate", folder, *CPU)[0] == 0


@pytest.mark.usefixtures("here")
def test_fine_tuning_that_cannot_start(refused, trained_run):
    settings = ["--no-distill", "--out", "new", *TINY]
    assert "--init nowhere: is no run folder, no folder of exported weights" in refused(
        "train", "store", "--init", "nowhere", *settings
    )
    line = refused("train", "store", "--init", trained_run, *settings)
    assert line.startswith(f"--init {trained_run}: is a pointnet, the run a tiny_student")
    assert line.endswith("; give --student pointnet")
    edit_json(Path(RUN, "run.json"), lambda meta: meta.update(finished=False))
    assert "not finished" in refused("train", "store", "--init", RUN, *settings)
    assert not Path("new").exists()


@pytest.mark.usefixtures("here")
def test_a_learning_curve(cli):
    status, out, _ = cli("train", "store", "--no-distill", "--learning-curve", *TINY)
    name = "runs/store-tiny_student-TinyStudent-baseline-s0"
    assert status == 0
    shares = ("-0.01", "-0.05", "-0.1", "-0.2", "")
    assert out.splitlines() == [f"{name}{share}" for share in shares]
    runs = [Run(Path(line)) for line in out.splitlines()]
    assert [run.config.label_fraction for run in runs] == list(SHARES)
    assert [run.meta["shapes"]["train"] for run in runs] == [3, 3, 3, 3, 9]


@pytest.mark.usefixtures("here")
def test_a_learning_curve_of_fine_tuning_under_a_name(cli):
    options = ["--no-distill", "--init", RUN, "--learning-curve", "--out", "curve"]
    status, out, _ = cli("train", "store", *options, *TINY)
    assert status == 0
    assert out.splitlines()[0] == "curve-0.01"
    assert all(Run(Path(line)).meta["arm"] == "finetuned" for line in out.splitlines())
    assert out.splitlines()[-1] == "curve"
