"""Several seeds in one go: which runs are made, and what is refused before any is."""

import json

import pytest
from store_copies import copy_store

from pointmcd.errors import ConfigError, StoreError
from pointmcd.evaluation import seeds as module
from pointmcd.evaluation.seeds import read_seeds, train_seeds
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training import several
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run


@pytest.mark.parametrize(
    ("text", "found"),
    [("0", [0]), ("0-4", [0, 1, 2, 3, 4]), ("3,1,1", [1, 3]), ("7,0-2,2-3", [0, 1, 2, 3, 7])],
)
def test_lists_of_seeds(text, found):
    assert read_seeds(text) == found


@pytest.mark.parametrize("text", ["", "a", "-1", "1-", "1,,2", "0:4", "1.5", "4-0", " 1"])
def test_what_is_no_list(text):
    with pytest.raises(ConfigError, match=r"^--seeds "):
        read_seeds(text)


def tiny(store, **options):
    settings = {"epochs": 1, "points": 32, "batch_size": 4, "device": "cpu"}
    return TrainConfig(store, student="tiny_student:TinyStudent", **(settings | options))


def test_runs_and_their_baselines(taught_store, tmp_path, monkeypatch):
    (found,) = train_seeds(tiny(taught_store, out=tmp_path / "mine"), [0, 2])
    folders = ("mine-baseline-s0", "mine-baseline-s2", "mine-distilled-s0", "mine-distilled-s2")
    assert tuple(sorted(path.name for path in tmp_path.iterdir())) == folders
    assert found.baseline.seeds == found.variants[0].seeds == (0, 2)
    assert [found.baseline.label, found.variants[0].label] == ["baseline", "distilled"]
    assert found.differences[0].paired_by_seed
    monkeypatch.setattr("pointmcd.training.trainer.Trainer.__init__", None)  # nothing anew
    (again,) = train_seeds(tiny(taught_store, out=tmp_path / "mine"), [0, 2])
    assert again.variants[0].score == found.variants[0].score


def test_a_baseline_alone(taught_store, tmp_path):
    (found,) = train_seeds(tiny(taught_store, teacher=None, out=tmp_path / "alone"), [1])
    assert found.baseline is None
    assert [path.name for path in tmp_path.iterdir()] == ["alone-baseline-s1"]


@pytest.mark.slow
def test_each_seed_has_a_teacher_of_its_own_labels(tiny_store, tmp_path, monkeypatch):
    store = copy_store(tiny_store, tmp_path / "store")
    made, teach = [], several.teach
    monkeypatch.setattr(several, "teach", lambda config: (made.append(config), teach(config))[1])
    monkeypatch.setattr(
        "pointmcd.teachers.lessons.classification.ClassificationOptions.epochs", 1, raising=False
    )
    rest, found = train_seeds(tiny(store, label_fraction=0.34, out=tmp_path / "few"), [0, 1])
    assert [config.seed for config in made] == [0, 1]
    names = [Run(result.path).meta["teacher"]["name"] for result in found.variants[0].results]
    assert names == ["lite0-0.34-s0", "lite0-0.34-s1"]
    assert rest.split == "rest"
    assert rest.count > found.count
    assert [variant.label for variant in rest.all_variants] == ["baseline", "distilled"]


def test_a_teacher_that_is_there_is_taken(tiny_store, tmp_path, monkeypatch):
    # Made with other settings than the default's, or by another name.
    store = copy_store(tiny_store, tmp_path / "store")
    options = {"label_fraction": 0.34, "epochs": 1, "device": "cpu"}
    teach(TeachConfig(store, label_smoothing=0.0, **options))
    teach(TeachConfig(store, name="mine", **options))
    monkeypatch.setattr(several, "teach", None)
    for name in ("lite0", "mine"):
        several.make_teacher(tiny(store, label_fraction=0.34, teacher=name))


def test_all_is_refused_before_any_training(taught_store, tiny_store, tmp_path):
    with pytest.raises(StoreError, match="no teacher lite0"):
        train_seeds(tiny(tiny_store, out=tmp_path / "a"), [0])
    with pytest.raises(ConfigError, match="--task pretrain is judged by `pointmcd probe`"):
        train_seeds(tiny(taught_store, task="pretrain", out=tmp_path / "a"), [0])

    def to_train(record):
        record["split"] = "train" if record["split"] == "test" else record["split"]

    untested = copy_store(tiny_store, tmp_path / "untested", to_train)
    with pytest.raises(ConfigError, match="has no test split to compare on; add --folds"):
        train_seeds(tiny(untested, teacher=None, out=tmp_path / "a"), [0])
    assert not list(tmp_path.glob("a*"))


def test_on_the_command_line(cli, taught_store, tmp_path):
    options = ["--student", "tiny_student:TinyStudent", "--epochs", 1, "--points", 32]
    options += ["--batch-size", 4, "--device", "cpu", "--out", tmp_path / "mine"]
    status, out, err = cli("train", taught_store, "--seeds", "0-1", *options)
    assert status == 0
    assert [line for line in err.splitlines() if line.startswith("run ")] == [
        f"run {number} of 4" for number in (1, 2, 3, 4)
    ]
    assert "2 (0, 1)" in out
    assert out.splitlines()[-1] == str(tmp_path / "mine-distilled-s1")
    rows = json.loads(cli("train", taught_store, "--seeds", "0-1", "--json", *options)[1])
    assert [(row["split"], row["variant"]) for row in rows[:2]] == [
        *(("test", "baseline"), ("test", "distilled"))
    ]
    assert rows[1]["difference_low"] <= rows[1]["difference"] <= rows[1]["difference_high"]
    status, _, error = cli("train", taught_store, "--json", *options)
    assert status == 2
    assert "--markdown, --json and --csv are for --seeds; leave them out" in error
    status, _, error = cli("train", taught_store, "--seeds", 0, "--learning-curve", *options)
    assert status == 2
    assert "--seeds does not go with --learning-curve; leave one out" in error


def test_folds_on_the_command_line(cli, taught_store, tmp_path):
    store = copy_store(taught_store, tmp_path / "store")  # folds make teachers in it
    options = ["--student", "tiny_student:TinyStudent", "--epochs", 1, "--points", 32]
    options += ["--batch-size", 4, "--device", "cpu", "--out", tmp_path / "mine"]
    status, out, _ = cli("train", store, "--seeds", 0, "--folds", 2, *options)
    assert status == 0
    folds, test = (out.index(text) for text in ("12 labelled shapes, each", "Test split, 6"))
    assert folds < test
    runs = [tmp_path / "mine-baseline-s0", tmp_path / "mine-distilled-s0"]
    status, again, _ = cli("compare", runs[1], "--baseline", runs[0], "--split", "folds")
    assert status == 0
    assert out.startswith(again)
    status, out, _ = cli("evaluate", runs[1], "--split", "folds", "--device", "cpu")
    assert status == 0
    assert "folds, 12 shapes" in out
    status, _, error = cli("evaluate", runs[1], "--split", "folds", "--corrupt", "all")
    assert status == 1
    assert "--split folds: not with --corrupt" in error


def test_a_tracker_that_is_absent_is_refused_before_a_teacher_is_made(taught_store, monkeypatch):
    monkeypatch.setattr(module, "make_teacher", None)
    with pytest.raises(ConfigError, match="--log-to nothing: unknown"):
        train_seeds(tiny(taught_store, log_to=("nothing",), label_fraction=0.5), [0, 1])
