"""`pointmcd train`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pointmcd.cli.output import (
    TEXT,
    Form,
    FormOptions,
    UsageError,
    print_labels,
    print_line,
    print_tables,
)
from pointmcd.options import Flag, metavar
from pointmcd.training.config import TrainConfig
from pointmcd.training.recipes import RECIPES, apply_recipe, recipe_objective, recipe_task


def train_command(arguments: Sequence[str]) -> Callable[..., None]:
    """Return the command, its defaults those of the recipe that the arguments name."""
    file = _value_of("--config", arguments, "") if arguments[:1] == ["train"] else ""
    default = _default(arguments, file)
    auto = _value_of("--recipe", arguments, RECIPES[0]) == "auto"
    distils: Literal["always", "auto"] = "auto" if auto else "always"

    def train(
        settings: Annotated[TrainConfig, tyro.conf.arg(name="")] = default,
        config: Annotated[Path | None, metavar("FILE")] = None,  # read before parsing, too
        recipe: Literal["short", "auto", "paper"] = "short",  # read before parsing, for defaults
        no_distill: Flag = False,
        distill: Literal["always", "auto"] = distils,
        learning_curve: Flag = False,
        folds: Annotated[int | None, metavar("K")] = None,
        seeds: Annotated[str | None, metavar("LIST")] = None,
        at_once: int = 1,
        form: FormOptions = TEXT,
    ) -> None:
        """Train a student on a store, distilled from a teacher or alone (--no-distill).

        Args:
            settings: Settings of the run.
            config: The config.yaml of a run: settings that are not given are taken from it, but
                for the run's folder.
            recipe: Defaults: short (for small data and short schedules), auto (the same with
                --distill auto) or paper (as published).
            no_distill: Train the baseline: without a teacher, everything else equal.
            distill: Always, or (auto) only where it pays by what is measured on the validation
                split: how far the teacher is ahead of a quick baseline, and how many labels there
                are.
            learning_curve: Train on 1, 5, 10, 20 and 100% of the labels, a run each; teachers of
                few labels are made where they are absent.
            seeds: Train with each of these seeds (0-4, or 0,2,5), the baseline too; evaluate all
                runs on the test split, or by --folds, and compare them.
            at_once: With --seeds, --folds or --learning-curve, how many runs are trained at a time,
                each in a process of its own. On a CPU take one for each core; a GPU takes several.
            folds: Cross-validate first: K runs that hold out the labelled shapes in turn, for an
                accuracy where there is no test split. With --seeds the baseline too. The teacher of
                a label file is made where it is absent.
            form: Form of the comparison that --seeds ends with.
        """
        from pointmcd.training.processes import is_main
        from pointmcd.training.several import learning_curve as run_all
        from pointmcd.training.train import train as run

        several = {"--folds": folds, "--seeds": seeds}
        given = [name for name, value in several.items() if value is not None]
        if learning_curve and given:
            raise UsageError(f"train: {given[0]} does not go with --learning-curve; leave one out")
        if at_once != 1 and not learning_curve and not given:
            raise UsageError("train: --at-once is for --seeds, --folds or --learning-curve")
        if form != TEXT and seeds is None:
            raise UsageError("train: --markdown, --json and --csv are for --seeds; leave them out")
        if learning_curve and distill == "auto" and not no_distill:
            raise UsageError(
                "train: --distill auto is for one share of the labels; leave out --learning-curve"
            )
        settings = _completed(settings, config, recipe)
        if no_distill:
            settings = replace(settings, teacher=None)
        elif distill == "auto":
            settings = _decided(settings, seeds, folds)
        if is_main():
            print_labels(settings.labels, settings.store, folds is not None)
        if seeds is not None:
            _compare_seeds(settings, seeds, at_once, folds, form)
            return
        if folds is not None:
            _cross_validate(settings, folds, at_once)
        runs = run_all(settings, at_once=at_once) if learning_curve else [run(settings)]
        if is_main():
            for folder in runs:
                if folds is not None:
                    _evaluate_folds(folder, settings.device)
                print_line(str(folder))
            _note_uncalibrated(runs)

    return train


def _completed(settings: TrainConfig, file: Path | None, recipe: str) -> TrainConfig:
    """Return the settings with the objectives and the task's options of a file, or of a recipe."""
    if file is not None:
        from pointmcd.training.run import read_config

        return replace(settings, objective=settings.objective or read_config(file).objective)
    return replace(
        settings,
        objective=settings.objective or recipe_objective(recipe),
        task=recipe_task(settings.task, recipe),
    )


def _note_uncalibrated(runs: Iterable[Path]) -> None:
    """Say once why confidences are not calibrated though shapes were held out."""
    from pointmcd.progress import note
    from pointmcd.training.calibration import count_held_out, tell_uncalibrated
    from pointmcd.training.run import Run

    texts = [tell_uncalibrated(run) for run in map(Run, runs) if count_held_out(run)]
    for text in dict.fromkeys(filter(None, texts)):
        note(text)


def _evaluate_folds(run: Path, device: str) -> None:
    """Keep what the folds said, for `compare` and `report`."""
    from pointmcd.evaluation.evaluate import evaluate

    evaluate(run, "folds", device=device)


def _decided(config: TrainConfig, seeds: str | None, folds: int | None) -> TrainConfig:
    """Return the settings that were decided on, of several seeds by the first."""
    from pointmcd.evaluation.seeds import read_seeds
    from pointmcd.progress import note
    from pointmcd.training.auto import decide
    from pointmcd.training.processes import is_main
    from pointmcd.training.several import make_teacher

    if seeds is not None:
        config = replace(config, seed=read_seeds(seeds)[0])
    if seeds is not None or folds is not None:
        make_teacher(config)
    decision = decide(config)
    if is_main():
        note(decision.reason)
    return decision.config


def _compare_seeds(
    config: TrainConfig, seeds: str, at_once: int, folds: int | None, form: Form
) -> None:
    from pointmcd.evaluation.comparison_table import comparison_records, comparison_table
    from pointmcd.evaluation.seeds import read_seeds, train_seeds
    from pointmcd.training.processes import is_main

    found = train_seeds(config, read_seeds(seeds), at_once, folds)
    if is_main():
        records = [row for one in found for row in comparison_records(one)]
        print_tables(list(map(comparison_table, found)), form, records)
        runs = [one.path for variant in found[-1].all_variants for one in variant.results]
        for path in runs if form == TEXT else ():
            print_line(str(path))
        _note_uncalibrated(runs)


def _cross_validate(config: TrainConfig, folds: int, at_once: int) -> None:
    from pointmcd.training.folds import cross_validate
    from pointmcd.training.processes import is_main

    found = cross_validate(config, folds, at_once)
    if is_main():
        print_line(
            f"cross-validated accuracy {found.accuracy:.1%} [{found.low:.1%}, {found.high:.1%}]"
            f" on {found.shapes} labelled shapes ({folds} folds)"
        )


def _default(arguments: Sequence[str], file: str) -> TrainConfig:
    if file:
        if _value_of("--recipe", arguments, ""):
            raise UsageError("train: --config does not go with --recipe; leave one out")
        from pointmcd.training.run import read_config  # imports torch, which would slow --help

        return replace(read_config(Path(file)), objective=())
    default = TrainConfig(
        store=tyro.MISSING,
        task=_value_of("--task", arguments, TrainConfig.task),
        student=_value_of("--student", arguments, TrainConfig.student),
    )
    recipe = _value_of("--recipe", arguments, RECIPES[0])
    if recipe in RECIPES:  # anything else is for the parser to refuse
        default = apply_recipe(default, recipe)
    # Objectives that are given add to the default's: the recipe's follow after parsing.
    return replace(default, objective=())


def _value_of(option: str, arguments: Sequence[str], default: str) -> str:
    for here, after in pairwise([*arguments, ""]):
        if here == option and after:
            return after
        if here.startswith(f"{option}="):
            return here.split("=", 1)[1]
    return default
