"""Named recipes: settings that fill those of `pointmcd train` where none are given."""

from dataclasses import fields, replace
from typing import Any

from pointmcd.errors import ConfigError
from pointmcd.specs import Spec
from pointmcd.training.config import TrainConfig

#: Fields that a recipe sets; tasks and students add their own. `paper` is the method's own setting
#: (see docs/how-it-works.md).
_RECIPES: dict[str, dict[str, Any]] = {
    "short": {},
    "auto": {},  # decides whether to distil (training/auto.py)
    "paper": {
        "optimizer": "sgd",
        "lr": 0.1,
        "final_lr": 0.001,
        "weight_decay": 5e-4,
        "task_weight": 0.1,
        "objective": ("vafp:1,distance=l1,start=plain",),
        "distill_course": "constant",
        "scale": 1.5,
        "shift": 0.2,
        "epochs": 350,
        "batch_size": 24,
    },
}
RECIPES = tuple(_RECIPES)


def apply_recipe(config: TrainConfig, recipe: str) -> TrainConfig:
    """Return `config` with the fields that the recipe names set to its values.

    Raises:
        ConfigError: when there is no such recipe.
    """
    if recipe not in _RECIPES:
        raise ConfigError(f"--recipe {recipe}: use one of {', '.join(RECIPES)}")
    if not _RECIPES[recipe]:
        return config
    from pointmcd.students.registry import student_recipe

    task = config.described_task
    own = {field.name for field in fields(task.Options)}
    of_task = {name: v for name, v in task.recipes.get(recipe, {}).items() if name not in own}
    of_student = student_recipe(config.student).get(task.name, {})
    settings = {**_RECIPES[recipe], **of_task, **of_student}
    return replace(config, task=recipe_task(config.task, recipe), **settings)


def recipe_task(text: str, recipe: str) -> str:
    """Return a task with the options that a recipe names for it, where none is given."""
    from pointmcd.tasks.task import get_task

    task, given = get_task(text), Spec.parse(text, "--task").options
    own = {field.name for field in fields(task.Options)} - given.keys()
    added = [f"{name}={v}" for name, v in task.recipes.get(recipe, {}).items() if name in own]
    return ",".join([text, *added])


def recipe_objective(recipe: str) -> tuple[str, ...]:
    """Return the objectives that a recipe names; none where the default ones serve."""
    objective: tuple[str, ...] = _RECIPES[recipe].get("objective", ())
    return objective
