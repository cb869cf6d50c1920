"""Errors on corrupted clouds as tables."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
from rich.table import Table

from pointmcd.evaluation.comparison_table import Comparison, interval_text, percent, seeds_text
from pointmcd.metrics.statistics import Interval, Spread
from pointmcd.robustness.registry import SEVERITIES
from pointmcd.robustness.result import CorruptionResult, corruption_errors
from pointmcd.tables import result_table
from pointmcd.tasks.results import Variant

NOTES = (
    "Errors in percent; clean: the same clouds before they are corrupted. mean: over corruptions"
    " and severities. CE: the sum of a corruption's errors over severities in percent of the"
    " baseline's; mCE: its mean over corruptions; below 100 the run is better."
)


def corrupted_table(
    title: str, result: CorruptionResult, ratios: Mapping[str, float] | None = None
) -> Table:
    """Errors of one run by corruption and severity, in percent, with CE where it is known."""
    rows = [
        [name, *map(_percent, (*errors, float(np.mean(errors))))]
        for name, errors in result.errors.items()
    ]
    blank = [""] * len(SEVERITIES)
    rows.append(["all of these", *blank, _percent(result.mean_error)])
    rows.append(["clean", *blank, _percent(result.clean_error)])
    if ratios:
        shares = [*(ratios[name] for name in result.errors), float(np.mean(list(ratios.values())))]
        for row, cell in zip(rows, [*map(_percent, shares), ""], strict=True):
            row.append(cell)
    severities = (f"severity {severity}" for severity in SEVERITIES)
    columns = ("corruption", *severities, "mean", *(["CE"] if ratios else []))
    table = result_table(columns, rows, title, [NOTES])
    table.rows[-3].end_section = True
    return table


def corrupted_records(
    run: str, result: CorruptionResult, ratios: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Return one record of JSON values for each corruption, and one of clean clouds; fractions."""
    records: list[dict[str, Any]] = [
        {
            "run": run,
            "corruption": name,
            **{f"error_{number}": float(e) for number, e in zip(SEVERITIES, errors, strict=True)},
            "mean_error": float(np.mean(errors)),
            **({"ce": ratios[name]} if ratios else {}),
        }
        for name, errors in result.errors.items()
    ]
    return [*records, {"run": run, "corruption": None, "mean_error": result.clean_error}]


def comparison_errors(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one record of JSON values for each variant: errors, and what `compare` adds to them.

    Errors by corruption are means over severities and seeds.
    """
    records = []
    for variant, difference in comparison.rows:
        clean, error = _clean_and_mean(variant)
        record: dict[str, Any] = {"variant": variant.label, "seeds": list(variant.seeds)}
        record |= {"shapes": comparison.count, "clean_error": clean.mean, "clean_std": clean.std}
        record |= {"mean_error": error.mean, "mean_std": error.std}
        if comparison.baseline is not None:
            record["mce"] = mean_corruption_error(variant, comparison.baseline)[0].mean
        if difference:
            more = _of_errors(difference.overall)
            record |= {"difference": more.mean, "difference_low": more.low}
            record["difference_high"] = more.high
        every = _errors(variant)
        for name in every[0]:
            record[f"error_{name}"] = float(np.mean([one[name] for one in every]))
        records.append(record)
    return records


def corrupted_tables(comparison: Comparison) -> list[Table]:
    """Return tables of the variants and of their errors by corruption."""
    title = f"Corrupted test split, {comparison.count} shapes"
    metrics = ("clean error", "mean error", "mCE", "difference (95% interval)")
    shown = metrics if comparison.baseline else metrics[:2]
    notes = [NOTES, "± is the standard deviation over seeds (ddof 1)."]
    if comparison.baseline:
        notes.append(
            "Differences in points of the mean error, below zero where the variant does better;"
            " bootstrap over test shapes and seeds, 10,000 resamples, paired as in compare."
        )
    notes += [f"Warning: {warning}" for warning in comparison.warnings]
    columns = [_errors_by_corruption(one, comparison.baseline) for one in comparison.all_variants]
    errors = [(name, *(column[name] for column in columns)) for name in columns[0]]
    by_corruption = ("corruption", *(one.label for one in comparison.all_variants))
    return [
        result_table(("variant", "seeds", *shown), _rows(comparison), title),
        result_table(by_corruption, errors, "By corruption: error (CE)", notes),
    ]


def mean_corruption_error(variant: Variant, baseline: Variant) -> tuple[Spread, dict[str, float]]:
    """Return mCE over seeds in shares of the baseline's, and CE of each corruption.

    Seed by seed where both sides have the same seeds, else against the mean of the baseline's.
    """
    ours, theirs = _errors(variant), _errors(baseline)
    if variant.seeds != baseline.seeds:
        joined = {name: np.mean([one[name] for one in theirs], axis=0) for name in theirs[0]}
        theirs = [joined] * len(ours)
    every = [corruption_errors(one, other) for one, other in zip(ours, theirs, strict=True)]
    ratios = {name: float(np.mean([one[name] for one in every])) for name in every[0]}
    return Spread.of([float(np.mean(list(one.values()))) for one in every]), ratios


def _errors(variant: Variant) -> list[dict[str, Any]]:
    return [cast(CorruptionResult, result.metrics).errors for result in variant.results]


def _rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    for variant, difference in comparison.rows:
        clean, error = _clean_and_mean(variant)
        cells = (variant.label, seeds_text(variant), percent(clean), percent(error))
        if comparison.baseline is None:
            yield cells
            continue
        mce, _ = mean_corruption_error(variant, comparison.baseline)
        yield (
            *cells,
            percent(mce),
            interval_text(_of_errors(difference.overall)) if difference else "",
        )


def _clean_and_mean(variant: Variant) -> tuple[Spread, Spread]:
    """The error on clean clouds, and the mean over corruptions and severities, over seeds."""
    clean = Spread.of([1 - result.class_score for result in variant.results])
    return clean, Spread.of([1 - result.score for result in variant.results])


def _of_errors(scores: Interval) -> Interval:
    """The difference of errors, from that of scores: sign and ends are swapped."""
    return Interval(-scores.mean, -scores.high, -scores.low)


def _errors_by_corruption(variant: Variant, baseline: Variant | None) -> dict[str, str]:
    errors = _errors(variant)
    means = {name: _percent(float(np.mean([one[name] for one in errors]))) for name in errors[0]}
    if baseline in (None, variant):
        return means
    _, ratios = mean_corruption_error(variant, baseline)
    return {name: f"{mean} ({_percent(ratios[name])})" for name, mean in means.items()}


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
