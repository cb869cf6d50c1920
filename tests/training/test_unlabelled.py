"""Few labels: the task learns from the labelled shapes, the objectives from all of train."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from store_copies import copy_store
from trainers import steps_of, trainer_of

from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import read_json, write_json
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training import several
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = {"label_fraction": 0.34, "teacher": "lite0-features", "batch_size": 3}


@pytest.fixture(scope="module")
def store(taught_store, tmp_path_factory):
    """A store with a teacher that read no label. To be read only."""
    path = copy_store(taught_store, tmp_path_factory.mktemp("few") / "store")
    teach(TeachConfig(path, task="features", device="cpu"))
    return path


@pytest.fixture
def few(make, store):
    return lambda out, **options: make(out, store, **(FEW | options))


def test_a_step_has_labelled_shapes_and_a_batch_of_all(few, store, monkeypatch):
    opened, config = Store(store), few("a", epochs=4)
    steps = steps_of(config, monkeypatch)
    assert len(steps) == 12  # as many as with all of the nine shapes by three
    known = set(opened.labels(labelled_train(opened, config.label_fraction, config.seed)).tolist())
    for batch, unlabelled in steps:
        assert set(batch.labels.tolist()) <= known
        assert (batch.visibility, batch.teacher) == (None, {})
        assert unlabelled.labels.tolist() == [-1] * 3
        assert unlabelled.visibility is not None
        assert set(unlabelled.teacher) == {"descriptors"}
        assert len(unlabelled.points) == 3
    rows = {row.numpy().tobytes() for _, batch in steps for row in batch.teacher["descriptors"]}
    assert len(rows) == 9  # every train shape


def test_the_labelled_batches_are_those_of_the_baseline(few, monkeypatch):
    distilled = steps_of(few("a"), monkeypatch)
    baseline = steps_of(few("b", teacher=None), monkeypatch)
    assert len(distilled) == len(baseline)
    for (ours, _), (theirs, nothing) in zip(distilled, baseline, strict=True):
        assert nothing is None
        assert torch.equal(ours.points, theirs.points)
        assert torch.equal(ours.labels, theirs.labels)


def test_no_label_that_is_held_back_is_read(few, store, monkeypatch):
    config, opened = few("a"), Store(store)
    asked, read = [], Store.labels
    monkeypatch.setattr(Store, "labels", lambda s, i: (asked.append(np.array(i)), read(s, i))[1])
    train(config)
    allowed = {
        *labelled_train(opened, config.label_fraction, config.seed).tolist(),
        *opened.indices("val").tolist(),
    }
    assert set(np.concatenate(asked).tolist()) <= allowed


def test_all_shapes_differ_from_the_labelled_alone(few, content):
    whole = content(train(few("a", epochs=3)))
    assert whole["records"][-1]["vafp_loss"] > 0
    baseline = content(train(few("b", epochs=3, teacher=None)))
    assert whole["last"] != baseline["last"]
    assert content(train(few("c", epochs=3)))["last"] == whole["last"]


def test_with_all_labels_there_is_one_batch(make, few, parts_store):
    assert trainer_of(few("a", label_fraction=1.0)).unlabelled is None
    assert trainer_of(few("b", teacher=None)).unlabelled is None
    trainer = trainer_of(few("c"))
    assert len(trainer.unlabelled.indices) == 9
    assert len(trainer.dataset.indices) == 3


def test_parts_are_learnt_where_the_class_is_known(make, parts_store, tmp_path):
    path = copy_store(parts_store, tmp_path / "store")
    teach(TeachConfig(path, task="features", device="cpu"))
    options = {"task": "segmentation", "student": "pointnet", "points": 32}
    trainer = trainer_of(make("a", path, **(FEW | options)))
    batch = trainer.unlabelled.__getitems__(list(range(12)))
    assert batch.parts is None
    assert set(batch.labels.tolist()) == {0, 1}  # an input of the model
    assert trainer.dataset.__getitems__([0]).parts is not None


@pytest.fixture(scope="module")
def taught(store, tmp_path_factory):
    """A store with a teacher of the same labels that `FEW` knows. To be read only."""
    path = copy_store(store, tmp_path_factory.mktemp("taught") / "store")
    opened, asked, read = Store(path), [], Store.labels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "labels", lambda s, i: (asked.append(np.array(i)), read(s, i))[1])
        folder = teach(TeachConfig(path, label_fraction=0.34, epochs=2, device="cpu"))
    assert folder.name == "lite0-0.34-s0"
    known = labelled_train(opened, 0.34, 0)
    assert set(np.concatenate(asked).tolist()) == {*known.tolist(), *opened.indices("val").tolist()}
    return path


def test_a_teacher_of_the_same_labels_is_found_by_its_encoder(make, taught, content):
    options = {"label_fraction": 0.34, "batch_size": 3, "objective": ("logits",)}
    by_encoder = content(train(make("a", taught, teacher="lite0", **options)))
    by_name = content(train(make("b", taught, teacher="lite0-0.34-s0", **options)))
    assert by_encoder["last"] == by_name["last"]
    assert by_encoder["records"][-1]["logits_loss"] > 0


def test_more_labels_may_be_known_than_the_teacher_learnt(make, taught):
    config = make("a", taught, teacher="lite0-0.34-s0", label_fraction=0.67, batch_size=3)
    assert train(config).exists()


def test_a_teacher_of_other_labels_is_refused(make, taught):
    options = {"label_fraction": 0.34, "batch_size": 3}
    with pytest.raises(
        StoreError, match=r"no teacher lite0-0.34-s1 .*--label-fraction 0.34 --seed 1$"
    ):
        train(make("a", taught, teacher="lite0", seed=1, **options))
    wrong = (
        "learnt labels that are left out; make one by pointmcd teach --label-fraction 0.34 --seed 1"
    )
    with pytest.raises(ConfigError, match=wrong):
        train(make("b", taught, teacher="lite0-0.34-s0", seed=1, **options))
    with pytest.raises(ConfigError, match="learnt labels that are left out"):
        train(make("c", taught, teacher="lite0-0.34-s0", label_fraction=0.1, batch_size=3))


def test_a_learning_curve_makes_the_teachers_of_its_shares(make, taught, tmp_path, monkeypatch):
    store = copy_store(taught, tmp_path / "store")
    made = []
    monkeypatch.setattr(
        several, "teach", lambda config: made.append(config) or teach(short(config))
    )

    def short(config):
        return replace(config, epochs=1)

    config = make("curve", store, teacher="lite0", batch_size=3, epochs=1)
    runs = several.learning_curve(config, (0.1, 0.34))
    assert [one.label_fraction for one in made] == [0.1]  # that of the other is there
    names = [Run(run).meta["teacher"]["name"] for run in runs]
    assert names == ["lite0-0.1-s0", "lite0-0.34-s0"]
    for wrong in ({"epochs": -1}, {"log_to": ("nothing",)}):
        with pytest.raises((ConfigError, StoreError)):
            several.learning_curve(replace(config, **wrong), (0.2, 1.0))
    with pytest.raises(ConfigError, match="--at-once 0"):
        several.learning_curve(config, (0.2, 1.0), at_once=0)
    bare = copy_store(taught, tmp_path / "bare")
    shutil.rmtree(bare / "teachers")
    with pytest.raises(StoreError, match=r"no teacher lite0 \(there: none\)"):
        several.learning_curve(replace(config, store=bare), (0.1, 1.0))
    assert not (bare / "teachers").exists()
    assert len(made) == 1


def test_a_share_of_one_shape_is_left_out(make, taught, tmp_path, monkeypatch, capsys):
    def one_class(record):
        record["split"] = "none" if record["class"] != "bed" else record["split"]

    store = copy_store(taught, tmp_path / "store", one_class)
    monkeypatch.setattr(several, "teach", lambda config: None)
    monkeypatch.setattr(several, "train_all", lambda runs, at_once: runs)
    runs = several.learning_curve(make("a", store, teacher="lite0", batch_size=3), (0.1, 0.7))
    assert [run.label_fraction for run in runs] == [0.7]
    told = "note: 10% of the labels: one shape is too few for a teacher; left out"
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_teacher_is_made_as_its_name_says(make, taught, monkeypatch):
    made = []
    monkeypatch.setattr(several, "teach", made.append)
    for name in ("lite0-finetuned", "timm:vit_tiny"):
        several.make_teacher(make("a", taught, teacher=name, label_fraction=0.2))
    assert [one.teacher for one in made] == ["lite0", "timm:vit_tiny"]
    assert [one.finetune for one in made] == [True, False]


def test_few_labels_and_a_teacher_that_answers_choose_the_logits(make, taught, store):
    few = {"label_fraction": 0.34, "batch_size": 3, "objective": ()}
    by_default = Run(train(make("a", taught, teacher="lite0", **few)))
    assert by_default.settings["objective"] == ["logits:9"]
    named = Run(train(make("b", taught, teacher="lite0", **(few | {"objective": ("vafp:1",)}))))
    assert [text.split(",")[0] for text in named.meta["settings"]["objective"]] == ["vafp:1"]
    silent = Run(train(make("c", store, teacher="lite0-features", **few)))
    assert silent.settings["objective"] == ["vafp:3"]
    every = Run(train(make("d", store, teacher="lite0", **(few | {"label_fraction": 1.0}))))
    assert every.settings["objective"] == ["vafp:3"]
    again = make("a", taught, teacher="lite0", **few)
    assert train(again) == by_default.path  # finished, and known as the same


def test_shapes_without_a_label_are_learnt_from_by_the_objectives(make, tiny_store, tmp_path):
    path = copy_store(tiny_store, tmp_path / "store")
    content = read_json(path / "store.json")
    train_shapes = [shape for shape in content["shapes"] if shape["split"] == "train"]
    for shape in train_shapes[1::3] + train_shapes[2::3]:
        shape["class"] = None
    write_json(path / "store.json", content)
    teach(TeachConfig(path, epochs=2, device="cpu"))
    config = make("a", path, teacher="lite0", batch_size=3, objective=())
    trainer = trainer_of(config)
    assert len(trainer.dataset.indices) == 3
    assert len(trainer.unlabelled.indices) == 9
    assert Run(train(config)).settings["objective"] == ["logits:9"]
    baseline = Run(train(make("b", path, teacher=None)))
    assert baseline.meta["shapes"]["train"] == 3
    teach(TeachConfig(path, task="features", device="cpu"))
    every = trainer_of(make("c", path, task="pretrain", teacher="lite0", objective=("vafp",)))
    assert len(every.dataset.indices) == 9


def test_few_steps_are_told_before_they_begin(make, capsys):
    config = make("a", teacher=None, batch_size=4, epochs=2)
    train(config)
    said = " ".join(capsys.readouterr().err.split())
    assert "note: too few steps to compare results: 4 in all, 2 in each epoch; use" in said
    assert "use --epochs 100 or more, or smaller batches" in said
    train(config)
    assert "too few steps" not in capsys.readouterr().err
