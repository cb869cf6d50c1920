"""The named recipes, number by number: the method's table, and ours for short schedules."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pointmcd.errors import ConfigError
from pointmcd.training.config import LATER_FIELDS, TrainConfig
from pointmcd.training.recipes import RECIPES, apply_recipe, recipe_task

STORE = Path("/data/store")

SHORT = {
    **{"epochs": 0, "batch_size": 0, "points": 1024, "warmup_epochs": 0},
    **{"optimizer": "adamw", "lr": 1e-3, "final_lr": 1e-5, "weight_decay": 0.05},
    **{"task_weight": 1.0, "label_smoothing": 0.2, "regulariser_weight": 0.001},
    **{"scale": 1.25, "shift": 0.1, "rotation": "none", "resample": False},
    **{"objectives": ("vafp:3",), "distill_course": "constant", "distill_share": 0.3},
    **{"visibility": "exact", "pairing": "true", "precision": "no"},
}
PAPER = SHORT | {
    **{"optimizer": "sgd", "lr": 0.1, "final_lr": 0.001},
    "objectives": ("vafp:1,distance=l1,start=plain",),
}
CLASSES = PAPER | {"weight_decay": 5e-4, "task_weight": 0.1, "scale": 1.5, "shift": 0.2}
#: The method's smallest scale is 0.8, ours 1 / 1.2.
PARTS = PAPER | {
    **{"weight_decay": 1e-4, "scale": 1.2, "shift": 0.1, "points": 2048, "batch_size": 32},
    "regulariser_weight": 0.0,
}
POINTNET = CLASSES | {"epochs": 500, "batch_size": 64}
DGCNN = CLASSES | {"epochs": 350, "batch_size": 24}
POINTNET_PARTS = PARTS | {"epochs": 200, "task_weight": 0.1, "label_smoothing": 0.05}
DGCNN_PARTS = PARTS | {"epochs": 250, "task_weight": 1.0}
#: CurveNet's own.
CLIPPED = {"clip_gradients": 1.0}


#: Fields that say which run it is, or where, and not how it is trained.
NAMED = {
    *("store", "out", "task", "student", "teacher", "init", "seed", "labels", "unlabelled"),
    *("device", "workers", "overwrite", "features", "keep_checkpoints", "log_to"),
}


def settings(config):
    """All that a recipe may say; the objectives as they are read."""
    kept = {name: value for name, value in asdict(config).items() if name not in NAMED}
    kept = {name: v for name, v in kept.items() if LATER_FIELDS.get(name, ...) != v}
    del kept["objective"]
    return kept | {"objectives": config.objectives}


@pytest.mark.parametrize("task", ["classification", "segmentation", "pretrain"])
def test_short_schedules(task):
    config = TrainConfig(STORE, task=task)
    assert settings(config) == SHORT
    assert apply_recipe(config, "short") == config
    other = replace(config, lr=0.5, seed=2)
    assert apply_recipe(other, "short") == other


@pytest.mark.parametrize(
    ("task", "student", "expected"),
    [
        ("classification", "pointnet", POINTNET),
        ("classification", "dgcnn", DGCNN),
        ("segmentation", "pointnet", POINTNET_PARTS),
        ("segmentation", "dgcnn", DGCNN_PARTS),
        # Not known: those of the nearest known one.
        ("classification", "pointnet2", DGCNN),
        ("classification", "curvenet", DGCNN | CLIPPED),
        ("segmentation", "pointnet2", DGCNN_PARTS),
        ("segmentation", "curvenet", DGCNN_PARTS | CLIPPED),
        ("pretrain", "pointnet", POINTNET),
        ("pretrain,dense=true", "dgcnn", DGCNN),
    ],
)
def test_the_methods_own_setting(task, student, expected):
    config = TrainConfig(STORE, task=task, student=student, seed=2)
    paper = apply_recipe(config, "paper")
    assert settings(paper) == expected
    paper.check()
    for name in NAMED - {"task"}:
        assert getattr(paper, name) == getattr(config, name)
    head = "" if task.startswith("pretrain") else ",head=single"
    assert paper.task == task + head
    assert recipe_task(paper.task, "paper") == paper.task


def test_an_option_of_the_task_that_is_given_stays():
    config = TrainConfig(STORE, task="classification,head=published")
    assert apply_recipe(config, "paper").task == "classification,head=published"
    assert apply_recipe(TrainConfig(STORE), "short").task == "classification"


def test_a_recipe_leaves_a_baseline_a_baseline():
    config = apply_recipe(TrainConfig(STORE, teacher=None), "paper")
    assert config.arm == "baseline"
    assert config.objectives == ()
    assert config.objective == PAPER["objectives"]  # what --teacher would then mean


def test_a_control_stays_a_control():
    changed = {"visibility": "all", "pairing": "wrong", "precision": "bf16", "resample": True}
    paper = apply_recipe(TrainConfig(STORE, **changed), "paper")
    assert {name: getattr(paper, name) for name in changed} == changed


def test_an_unknown_recipe():
    with pytest.raises(ConfigError, match=f"--recipe long: use one of {', '.join(RECIPES)}"):
        apply_recipe(TrainConfig(STORE), "long")
