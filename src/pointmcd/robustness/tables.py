"""Errors on corrupted clouds as tables."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from pointmcd.errors import RunError
from pointmcd.evaluation.compare import Comparison
from pointmcd.evaluation.comparison_table import interval_text, percent
from pointmcd.metrics.statistics import Interval, Spread
from pointmcd.robustness.result import (
    CorruptionResult,
    check_same_corruptions,
    corruption_errors,
    read_corrupted,
)
from pointmcd.tables import result_table
from pointmcd.tasks.results import Variant
from pointmcd.training.run import Run

_SEVERITIES = tuple(f"severity {severity}" for severity in range(1, 6))
NOTES = (
    "Errors in percent; clean: the same clouds before they are corrupted. mean: over corruptions"
    " and severities. CE: the sum of a corruption's errors over severities in percent of the"
    " baseline's; mCE: its mean over corruptions; below 100 the run does better."
)


def ratios_against(
    baseline: Path, run: Path, result: CorruptionResult, split: str, checkpoint: str
) -> dict[str, float]:
    """CE of each corruption of one run; the baseline may have been evaluated on more of them.

    Raises:
        RunError: when the other was not shown all of them, or is of another store.
    """
    stores = {Run(path).meta["store_fingerprint"] for path in (run, baseline)}
    if len(stores) > 1:
        raise RunError(f"{run} and {baseline}: trained on different stores; use runs of one")
    theirs, _ = read_corrupted(baseline, split, checkpoint)
    shared = theirs.only([name for name in result.found if name in theirs.found])
    check_same_corruptions(run, result, baseline, shared)
    return corruption_errors(result.errors, theirs.errors)


def corrupted_table(
    title: str, result: CorruptionResult, ratios: Mapping[str, float] | None = None
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


def corrupted_tables(comparison: Comparison) -> list[Table]:
    """Return tables of the variants and of their errors by corruption."""
    title = f"Corrupted test split, {comparison.count} shapes"
    metrics = ("clean error", "mean error", "mCE", "difference (95% interval)")
    shown = metrics if comparison.baseline else metrics[:2]
    by_corruption = ("corruption", *(one.label for one in comparison.all_variants))
    return [
        result_table(("variant", "seeds", *shown), _rows(comparison), title),
        result_table(
            by_corruption,
            _corruption_rows(comparison),
            "By corruption: error (CE)",
            _notes(comparison),
        ),
    ]


def mean_corruption_error(variant: Variant, baseline: Variant) -> tuple[Spread, dict[str, float]]:
    """Return mCE over seeds in shares of the baseline's, and CE of each corruption.

    Seed by seed where both sides have the same seeds, else against the mean of the baseline's.
    """
    theirs = [_errors(result) for result in baseline.results]
    if variant.seeds != baseline.seeds:
        joined = {name: np.mean([one[name] for one in theirs], axis=0) for name in theirs[0]}
        theirs = [joined] * len(variant.results)
    pairs = zip(variant.results, theirs, strict=True)
    every = [corruption_errors(_errors(ours), reference) for ours, reference in pairs]
    ratios = {name: float(np.mean([one[name] for one in every])) for name in every[0]}
    return Spread.of([float(np.mean(list(one.values()))) for one in every]), ratios


def _errors(result: Any) -> dict[str, Any]:
    errors: dict[str, Any] = result.metrics.errors
    return errors


def _rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    differences = {one.variant: one.overall for one in comparison.differences}
    for variant in comparison.all_variants:
        clean = Spread.of([1 - result.class_score for result in variant.results])
        error = Spread.of([1 - result.score for result in variant.results])
        seeds = ", ".join(map(str, variant.seeds))
        cells = (variant.label, seeds, percent(clean), percent(error))
        if comparison.baseline is None:
            yield cells
            continue
        mce, _ = mean_corruption_error(variant, comparison.baseline)
        found = None if variant is comparison.baseline else differences[variant.label]
        yield (*cells, percent(mce), interval_text(_of_errors(found)) if found else "")


def _of_errors(scores: Interval) -> Interval:
    """The difference of errors, from that of scores: sign and ends are swapped."""
    return Interval(-scores.mean, -scores.high, -scores.low)


def _corruption_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    columns = []
    for variant in comparison.all_variants:
        means = {
            name: _percent(float(np.mean([_errors(result)[name] for result in variant.results])))
            for name in _errors(variant.results[0])
        }
        if comparison.baseline not in (None, variant):
            _, ratios = mean_corruption_error(variant, comparison.baseline)
            means = {name: f"{mean} ({_percent(ratios[name])})" for name, mean in means.items()}
        columns.append(means)
    return [(name, *(means[name] for means in columns)) for name in columns[0]]


def _notes(comparison: Comparison) -> Sequence[str]:
    notes = [NOTES, "± is the standard deviation over seeds (ddof 1)."]
    if comparison.baseline:
        notes.append(
            "Differences in points of the mean error, below zero where the variant does better;"
            " bootstrap over test shapes and seeds, 10,000 resamples, paired as in compare."
        )
    return notes + [f"Warning: {warning}" for warning in comparison.warnings]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
