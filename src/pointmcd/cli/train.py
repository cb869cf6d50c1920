"""`pointmcd train`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

import tyro

from pointmcd.cli.output import print_line
from pointmcd.training.config import RECIPES, Task, TrainConfig, apply_recipe


def train_command(arguments: Sequence[str]) -> Callable[..., None]:
    """Return the command, its defaults those of the recipe that the arguments name."""
    default = _default(arguments)

    def train(
        config: Annotated[TrainConfig, tyro.conf.arg(name="")] = default,
        recipe: Literal["short", "paper"] = "short",  # read before parsing, for the defaults
        no_distill: bool = False,
        learning_curve: bool = False,
    ) -> None:
        """Train a student on a store, distilled from a teacher or (--no-distill) alone.

        Args:
            config: the settings.
            recipe: short (found on small data and short schedules) or paper (the method's own).
            no_distill: train the baseline, everything else equal.
            learning_curve: train with 1, 5, 10, 20 and 100% of the labels, a run each.
        """
        from pointmcd.training.processes import is_main
        from pointmcd.training.train import learning_curve as run_all
        from pointmcd.training.train import train as run

        settings = replace(config, teacher=None) if no_distill else config
        for folder in run_all(settings) if learning_curve else [run(settings)]:
            if is_main():
                print_line(str(folder))

    return train


def _default(arguments: Sequence[str]) -> TrainConfig:
    task: Any = _value_of("--task", arguments, "")
    default = TrainConfig(
        store=tyro.MISSING,
        task=task if task in get_args(Task) else "classification",
        student=_value_of("--student", arguments, "pointnet"),
    )
    recipe = _value_of("--recipe", arguments, RECIPES[0])
    if recipe in RECIPES:  # anything else is for the parser to refuse
        default = apply_recipe(default, recipe)
    return default


def _value_of(option: str, arguments: Sequence[str], default: str) -> str:
    for here, after in pairwise([*arguments, ""]):
        if here == option and after:
            return after
        if here.startswith(f"{option}="):
            return here.split("=", 1)[1]
    return default
