"""The command line, called in process: what is printed where, and how it exits."""

import importlib
import json
import shutil
import subprocess
import sys

import pytest

from pointmcd.training.config import TrainConfig

COMMANDS = (
    *(
        "prepare",
        "teach",
        "teachers",
        "train",
        "evaluate",
        "compare",
        "probe",
        "predict",
        "report",
        "demo",
    ),
)
TRAIN = importlib.import_module("pointmcd.training.train")


@pytest.fixture
def configs(monkeypatch):
    """The settings with which `pointmcd train` calls the library, which trains nothing."""
    seen = []

    def train(config):
        seen.append(config)
        return config.folder

    monkeypatch.setattr(TRAIN, "train", train)
    return seen


def test_help_names_every_command(cli):
    status, out, _ = cli("--help")
    assert status == 0
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, cli):
    status, out, err = cli(command, "--help")
    assert (status, err) == (0, "")
    assert f"pointmcd {command}" in out


@pytest.mark.parametrize("arguments", [["--help"], ["prepare", "--help"], ["train", "--help"]])
def test_help_imports_no_heavy_package(arguments):
    code = f"import sys\nfrom pointmcd.cli import main\ntry:\n    main({arguments})\n"
    code += "except SystemExit:\n    print(*sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert "pointmcd.cli.app" in imported
    assert imported.isdisjoint({"torch", "trimesh", "numba", "scipy", "embreex", "joblib"})


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


def test_bad_source(refused, tmp_path):
    text = tmp_path / "meshes.zip"
    text.write_text("no zip")
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "none", text, tmp_path / "empty"):
        assert str(source) in refused("prepare", source, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_teacher_that_the_store_lacks(refused, taught_store, tmp_path):
    line = refused("train", taught_store, "--teacher", "lite9", "--out", tmp_path / "run")
    assert "no teacher lite9" in line
    assert "there: lite0" in line
    assert not (tmp_path / "run").exists()


def test_teacher_that_nobody_knows(refused, tiny_store):
    assert "lite9" in refused("teach", tiny_store, "--teacher", "lite9")
    assert not (tiny_store / "teachers").exists()


def test_unknown_student(refused, taught_store, tmp_path):
    out = tmp_path / "run"
    settings = ["--points", 64, "--out", out, "--device", "cpu"]
    line = refused("train", taught_store, "--student", "pointnot", *settings)
    assert "pointnot" in line
    assert "dgcnn, pointnet" in line
    assert not out.exists()


def test_values_that_cannot_be_meant(refused, taught_store, tmp_path):
    for option, value in (("--epochs", 0), ("--points", 129), ("--lr", "nan"), ("--scale", 0.5)):
        settings = [option, value, "--out", tmp_path / "run", "--device", "cpu"]
        line = refused("train", taught_store, *settings)
        assert str(value) in line
    assert not (tmp_path / "run").exists()


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


def test_default_settings_are_those_of_the_config(cli, configs, tmp_path):
    status, out, _ = cli("train", tmp_path)
    assert status == 0
    assert configs == [TrainConfig(tmp_path)]
    assert out == f"{TrainConfig(tmp_path).folder}\n"


def test_recipe_changes_the_defaults_and_flags_win(cli, configs, tmp_path):
    cli("train", tmp_path, "--recipe", "paper")
    cli("train", tmp_path, "--lr", 0.02, "--recipe", "paper", "--epochs", 7)
    for config in configs:
        assert config.optimizer == "sgd"
        assert config.objective == ("vafp:1,distance=l1,start=plain",)
        assert (config.task_weight, config.batch_size) == (0.1, 64)
    assert [(config.lr, config.epochs) for config in configs] == [(0.1, 500), (0.02, 7)]


@pytest.mark.parametrize("equals", [False, True])
def test_recipe_is_by_student(equals, cli, configs, tmp_path):
    options = ["--student", "dgcnn", "--recipe", "paper"]
    if equals:
        options = ["--student=dgcnn", "--recipe=paper"]
    cli("train", tmp_path, *options)
    cli("train", *options, tmp_path)
    for config in configs:
        assert config.student == "dgcnn"
        assert (config.epochs, config.batch_size, config.lr) == (350, 24, 0.1)


def test_no_distill_takes_the_teacher_away_and_nothing_else(cli, configs, tmp_path):
    cli("train", tmp_path, "--no-distill")
    cli("train", tmp_path, "--no-distill", "--recipe", "paper", "--teacher", "lite0")
    assert configs[0] == TrainConfig(tmp_path, teacher=None)
    assert configs[0].arm == configs[1].arm == "baseline"
    assert configs[1].task_weight == 0.1


def test_interrupt_exits_with_130_and_says_how_to_go_on(cli, monkeypatch, tmp_path):
    def interrupted(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(TRAIN, "train", interrupted)
    status, out, err = cli("train", tmp_path)
    assert (status, out) == (130, "")
    assert err == "pointmcd: interrupted; run the same command again to go on\n"


def test_paths_are_printed_on_one_line_however_long(cli, configs, tmp_path):
    out = tmp_path / ("long" * 30)
    assert cli("train", tmp_path, "--out", out)[1] == f"{out}\n"


def test_predict_names_the_bad_file_and_goes_on(cli, trained_run, furniture_root, tmp_path):
    good = tmp_path / "a [red] lamp.off"
    shutil.copy(min((furniture_root / "lamp" / "test").glob("*.off")), good)
    bad = tmp_path / "bad.off"
    bad.write_text("OFF\n3 1 0\n")
    status, out, err = cli("predict", trained_run, bad, good, "--device", "cpu")
    assert status == 1
    assert len(err.splitlines()) == 1
    assert err.startswith(f"pointmcd: {bad}: ")
    told = "".join(line.split("│")[1].strip() for line in out.splitlines() if "│" in line)
    assert "[red]" in told  # wrapped, yet whole
    assert "…" not in told


def test_train_no_distill_needs_no_teacher(cli, tiny_store, tmp_path):
    options = ["--epochs", 1, "--points", 32, "--batch-size", 4, "--device", "cpu"]
    run = tmp_path / "run"
    status, out, _ = cli("train", tiny_store, "--no-distill", "--out", run, *options)
    assert (status, out) == (0, f"{run}\n")
    told = json.loads((run / "run.json").read_text())
    assert (told["arm"], told["teacher"], told["finished"]) == ("baseline", None, True)


def test_the_whole_chain(cli, tiny_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    meshes, rig = tiny_store.parent / "meshes", tiny_store.parent / "rig.json"
    shutil.copytree(meshes, "meshes")
    broken = tmp_path / "meshes" / "bed" / "train" / "broken.off"
    broken.write_text("OFF\n0 0 0\n")
    chair = min((meshes / "chair" / "test").glob("*.off"))
    cpu = ["--device", "cpu"]

    options = ["--points", 64, "--rig", rig, "--workers", 1, "--val-fraction", 0.25]
    status, out, err = cli("prepare", "meshes", "store", *options)
    assert (status, out) == (0, "store: 18 shapes, 1 skipped\n")
    assert len([x for x in err.splitlines() if x.startswith("skipped:") and str(broken) in x]) == 1

    status, out, _ = cli("teach", "store", "--epochs", 1, *cpu)
    assert status == 0
    assert out.startswith("store/teachers/lite0: validation accuracy ")

    settings = ["--epochs", 1, "--points", 32, "--batch-size", 4, *cpu]
    assert cli("train", "store", "--no-distill", *settings)[:2] == (
        0,
        "runs/store-pointnet-baseline-s0\n",
    )
    status, out, _ = cli("train", "store", "--teacher", "lite0", *settings)
    baseline, distilled = "runs/store-pointnet-baseline-s0", out.strip()
    assert (status, distilled) == (0, "runs/store-pointnet-distilled-s0")

    for run in (baseline, distilled):
        status, out, _ = cli("evaluate", run, *cpu)
        assert status == 0
        assert "overall accuracy" in out
        assert out.splitlines()[-1] == f"{run}/confusion-test-last.png"

    status, out, _ = cli("compare", distilled, "--baseline", baseline, "--markdown")
    assert status == 0
    rows = [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")]
    assert rows == ["variant", "---", "baseline", "distilled"]
    assert cli("compare", distilled, baseline)[0] == 0

    status, out, err = cli("predict", distilled, chair, *cpu)
    assert (status, err) == (0, "")
    assert "%" in out

    assert cli("report", distilled, baseline)[:2] == (0, "report.html\n")
    assert "<html" in (tmp_path / "report.html").read_text()
