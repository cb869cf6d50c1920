"""A comparison of variants, and its table."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from pointmcd.evaluation.shape_sets import SHAPE_SETS
from pointmcd.evaluation.voting import wording
from pointmcd.metrics.statistics import Interval, PairedTest, Spread
from pointmcd.tables import Tabular, result_table, to_markdown
from pointmcd.tasks.results import Checkpoint, Variant
from pointmcd.tasks.task import Task, get_task


@dataclass(frozen=True)
class Difference:
    """One variant minus the baseline; scores are fractions.

    Attributes:
        variant: its label.
        paired_by_seed: both sides have the same seeds, and seed s is compared with seed s;
            otherwise each side's score per shape is averaged over its seeds.
        overall: difference in overall accuracy or instance mIoU with its 95% interval.
        class_score: difference in the mean over classes.
        per_class: difference in the score of each class; None without test shapes.
        test: paired test with one score per shape for all seeds of each side: McNemar's on the
            majority vote, or Wilcoxon's on the mean IoU averaged over the seeds.
        others: differences in further metrics with their intervals, by name.
    """

    variant: str
    paired_by_seed: bool
    overall: Interval
    class_score: float
    per_class: dict[str, float | None]
    test: PairedTest
    others: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Comparison(Tabular):
    """Result of `compare`; printed it is a table, in a notebook too.

    `to_frame` has a row for each variant.

    Attributes:
        checkpoint: "last" or "best" (on the validation split).
        count: number of shapes.
        baseline: the variant that the others are held against, or None.
        variants: the other variants.
        differences: one per variant, in the same order; empty without a baseline.
        warnings: what may make the comparison unfair, to be shown beside it.
        teachers: the teachers of the runs where they do the task themselves, one row each.
        voting: how many rescaled copies of each cloud every run voted over; 1: none.
        split: which shapes, a key of `SHAPE_SETS`.
    """

    checkpoint: Checkpoint
    count: int
    baseline: Variant | None
    variants: tuple[Variant, ...]
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]
    teachers: tuple[tuple[Variant, Difference | None], ...] = ()
    voting: int = 1
    split: str = "test"

    def __repr__(self) -> str:
        return to_markdown(comparison_table(self))

    def _table(self) -> Table:
        return comparison_table(self)

    def _records(self) -> list[dict[str, Any]]:
        return comparison_records(self)

    @property
    def all_variants(self) -> tuple[Variant, ...]:
        """The baseline, where there is one, and the variants."""
        return tuple(variant for variant, _ in self.rows)

    @property
    def rows(self) -> list[tuple[Variant, Difference | None]]:
        """All variants with their differences; the baseline, or none at all, has None."""
        differences = self.differences or (None,) * len(self.variants)
        first = [(self.baseline, None)] if self.baseline else []
        return [*first, *zip(self.variants, differences, strict=True)]

    @property
    def task(self) -> Task:
        """The task of all runs."""
        return get_task(self.variants[0].results[0].info["task"])


def columns(comparison: Comparison) -> tuple[str, ...]:
    """Column titles: the task's metrics by their names."""
    words = comparison.task.wording
    names = (words.score, words.class_score, *words.others)
    scores = [f"{text}{wording(comparison.voting)}" for text in names]
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
        others = map(variant.metric, comparison.task.wording.others)
        scores = (_score_text(variant), *map(percent, (variant.class_score, *others)))
        gain = interval_text(difference.overall) if difference else ""
        yield (
            variant.label,
            seeds_text(variant),
            *scores,
            gain,
            _test_text(difference.test) if difference else "",
        )


def comparison_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one record of JSON values per variant; scores, differences and p as fractions.

    With what is needed to cite it: which runs, of what, on what, and the warnings of all.
    """
    records = []
    for variant, difference in (*comparison.rows, *comparison.teachers):
        (low, high), (class_low, class_high) = variant.interval, variant.class_interval
        first = variant.results[0]
        record: dict[str, Any] = {
            "variant": variant.label,
            "baseline": comparison.baseline.label if comparison.baseline else None,
            "split": comparison.split,
            "checkpoint": comparison.checkpoint,
            "voting": comparison.voting,
            "shapes": comparison.count,
            "student": first.student,
            "seeds": list(variant.seeds),
            "runs": [str(result.path) for result in variant.results],
            "labels": first.info.get("labels"),
            "store_fingerprint": first.info["store_fingerprint"],
            "pointmcd": first.info.get("pointmcd"),
            "score": variant.score.mean,
            "std": variant.score.std,
            "low": low,
            "high": high,
            "class_score": variant.class_score.mean,
            "class_std": variant.class_score.std,
            "class_low": class_low,
            "class_high": class_high,
        }
        for name in comparison.task.wording.others:
            other = variant.metric(name)
            record |= {_key(name): other.mean, f"{_key(name)}_std": other.std}
        if difference:
            overall, test = difference.overall, difference.test
            record |= {"difference": overall.mean, "difference_low": overall.low}
            record |= {"difference_high": overall.high}
            record |= {"test": comparison.task.wording.test, "p": test.p}
            record |= {"gained": test.gained, "lost": test.lost}
            for name, gain in difference.others.items():
                key = f"{_key(name)}_difference"
                record |= {key: gain.mean, f"{key}_low": gain.low, f"{key}_high": gain.high}
        records.append(record | {"warnings": list(comparison.warnings)})
    return records


def _key(metric: str) -> str:
    """The name of a metric in records."""
    return metric.lower().replace(" ", "_")


def seeds_text(variant: Variant) -> str:
    """Number of seeds, and which: "3 (0, 1, 2)", "1 (seed 0)"."""
    seeds = ", ".join(map(str, variant.seeds))
    return f"{len(variant.seeds)} ({seeds})" if len(variant.seeds) > 1 else f"1 (seed {seeds})"


def _score_text(variant: Variant) -> str:
    """Mean and standard deviation over seeds, and the mean's 95% interval over test shapes."""
    return f"{percent(variant.score)} [{range_text(variant.interval)}]"


def range_text(interval: tuple[float, float]) -> str:
    """An interval in percent: "69.2, 88.1"."""
    low, high = interval
    return f"{100 * low:.1f}, {100 * high:.1f}"


def table_title(comparison: Comparison) -> str:
    """Title with the checkpoint and the number of shapes."""
    which = {"last": "last epoch", "best": "best epoch on the validation split"}
    shown = f"{which[comparison.checkpoint]}{wording(comparison.voting)}"
    return f"{SHAPE_SETS[comparison.split].title.format(comparison.count)}, {shown}"


def notes(comparison: Comparison) -> list[str]:
    """Notes on how to read the metrics."""
    words, shapes = comparison.task.wording, SHAPE_SETS[comparison.split]
    baseline = comparison.baseline.label if comparison.baseline else ""
    texts = [
        f"{words.plural} in percent: mean ± standard deviation over seeds (ddof 1); in brackets the"
        f" mean's 95% interval over {shapes.kind} (Wilson's)."
    ]
    if comparison.differences:
        paired = all(d.paired_by_seed for d in comparison.differences)
        how = "paired by seed and shape" if paired else "paired by shape, averaged over seeds"
        if not paired and any(d.paired_by_seed for d in comparison.differences):
            how = "paired by shape, and by seed where the seeds are the same"
        texts.append(
            f"Differences in points of {words.score} against {baseline}, {how};"
            f" bootstrap over {shapes.kind} and seeds, 10,000 resamples."
        )
        texts += _other_differences(comparison)
        texts.append(words.test_note)
        texts += _votes_of_more_labels(comparison)
    return texts + [shapes.note] * bool(shapes.note)


def _other_differences(comparison: Comparison) -> Iterator[str]:
    """One sentence for each further metric whose differences have intervals."""
    told = [(one.label, gain) for one, gain in (*comparison.rows, *comparison.teachers) if gain]
    for name in comparison.differences[0].others:
        parts = [f"{label} {interval_text(gain.others[name])}" for label, gain in told]
        yield f"Differences in {name}, likewise: {', '.join(parts)}."


def _votes_of_more_labels(comparison: Comparison) -> Iterator[str]:
    """How often each vote is right, where each seed knows other labels and votes know more."""
    every = [one for one, _ in (*comparison.rows, *comparison.teachers)]
    voted = [one for one in every if not math.isclose(one.joint_score, one.score.mean)]
    if any(one.labels_by_seed for one in voted):
        told = ", ".join(f"{one.label} {100 * one.joint_score:.1f}" for one in voted)
        yield (
            "Each seed knows other labels, and a vote over seeds knows more than any run: the"
            f" test compares these votes ({told}), the differences single runs."
        )


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
