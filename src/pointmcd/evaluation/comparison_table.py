"""A comparison as a table."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from pointmcd.evaluation.compare import Comparison
from pointmcd.evaluation.voting import wording
from pointmcd.metrics.statistics import Interval, PairedTest, Spread
from pointmcd.tables import result_table
from pointmcd.tasks.results import Variant


def columns(comparison: Comparison) -> tuple[str, ...]:
    """Column titles: the task's metrics by their names."""
    words = comparison.task.wording
    scores = [f"{text}{wording(comparison.voting)}" for text in (words.score, words.class_score)]
    metrics = (*scores, "difference (95% interval)", words.test)
    return ("variant", "seeds", *metrics)


def comparison_table(comparison: Comparison) -> Table:
    """Return the comparison as a table, in percent, with notes and warnings below it."""
    warnings = [f"Warning: {warning}" for warning in comparison.warnings]
    return result_table(
        columns(comparison),
        comparison_rows(comparison),
        table_title(comparison),
        [*notes(comparison), *warnings],
    )


def comparison_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """One row of texts per variant, the baseline first, teachers last, matching `columns`."""
    for variant, difference in (*comparison.rows, *comparison.teachers):
        scores = (score_text(variant), percent(variant.class_score))
        gain = interval_text(difference.overall) if difference else ""
        yield (
            variant.label,
            seeds_text(variant),
            *scores,
            gain,
            _test_text(difference.test) if difference else "",
        )


def comparison_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one record of JSON values per variant; scores, differences and p as fractions."""
    records = []
    for variant, difference in (*comparison.rows, *comparison.teachers):
        low, high = variant.interval
        record: dict[str, Any] = {
            "variant": variant.label,
            "seeds": " ".join(map(str, variant.seeds)),
            "score": variant.score.mean,
            "std": variant.score.std,
            "low": low,
            "high": high,
            "class_score": variant.class_score.mean,
            "class_std": variant.class_score.std,
        }
        if difference:
            overall, test = difference.overall, difference.test
            record |= {"difference": overall.mean, "difference_low": overall.low}
            record |= {"difference_high": overall.high, "p": test.p}
            record |= {"gained": test.gained, "lost": test.lost}
        records.append(record)
    return records


def seeds_text(variant: Variant) -> str:
    """Number of seeds, and which: "3 (0, 1, 2)", "1 (seed 0)"."""
    seeds = ", ".join(map(str, variant.seeds))
    return f"{len(variant.seeds)} ({seeds})" if len(variant.seeds) > 1 else f"1 (seed {seeds})"


def score_text(variant: Variant) -> str:
    """Mean and standard deviation over seeds; of one seed its 95% interval over test shapes."""
    if len(variant.seeds) > 1:
        return percent(variant.score)
    return f"{percent(variant.score)} [{range_text(variant.interval)}]"


def range_text(interval: tuple[float, float]) -> str:
    """An interval in percent: "69.2, 88.1"."""
    low, high = interval
    return f"{100 * low:.1f}, {100 * high:.1f}"


def table_title(comparison: Comparison) -> str:
    """Title with the checkpoint and the number of shapes."""
    which = {"last": "last epoch", "best": "best epoch on the validation split"}
    shown = f"{which[comparison.checkpoint]}{wording(comparison.voting)}"
    return f"Test split, {comparison.count} shapes, {shown}"


def notes(comparison: Comparison) -> list[str]:
    """Notes on how to read the metrics."""
    words = comparison.task.wording
    baseline = comparison.baseline.label if comparison.baseline else ""
    texts = [f"{words.plural} in percent: mean ± standard deviation over seeds (ddof 1)."]
    if any(len(variant.seeds) == 1 for variant in comparison.all_variants):
        texts.append("In brackets after one seed: 95% interval over test shapes (Wilson's).")
    if comparison.differences:
        paired = all(d.paired_by_seed for d in comparison.differences)
        how = "paired by seed and shape" if paired else "paired by shape, averaged over seeds"
        if not paired and any(d.paired_by_seed for d in comparison.differences):
            how = "paired by shape, and by seed where the seeds are the same"
        texts.append(
            f"Differences in points of {words.score} against {baseline}, {how};"
            " bootstrap over test shapes and seeds, 10,000 resamples."
        )
        texts.append(words.test_note)
    return texts


def percent(spread: Spread) -> str:
    """Mean and standard deviation in percent: "71.2 ± 0.8"."""
    mean = f"{100 * spread.mean:.1f}"
    return mean if spread.std is None else f"{mean} ± {100 * spread.std:.1f}"


def signed_points(value: float) -> str:
    """A difference in percentage points with its sign: "+5.1"."""
    return f"{100 * value:+.1f}"


def interval_text(interval: Interval) -> str:
    """A difference and its interval in points: "+5.1 [+2.3, +7.9]"."""
    low, high = signed_points(interval.low), signed_points(interval.high)
    return f"{signed_points(interval.mean)} [{low}, {high}]"


def _test_text(test: PairedTest) -> str:
    """Counts and p: "31 / 12, p 0.006"."""
    p = "p < 0.001" if test.p < 0.001 else f"p {test.p:.3f}"
    return f"{test.gained} / {test.lost}, {p}"
