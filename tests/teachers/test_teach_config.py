import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pointmcd.errors import ConfigError
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import LESSONS
from pointmcd.teachers.settings import check_config, command_for, decisive_settings, teacher_name

STORE = Path("store")


def name_of(**options):
    config = TeachConfig(STORE, **options)
    return teacher_name(LESSONS.get(config.task), config)


def options_of(**options):
    config = TeachConfig(STORE, **options)
    return LESSONS.get(config.task).read_options(config)


def check(config):
    check_config(LESSONS.get(config.task), config)


def decisive(config):
    return decisive_settings(LESSONS.get(config.task), config)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "lite0"),
        ({"finetune": True}, "lite0-finetuned"),
        ({"teacher": "random:lite0"}, "random-lite0"),
        ({"teacher": "random:lite0", "finetune": True}, "random-lite0-finetuned"),
        ({"task": "segmentation"}, "lite0-segmentation"),
        ({"teacher": "random:lite0", "task": "segmentation"}, "random-lite0-segmentation"),
        ({"task": "segmentation", "finetune": True}, "lite0-segmentation-finetuned"),
        ({"name": "mine", "finetune": True, "task": "segmentation"}, "mine"),
        ({"task": "features"}, "lite0-features"),
        ({"task": "features", "whiten": True}, "lite0-whitened"),
        ({"task": "autoencoder", "finetune": True}, "lite0-autoencoder-finetuned"),
    ],
)
def test_names(options, name):
    assert name_of(**options) == name


def test_the_command_that_makes_a_name_makes_it():
    for options, words in (
        ({}, "--teacher lite0"),
        ({"teacher": "random:lite0", "finetune": True}, "--teacher random:lite0 --finetune"),
        ({"task": "segmentation"}, "--teacher lite0 --task segmentation"),
        (
            {"teacher": "random:lite0", "task": "segmentation", "finetune": True},
            "--teacher random:lite0 --task segmentation --finetune",
        ),
        ({"task": "features"}, "--teacher lite0 --task features"),
        ({"task": "features", "whiten": True}, "--teacher lite0 --task features --whiten"),
        ({"task": "autoencoder"}, "--teacher lite0 --task autoencoder"),
    ):
        assert command_for(name_of(**options)) == words


def test_the_step_depends_on_what_is_trained_unless_given():
    assert options_of().lr == 1e-3
    assert options_of(finetune=True).lr == 1e-4
    assert options_of(finetune=True, lr=0.0).lr == 0


def test_the_schedule_is_the_tasks_own_where_nothing_is_given():
    schedule = {"epochs": 128, "batch_size": 48, "lr": 1e-3, "final_lr": 1e-6}
    own = {"weight_decay": 1e-5, "label_smoothing": 0.2, "propagate": True}
    assert asdict(options_of()) == schedule | own
    maps = {"epochs": 0, "final_lr": 5e-6, "weight_decay": 1e-5, "views_per_step": 4}
    assert asdict(options_of(task="segmentation")) == maps | {"batch_size": 4, "lr": 1e-2}
    assert asdict(options_of(task="autoencoder")) == maps | {"batch_size": 8, "lr": 1e-3}
    views = {"epochs": 20, "lr": 1e-4, "views_per_step": 4, "augment": True}
    assert asdict(options_of(finetune=True)) == schedule | own | views
    for task in ("segmentation", "autoencoder"):
        frozen, tuned = options_of(task=task), options_of(task=task, finetune=True)
        assert tuned == replace(frozen, lr=1e-4)  # the method's
    given = {"epochs": 3, "batch_size": 5, "lr": 0.25, "final_lr": 0.125}
    found = asdict(options_of(task="segmentation", **given))
    assert found == given | {"weight_decay": 1e-5, "views_per_step": 4}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epochs": 0}, "--epochs 0: must be at least 1"),
        ({"batch_size": 1}, "--batch-size 1: must be at least 2"),
        ({"task": "segmentation", "views_per_step": 0}, "--views-per-step 0: must be at least 1"),
        ({"seed": 2**32}, "--seed 4294967296: must be from 0 to 4294967295"),
        ({"seed": -1}, "--seed -1: must be from 0 to 4294967295"),
        ({"lr": -1.0}, "--lr -1.0: must be at least 0"),
        ({"lr": float("nan")}, "--lr nan: must be at least 0"),
        ({"final_lr": -1.0}, "--final-lr -1.0: must be at least 0"),
        ({"weight_decay": -0.1}, "--weight-decay -0.1: must be at least 0"),
        ({"label_smoothing": 1.0}, "--label-smoothing 1.0: must be at least 0 and below 1"),
        ({"label_smoothing": -0.1}, "--label-smoothing -0.1: must be at least 0 and below 1"),
        ({"runtime": "tensorrt"}, "--runtime tensorrt: use one of torch, onnx"),
        (
            {"runtime": "onnx", "device": "cuda"},
            "--runtime onnx: runs on the CPU; leave out --device cuda, or it",
        ),
    ],
)
def test_values_that_cannot_be_meant(options, text):
    with pytest.raises(ConfigError) as caught:
        check(TeachConfig(STORE, **options))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"finetune": True}, "--finetune"),
        ({"task": "segmentation"}, "--task segmentation"),
        ({"task": "autoencoder"}, "--task autoencoder"),
        ({"task": "autoencoder", "finetune": True}, "--finetune"),
    ],
)
def test_onnx_is_for_the_pooled_features_of_a_frozen_encoder(options, named):
    with pytest.raises(ConfigError, match=rf"--runtime onnx: computes .*, which {named} does not"):
        check(TeachConfig(STORE, runtime="onnx", **options))
    for fine in ({}, {"task": "features"}, {"device": "cpu"}):
        check(TeachConfig(STORE, runtime="onnx", **fine))


def test_values_at_the_edge_are_taken():
    check(TeachConfig(STORE, epochs=1, batch_size=2, lr=0.0, final_lr=0.0, label_smoothing=0.0))


def test_what_decides_the_result():
    plain = TeachConfig(STORE)
    elsewhere = TeachConfig(Path("other"), device="cuda", runtime="onnx", overwrite=True)
    assert decisive(plain) == decisive(elsewhere)
    # A default that is written out is no other setting.
    assert decisive(TeachConfig(STORE, name="lite0", lr=1e-3)) == decisive(plain)
    for change in ({"seed": 1}, {"lr": 2e-3}, {"finetune": True}, {"label_smoothing": 0.0}):
        assert decisive(TeachConfig(STORE, **change)) != decisive(plain)


def test_each_task_is_decided_by_its_own_settings():
    plain, parts = (TeachConfig(STORE, task=t) for t in ("classification", "segmentation"))
    assert {"views_per_step", "whiten"}.isdisjoint(decisive(plain))
    assert {"label_smoothing", "whiten"}.isdisjoint(decisive(parts))
    assert decisive(parts)["task"] == "segmentation"
    more = decisive(replace(parts, views_per_step=5, label_smoothing=0.1))
    assert more == decisive(parts) | {"views_per_step": 5}
    features = TeachConfig(STORE, task="features", epochs=3)
    assert decisive(features).keys() == {"teacher", "task", "name", "seed", "whiten"}


def test_an_unknown_option_is_refused():
    with pytest.raises(ConfigError, match=r"^--options heat: no lesson has that option$"):
        check(TeachConfig(STORE, options={"heat": "1"}))


def test_an_encoder_of_a_file_gives_a_folder_name():
    for encoder in (r"module:C:\own\net.py:make", "module:own/net.py:make"):
        name = teacher_name(LESSONS.get("classification"), TeachConfig(STORE, teacher=encoder))
        assert re.fullmatch(r"module-[\w.-]+-net\.py-make", name)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden"])
def test_a_name_that_is_no_folder_name_is_refused(name):
    with pytest.raises(ConfigError, match="--name"):
        check(TeachConfig(Path("store"), name=name))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"label_fraction": 0.0}, "--label-fraction 0.0: must be above 0 and at most 1"),
        ({"label_fraction": 1.5}, "--label-fraction 1.5: must be above 0 and at most 1"),
        ({"label_fraction": float("nan")}, "--label-fraction nan: must be above 0 and at most 1"),
        (
            {"label_fraction": 0.5, "task": "features"},
            "--label-fraction: --task features uses no labels; leave it out",
        ),
    ],
)
def test_fractions_that_cannot_be_meant(options, text):
    config = TeachConfig(STORE, **options)
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        check(config)
