"""Errors on corrupted clouds as tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from rich.text import Text

from pointmcd.tables import result_table

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.robustness.compare import CorruptedArm, CorruptedComparison
    from pointmcd.robustness.result import CorruptionResult

_SEVERITIES = tuple(f"severity {severity}" for severity in range(1, 6))
NOTES = (
    "Errors in percent; clean: the same clouds before they are corrupted. mean: over corruptions"
    " and severities. CE: the sum of a corruption's errors over severities in percent of the"
    " baseline's; mCE: its mean over corruptions; below 100 the run does better."
)


def corrupted_table(
    title: str, result: "CorruptionResult", ratios: Mapping[str, float] | None = None
) -> Table:
    """Errors of one run by corruption and severity, in percent, with CE where it is known."""
    table = Table(title=Text(title), caption=Text(NOTES))
    table.add_column("corruption", overflow="fold")
    for heading in (*_SEVERITIES, "mean", *(["CE"] if ratios else [])):
        table.add_column(heading, justify="right", overflow="fold")
    for name, errors in result.errors.items():
        cells = [_percent(error) for error in (*errors, float(np.mean(errors)))]
        table.add_row(name, *cells, *([_percent(ratios[name])] if ratios else []))
    table.add_section()
    blank = [""] * len(_SEVERITIES)
    mce = [_percent(float(np.mean(list(ratios.values()))))] if ratios else []
    table.add_row("all of these", *blank, _percent(result.mean_error), *mce)
    table.add_row("clean", *blank, _percent(result.clean_error), *([""] if ratios else []))
    return table


def comparison_columns(comparison: "CorruptedComparison") -> tuple[str, ...]:
    """Column titles of the comparison of arms."""
    figures = ("clean error", "mean error", "mCE", "difference (95% interval)")
    return (
        ("arm", "seeds", *figures) if comparison.clean.baseline else ("arm", "seeds", *figures[:2])
    )


def comparison_rows(comparison: "CorruptedComparison") -> list[tuple[str, ...]]:
    """One row of texts per arm, matching `comparison_columns`."""
    return [_arm_row(arm) for arm in comparison.arms]


def ratio_rows(comparison: "CorruptedComparison") -> list[tuple[str, ...]]:
    """One row per corruption: its name, and each arm's mean error over seeds and severities."""
    arms = comparison.arms
    return [
        (name, *(_error_and_ratio(arm, name) for arm in arms)) for name in arms[0].results[0].errors
    ]


def comparison_notes(comparison: "CorruptedComparison") -> list[str]:
    """How to read the figures, and what may make them unfair."""
    notes = [NOTES, "± is the standard deviation over seeds (ddof 1)."]
    if comparison.clean.baseline:
        notes.append(
            "Differences in points of the mean error, below zero where the arm does better;"
            " bootstrap over test shapes and seeds, 10,000 resamples, paired as in compare."
        )
    return notes + [f"Warning: {warning}" for warning in comparison.clean.warnings]


def corrupted_tables(comparison: "CorruptedComparison") -> list[Table]:
    """Return tables of the arms and of their errors by corruption."""
    title = f"Corrupted test split, {comparison.clean.count} shapes"
    by_corruption = ("corruption", *(arm.label for arm in comparison.arms))
    return [
        result_table(comparison_columns(comparison), comparison_rows(comparison), title),
        result_table(
            by_corruption,
            ratio_rows(comparison),
            "By corruption: error (CE)",
            comparison_notes(comparison),
        ),
    ]


def _arm_row(arm: "CorruptedArm") -> tuple[str, ...]:
    from pointmcd.evaluation.comparison_table import interval_text, percent

    cells = (arm.label, ", ".join(map(str, arm.seeds)), percent(arm.clean), percent(arm.error))
    if arm.mce is None:
        return cells
    return (*cells, percent(arm.mce), interval_text(arm.difference) if arm.difference else "")


def _error_and_ratio(arm: "CorruptedArm", name: str) -> str:
    error = _percent(float(np.mean([result.errors[name] for result in arm.results])))
    is_reference = arm.difference is None
    return (
        error if arm.ratios is None or is_reference else f"{error} ({_percent(arm.ratios[name])})"
    )


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
