"""`pointmcd train`: recipes, the baseline, and what it refuses."""

import importlib
import json
from dataclasses import replace

import pytest
from store_copies import copy_store, edit_json

from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.store import Store
from pointmcd.files import read_json
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

CPU = ["--device", "cpu"]
SETTINGS = ["--task", "segmentation", "--epochs", 1, "--points", 32, "--batch-size", 4, *CPU]
TINY = ["--student", "tiny_student:TinyStudent", "--epochs", 1, "--points", 32]
TINY += ["--batch-size", 4, *CPU]
TRAIN = importlib.import_module("pointmcd.training.train")


@pytest.fixture
def configs(monkeypatch):
    """The settings with which `pointmcd train` calls the library, which trains nothing."""
    seen = []

    def train(config):
        seen.append(config)
        return config.folder

    monkeypatch.setattr(TRAIN, "train", train)
    monkeypatch.setattr("pointmcd.cli.train._note_uncalibrated", lambda runs: None)
    return seen


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


def test_a_recipe_sets_options_of_a_task_that_is_given(cli, configs, tmp_path):
    cli("train", tmp_path, "--recipe", "paper", "--task", "classification")
    cli("train", tmp_path, "--recipe", "paper")
    cli("train", tmp_path, "--recipe", "paper", "--task", "classification,head=published")
    tasks = [config.task.removeprefix("classification,head=") for config in configs]
    assert tasks == ["single", "single", "published"]


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


def test_paths_are_printed_on_one_line_however_long(cli, configs, tmp_path):
    out = tmp_path / ("long" * 30)
    assert cli("train", tmp_path, "--out", out)[1] == f"{out}\n"


def test_train_no_distill_needs_no_teacher(cli, tiny_store, tmp_path):
    options = ["--epochs", 1, "--points", 32, "--batch-size", 4, "--device", "cpu"]
    run = tmp_path / "run"
    status, out, _ = cli("train", tiny_store, "--no-distill", "--out", run, *options)
    assert (status, out) == (0, f"{run}\n")
    told = json.loads((run / "run.json").read_text())
    assert (told["arm"], told["teacher"], told["finished"]) == ("baseline", None, True)


def test_one_share(cli, tiny_store, tmp_path):
    out = tmp_path / "run"
    options = ["--no-distill", "--label-fraction", 0.67, "--out", out]
    assert cli("train", tiny_store, *options, *TINY)[:2] == (0, f"{out}\n")
    assert Run(out).meta["shapes"]["train"] == 6
    settings = {"student": "tiny_student:TinyStudent", "epochs": 1, "points": 32, "batch_size": 4}
    config = TrainConfig(tiny_store, out, teacher=None, label_fraction=0.67, **settings)
    assert train(config) == out  # the very same settings as the library's


def test_teacher_that_the_store_lacks(refused, taught_store, tmp_path):
    line = refused("train", taught_store, "--teacher", "lite9", "--out", tmp_path / "run")
    assert "no teacher lite9" in line
    assert "there: lite0" in line
    assert not (tmp_path / "run").exists()


def test_unknown_student(refused, taught_store, tmp_path):
    out = tmp_path / "run"
    settings = ["--points", 64, "--out", out, "--device", "cpu"]
    line = refused("train", taught_store, "--student", "pointnot", *settings)
    assert "pointnot" in line
    assert "dgcnn, pointnet" in line
    assert not out.exists()
    known = {*(taught_store / "teachers").iterdir()}
    more = ["--label-fraction", 0.5, "--seeds", "0-1"]
    assert "pointnot" in refused("train", taught_store, "--student", "pointnot", *settings, *more)
    assert {*(taught_store / "teachers").iterdir()} == known  # none was made first


def test_values_that_cannot_be_meant(refused, taught_store, tmp_path):
    for option, value in (("--epochs", -1), ("--points", 129), ("--lr", "nan"), ("--scale", 0.5)):
        settings = [option, value, "--out", tmp_path / "run", "--device", "cpu"]
        line = refused("train", taught_store, *settings)
        assert str(value) in line
    assert not (tmp_path / "run").exists()


def test_train_needs_a_teacher_of_parts(refused, parts_store, tmp_path):
    line = refused("train", parts_store, *SETTINGS, "--out", tmp_path / "run")
    assert "no teacher lite0-segmentation" in line
    assert line.endswith(f"pointmcd teach {parts_store} --teacher lite0 --task segmentation")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "teach"])
def test_a_store_without_parts(refused, taught_store, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    line = refused(command, taught_store, "--task", "segmentation", "--epochs", 1, *CPU)
    assert line.startswith(f"{taught_store}: has no part labels; part segmentation needs")
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_nobody_knows(refused, parts_store):
    line = refused("train", parts_store, "--task", "segmentatoin")
    assert line.startswith("task segmentatoin: unknown; did you mean segmentation?")
    line = refused("teach", parts_store, "--task", "segmentatoin")
    assert line.startswith("lesson segmentatoin: unknown; did you mean segmentation?")


def test_folds_say_how_sure_one_can_be(cli, taught_store, tmp_path):
    options = [*TINY, "--no-distill", "--out", tmp_path / "run"]
    status, out, err = cli("train", taught_store, *options, "--folds", 3)
    assert err.count("12 shapes were held out, 20 are needed to calibrate") == 1
    first, second = out.splitlines()
    assert status == 0
    assert first.startswith("cross-validated accuracy ")
    assert first.endswith("] on 12 labelled shapes (3 folds)")
    assert second == str(tmp_path / "run")


def test_labelled_test_shapes_that_folds_leave_out_are_told(cli, taught_store, tmp_path):
    file = tmp_path / "labels.csv"
    shapes = [shape for shape in Store(taught_store).shapes if shape.split == "train"]
    write_labels(file, [LabelRow(shape.name, shape.label) for shape in shapes])
    store = copy_store(taught_store, tmp_path / "store")
    options = ["train", store, *TINY, "--no-distill", "--labels", file, "--out", tmp_path / "run"]
    told = "--folds takes turns with 9 labelled shapes; 6 more are in the test split"
    source = read_json(store / "plan.json")["source"]
    for files, remedy in ((True, f"pointmcd prepare {source},labels=none"), (False, "fraction 0")):
        if not files:
            edit_json(store / "plan.json", lambda plan: plan.update(source="furniture10"))
        err = cli(*options, "--folds", 99)[2]  # refused after the note
        assert [told in line and remedy in line for line in err.splitlines()].count(True) == 1
    assert told not in cli(*options)[2]


def test_folds_of_a_learning_curve_are_refused(cli, taught_store):
    status, _, err = cli("train", taught_store, "--learning-curve", "--distill", "auto")
    assert status == 2
    assert "--distill auto is for one share of the labels; leave out --learning-curve" in err
    status, _, err = cli("train", taught_store, "--learning-curve", "--folds", 3)
    assert status != 0
    assert "--folds" in err


def test_the_config_of_a_run_again(cli, taught_store, tmp_path):
    first = tmp_path / "first"
    options = ["--objective", "logits:2", "--lr", 0.002, "--seed", 3, *TINY]
    assert cli("train", taught_store, "--out", first, *options)[0] == 0
    file = first / "config.yaml"
    assert cli("train", "--config", file, "--out", tmp_path / "same")[0] == 0
    wanted, same = Run(first).config, Run(tmp_path / "same").config
    assert replace(same, out=first) == wanted
    assert (tmp_path / "same" / "last.safetensors").read_bytes() == (
        first / "last.safetensors"
    ).read_bytes()
    changed = ["--config", file, "--lr", 0.5, "--no-distill", "--out", tmp_path / "other"]
    assert cli("train", *changed)[0] == 0
    other = Run(tmp_path / "other").config
    assert (other.lr, other.seed, other.teacher) == (0.5, 3, None)


def test_a_config_with_its_label_file(cli, taught_store, tmp_path):
    names = [shape.name for shape in Store(taught_store).shapes if shape.split == "train"]
    rows = [LabelRow(name, name.split("/")[0]) for name in names]
    write_labels(tmp_path / "labels.csv", rows)
    options = ["--no-distill", "--labels", tmp_path / "labels.csv", *TINY]
    assert cli("train", taught_store, "--out", tmp_path / "first", *options)[0] == 0
    (tmp_path / "labels.csv").unlink()
    again = ["--config", tmp_path / "first" / "config.yaml", "--out", tmp_path / "again"]
    assert cli("train", *again)[0] == 0
    assert Run(tmp_path / "again").label_file is not None


def test_what_a_label_file_means_for_the_store_is_said(cli, taught_store, tmp_path):
    names = {one: [] for one in ("train", "val", "test")}
    for shape in Store(taught_store).shapes:
        names[shape.split].append(shape.name)
    file, options = tmp_path / "labels.csv", ["--no-distill", *TINY, "--labels"]
    known = [LabelRow(name, "bed") for name in names["train"][:2]]
    write_labels(file, [*known, LabelRow(names["train"][2], "lamp")])
    err = cli("train", taught_store, "--out", tmp_path / "a", *options, file)[2]
    assert f"{taught_store}: labelled shapes: 3 in train, 6 in test" in err
    assert f"note: {file}: has only one training example of lamp; label more" in err
    assert f"{taught_store}: no training example of chair, which test shapes are" in err
    assert "its own classes" not in err
    write_labels(file, [LabelRow(name, "bed") for name in names["train"][:3]])
    with file.open("a") as more:
        more.write(f"{names['train'][3]},beds\n")
    err = cli("train", taught_store, "--out", tmp_path / "c", *options, file)[2]
    assert f"note: {file}: class beds has one shape; is bed meant?" in err
    rows = [LabelRow(name, f"shelf {i % 2}") for i, name in enumerate(names["train"])]
    write_labels(file, [*rows, LabelRow(names["test"][0], "shelf 1")])
    err = cli("train", taught_store, "--out", tmp_path / "b", *options, file)[2]
    assert f"{taught_store}: labelled shapes: 9 in train, 1 in test" in err
    assert "its own classes (bed, chair, lamp) are none of those in" in err
    assert "only one training example" not in err
    status, _, err = cli("train", tmp_path / "gone", *options, file)
    assert (status, err.splitlines()[-1]) == (
        1,
        f"pointmcd: {tmp_path / 'gone'}: no such store; make one with: pointmcd prepare SOURCE"
        f" {tmp_path / 'gone'}",
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "config.yaml: cannot be read as YAML"),
        ("a: [", "config.yaml: cannot be read as YAML"),
        ("3", "config.yaml: holds no settings"),
        ("store: s\nnothing: 1", "config field nothing: unknown to this version"),
        ("lr: 0.1", "config field store: missing"),
        ("store: s\nlr: fast", "config field lr: 'fast' is not float"),
    ],
)
def test_a_config_that_cannot_be_used(cli, tmp_path, content, line):
    if content is not None:
        (tmp_path / "config.yaml").write_text(content)
    status, _, error = cli("train", "--config", tmp_path / "config.yaml")
    assert status == 1
    assert line in error


def test_a_config_and_a_recipe(cli, tmp_path):
    (tmp_path / "config.yaml").write_text("store: s")
    status, _, error = cli("train", "--config", tmp_path / "config.yaml", "--recipe", "paper")
    assert status == 2
    assert "--config does not go with --recipe" in error
