"""Pretraining without labels, and what starts from it."""

import json

import numpy as np
import pytest
import torch
from killing import run_killed
from store_copies import copy_store, edit_json, edit_shapes, turn_labels
from trainers import trainer_of

from pointmcd.checkpoint import load_checkpoint, under_prefix
from pointmcd.data.store import Store
from pointmcd.distill.statistics import channel_statistics
from pointmcd.errors import ConfigError, RunError, StoreError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.students.registry import list_students
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import config_from_dict
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(taught_store, tmp_path_factory):
    """A store with a teacher of labels, lite0, and one without, lite0-features. To be read only."""
    path = copy_store(taught_store, tmp_path_factory.mktemp("unlabelled") / "store")
    teach(TeachConfig(path, task="features", device="cpu"))
    return path


@pytest.fixture
def pretrain(make, store):
    def config(out, **options):
        return make(out, **({"store": store, "task": "pretrain", "teacher": "lite0"} | options))

    return config


#: What a student has for parts behind its embeddings.
FOR_POINTS = ("student.to_", "student.up.2.", "student.up.3.", "student.pool.")
#: CurveNet's blocks at N / 256: of one point, which has no neighbour to differ from.
ALONE = tuple(f"student.encoder.blocks.{block}.reduce." for block in (8, 9, 10))


def refuse(*_):
    raise AssertionError("a label was read")


def student_of(run):
    return under_prefix("model.student", load_checkpoint(run / "last.safetensors")[0])


def test_a_run_records_agreement_and_no_accuracy(pretrain):
    run = Run(train(pretrain("a", epochs=3)))
    records = run.metrics()
    assert run.finished
    assert set(records[0]) == {
        *("epoch", "lr", "vafp_loss", "val_loss", "val_agreement", "seconds")
    }
    assert records[-1]["vafp_loss"] < records[0]["vafp_loss"]
    assert run.meta["teacher"]["name"] == "lite0-features"
    assert run.config.task == "pretrain"
    assert run.config.arm == "distilled"


def test_best_is_the_epoch_of_highest_agreement(pretrain):
    run = Run(train(pretrain("a", epochs=4)))
    scores = [record["val_agreement"] for record in run.metrics()]
    assert load_checkpoint(run.checkpoint("best"))[1]["epoch"] == 1 + int(np.argmax(scores))


def test_no_label_is_read_and_none_changes_anything(pretrain, store, tmp_path, monkeypatch):
    bare, turned = tmp_path / "bare", tmp_path / "turned"
    copy_store(store, bare)
    edit_shapes(bare, lambda record: record.update({"class": None}))
    copy_store(store, turned)
    edit_shapes(turned, turn_labels("train"))
    monkeypatch.setattr(Store, "labels", refuse)
    runs = [
        train(pretrain(f"run{number}", store=place))
        for number, place in enumerate((store, bare, turned))
    ]
    first, *others = (student_of(run) for run in runs)
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)


def test_a_teacher_of_labels_is_refused(pretrain, store, tmp_path):
    bare = copy_store(store, tmp_path / "bare", without=("lite0-features",))
    with pytest.raises(StoreError, match="--teacher lite0 --task features"):
        train(pretrain("a", store=bare))
    named = copy_store(store, tmp_path / "named")
    (named / "teachers" / "lite0").rename(named / "teachers" / "mine")
    edit_json(named / "teachers" / "mine" / "teacher.json", lambda m: m.update(name="mine"))
    with pytest.raises(ConfigError, match=r"--task pretrain: teacher mine learnt .* features$"):
        train(pretrain("b", store=named, teacher="mine"))


def test_a_start_that_learnt_from_labels_is_refused(pretrain, make):
    supervised = train(make("supervised"))
    with pytest.raises(ConfigError, match=r"--init .*supervised: learnt from labels; --task pretr"):
        train(pretrain("a", init=supervised))
    assert train(pretrain("c", init=train(pretrain("b"))))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"teacher": None}, "--no-distill: --task pretrain is distillation and nothing else"),
        (
            {"objective": ("vafp:0",)},
            "--objective: all weights are 0; --task pretrain would learn nothing",
        ),
        ({"distill_course": "first"}, "--distill-course first: --task pretrain has no task"),
        ({"label_fraction": 0.5}, "--label-fraction: --task pretrain uses no labels"),
    ],
)
def test_settings_that_make_no_sense(pretrain, options, text):
    with pytest.raises(ConfigError, match=text):
        train(pretrain("a", **options))


@pytest.mark.parametrize("loss", ["l1", "smooth_l1", "cosine"])
def test_every_distance_learns(pretrain, loss):
    records = Run(
        train(pretrain("a", objective=(f"vafp:1,distance={loss}",), epochs=4, lr=0.003))
    ).metrics()
    assert records[-1]["vafp_loss"] < records[0]["vafp_loss"]


def test_signed_descriptors_have_no_relu_in_their_way(pretrain, store):
    trainer = trainer_of(pretrain("a"))
    assert trainer.training.objectives["vafp"].projection.signed
    assert trainer.training.objectives["vafp"].projection.linear.out_features == 1280


def test_the_validation_split_is_standardised_as_train_is(pretrain, store):
    trainer = trainer_of(pretrain("a", objective=("vafp:1,standardise=true",)))
    vafp = trainer.training.objectives["vafp"]
    of_train = channel_statistics(trainer.dataset.teacher["descriptors"])
    assert np.allclose(vafp.mean, of_train.mean, atol=1e-4)
    of_val = channel_statistics(trainer.validation.dataset.teacher["descriptors"])
    assert not np.allclose(of_val.mean, of_train.mean, atol=0.01)


def test_it_cannot_be_evaluated(pretrain):
    run = train(pretrain("a"))
    with pytest.raises(RunError, match=r"pretrained.*pointmcd probe"):
        evaluate(run)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_the_same(pretrain, content, tmp_path):
    whole = content(train(pretrain("whole", epochs=3)))
    options = vars(pretrain("killed", epochs=3))
    assert run_killed("train", options, [("rename", 4), ("rename", 6)]) == 2
    killed = content(tmp_path / "runs" / "killed")
    for key in ("last", "best", "records"):
        assert killed[key] == whole[key]


def test_settings_survive_the_file(pretrain):
    config = pretrain("a", task="pretrain,dense=true")
    run = Run(train(config))
    assert run.config == config
    values = json.loads(json.dumps(vars(config), default=str))
    assert config_from_dict(values) == config


@pytest.mark.parametrize("student", list_students())
@pytest.mark.parametrize(
    "task", ["pretrain", pytest.param("pretrain,dense=true", marks=pytest.mark.slow)]
)
def test_every_student_can_be_pretrained(pretrain, store, student, task):
    config = pretrain("a", student=student, points=128, task=task)
    trainer = trainer_of(config)
    trainer.module.train()
    for batch in trainer.loaders[0]:  # twice: PointNet's transforms begin with weights of zero
        trainer._step(batch, (0.0, 1.0))
    still = [n for n, p in trainer.module.named_parameters() if p.grad is None or not p.grad.any()]
    # The descriptors reach every layer but those that only label points.
    assert all("dense" in task and name.startswith(FOR_POINTS + ALONE) for name in still), still
    scores = trainer._validate()
    assert np.isfinite(scores["val_loss"])
    assert -1 <= scores["val_agreement"] <= 1


def test_pretrained_for_parts_it_starts_a_run_of_parts(pretrain, make, parts_store):
    options = {"student": "dgcnn", "points": 64, "epochs": 1, "batch_size": 6}
    first = train(pretrain("first", task="pretrain,dense=true", **options))
    config = make("parts", parts_store, task="segmentation", init=first, **options)
    started = trainer_of(config).module.student.state_dict()
    for name, tensor in student_of(first).items():
        assert torch.equal(started[name], tensor), name
