"""`--fit-on train+val`: what is fitted, what is left of validation, and how such runs are used."""

import pytest
import torch
from store_copies import copy_store

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError, StoreError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.files import read_json
from pointmcd.inference.export import export_run
from pointmcd.inference.predict import predict
from pointmcd.report.page import write_report
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training import train as train_module
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
BOTH = {"fit_on": "train+val"}


@pytest.fixture
def fitted(make):
    return train(make("fitted", teacher="lite0", **BOTH))


def test_it_equals_a_training_where_all_is_in_the_train_split(make, taught_store, tmp_path, fitted):
    def move(record):
        if record["split"] == "val":
            record["split"] = "train"

    store = copy_store(taught_store, tmp_path / "store", move)
    whole = Run(train(make("whole", store, teacher="lite0")))
    ours, theirs = (load_checkpoint(p / "last.safetensors")[0] for p in (fitted, whole.path))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    run = Run(fitted)
    assert run.meta["shapes"] == whole.meta["shapes"] == {"train": 12, "val": 0, "test": 6}
    assert run.meta["store_fingerprint"] == Store(taught_store).fingerprint


def test_nothing_is_validated_and_there_is_no_best(make, fitted, capsys):
    records = Run(fitted).metrics()
    assert {m[name] for m in records for name in m if name.startswith("val_")} == {None}
    assert sorted(path.name for path in fitted.iterdir()) == [
        *("config.yaml", "labelled.safetensors", "last.safetensors", "metrics.jsonl", "run.json")
    ]
    assert Run(fitted).config.fit_on == "train+val"
    capsys.readouterr()
    train(make("again", epochs=1, **BOTH))
    assert "nothing is validated, the last epoch counts" in " ".join(
        capsys.readouterr().err.split()
    )


def test_its_folder_is_another(taught_store):
    assert TrainConfig(taught_store, **BOTH).folder.name.endswith("-s0-train+val")


@pytest.mark.parametrize("task", ["pretrain", "segmentation"])
def test_other_tasks(make, taught_store, parts_store, tmp_path, task):
    if task == "segmentation":
        folder = train(make("a", parts_store, task=task, **BOTH))
        evaluate(folder, device="cpu")
    else:
        store = copy_store(taught_store, tmp_path / "store")
        teach(TeachConfig(store, task="features", device="cpu"))
        folder = train(make("a", store, task=task, teacher="lite0", **BOTH))
    assert Run(folder).checkpoints == ("last",)


def test_killed_and_run_again(make, content, monkeypatch, fitted):
    config, left, epoch = make("killed", teacher="lite0", **BOTH), [2], Trainer.epoch

    def interrupted(self, number):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return epoch(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    with pytest.raises(RunError, match="differs in fit_on"):
        train(make("killed", teacher="lite0"))
    train(config)
    ours, theirs = (load_checkpoint(p / "last.safetensors")[0] for p in (config.out, fitted))
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert (config.out / "metrics.jsonl").read_text().count("\n") == 2


def test_a_store_without_a_validation_split(make, taught_store, tmp_path):
    def move(record):
        if record["split"] == "val":
            record["split"] = "train"

    store = copy_store(taught_store, tmp_path / "store", move)
    with pytest.raises(StoreError, match="has no validation split; leave out --fit-on"):
        train(make("a", store, **BOTH))


# What is done with such a run


def test_all_commands_take_the_last_epoch(fitted, make, tmp_path, furniture_root, cli):
    results = evaluate(fitted, device="cpu")
    assert results.keys() == {"last", "teacher"}
    written = read_json(fitted / "test.json")
    assert written["fit_on"] == "train+val"
    assert "best_epoch" not in written
    mesh = next((furniture_root / "bed" / "test").glob("*.off"))
    by_default, by_name = (
        predict(fitted, [mesh], checkpoint=which, device="cpu")[0] for which in ("best", "last")
    )
    assert by_default.ranking == by_name.ranking
    card = (export_run(fitted, "safetensors", tmp_path / "card") / "README.md").read_text()
    assert "the last checkpoint" in card
    status, out, _ = cli("evaluate", fitted, "--device", "cpu")
    assert status == 0
    assert "6 shapes, fitted on train+val, in percent" in " ".join(out.split())
    other = train(make("other", teacher="lite0"))
    evaluate(other, device="cpu")
    warnings = compare([fitted], [other]).warnings
    assert any("differ in fit_on: train and train+val" in text for text in warnings)
    page = write_report([fitted], tmp_path / "page.html").read_text()
    assert "train+val" in page
    with pytest.raises(RunError, match=r"fits train\+val and has no best checkpoint; use last"):
        compare([fitted], checkpoint="best")


def test_what_was_fitted_is_not_evaluated_as_validation(fitted):
    with pytest.raises(RunError, match=r"was fitted on train\+val; use --split test"):
        evaluate(fitted, "val", device="cpu")


def test_what_is_validated_does_not_start_from_it(make, fitted):
    with pytest.raises(ConfigError, match="learnt the labels of this store's validation split"):
        train(make("a", init=fitted))
    second = train(make("b", init=fitted, epochs=1, **BOTH))
    with pytest.raises(ConfigError, match="learnt the labels of this store's validation split"):
        train(make("c", init=second))


# Few labels


@pytest.mark.parametrize("fraction", [0.1, 0.34, 0.67])
def test_a_teacher_of_the_same_fraction_knows_no_label_that_is_held_back(taught_store, fraction):
    store = Store(taught_store)
    joined = store.with_validation()
    teachers = set(labelled_train(store, fraction, 3).tolist())
    known = set(labelled_train(joined, fraction, 3).tolist())
    val = set(store.indices("val").tolist())
    assert teachers == known - val
    assert known & val
    assert len(known) < len(joined.indices("train"))
    assert labelled_train(joined).tolist() == joined.indices("train").tolist()


def test_objectives_see_the_validation_split(make, taught_store, monkeypatch):
    seen, step = set(), Trainer._step

    def spy(self, batch, weights, unlabelled=None):
        assert unlabelled is not None
        seen.update(map(tuple, unlabelled.teacher["descriptors"][:, 0].tolist()))
        return step(self, batch, weights, unlabelled)

    monkeypatch.setattr(Trainer, "_step", spy)
    monkeypatch.setattr(train_module, "check_labels", lambda *_: None)
    few = {"label_fraction": 0.5, "teacher": "lite0", "epochs": 4, **BOTH}
    monkeypatch.setattr("pointmcd.teachers.stored.meant_name", lambda *_: "lite0")
    train(make("a", **few))
    assert len(seen) == 12
