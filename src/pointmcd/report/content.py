"""Content of the page, as plain values for the template."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pointmcd import __version__
from pointmcd.data.store import Store
from pointmcd.errors import PointMCDError, RunError
from pointmcd.evaluation.comparison_table import (
    Comparison,
    Difference,
    columns,
    comparison_rows,
    interval_text,
    notes,
    percent,
    range_text,
    signed_points,
    table_title,
)
from pointmcd.evaluation.shape_sets import REST, SHAPE_SETS
from pointmcd.metrics.statistics import Interval
from pointmcd.plots.style import svg_uri, variant_colours
from pointmcd.report.curves import curves_figure
from pointmcd.report.gains import differences_figure, gains_figure
from pointmcd.report.gallery import contact_sheets, open_store
from pointmcd.report.learning_curve import learning_curve_figure
from pointmcd.report.settings import setting_rows, trained_on
from pointmcd.report.view import run_scenes, turned
from pointmcd.tasks.results import Section, Variant, unreadable


def page_content(
    comparisons: Sequence[Comparison],
    over_labels: Comparison | None = None,
    turning: bool = False,
) -> dict[str, Any]:
    """Everything that the template shows.

    Args:
        comparisons: of the same runs with one or more checkpoints; figures are of the first.
        over_labels: of what the learning curve shows; by default the first comparison.
        turning: whether shapes can be turned.
    """
    main = comparisons[0]
    variants = main.all_variants
    colours = variant_colours(variant.label for variant in variants)
    store = open_store(variants)
    curves = curves_figure(variants, colours)
    learning = learning_curve_figure(over_labels or main)
    rest = next((one for one in comparisons if one.split == REST != main.split), None)
    shapes = SHAPE_SETS[main.split].kind
    line, evidence = headline(main, rest)
    rows = setting_rows(variants)
    students = dict.fromkeys(variant.results[0].student for variant in variants)
    return {
        "version": __version__,
        "title": f"{', '.join(students)} on {main.count} {shapes}",
        "shapes": shapes,
        "wording": main.task.wording,
        "headline": line,
        "evidence": evidence,
        "cards": [_card(one, found, colours[one.label]) for one, found in main.rows],
        "tables": [_table(comparison) for comparison in comparisons],
        "notes": list(
            dict.fromkeys([*notes(main), *_notes_of_sets(comparisons), *_twins(store, comparisons)])
        ),
        "warnings": main.warnings,
        "differences": _differences(main, colours),
        "curves": svg_uri(curves) if curves else None,
        "learning_curve": svg_uri(learning) if learning else None,
        "variants": [variant.label for variant in variants],
        "gains": _gains(main),
        "sections": _sections(main, store),
        **_sheets(store, main),
        "main_variant": main.variants[main_variant(main)].label,
        "turned": _turned(store, main) if turning else None,
        "settings": [row for row in rows if row[2]],
        "same_settings": [row for row in rows if not row[2]],
        "facts": trained_on(variants),
        "runs": [
            (variant.label, str(Path(*result.path.resolve().parts[-2:])))
            for variant in variants
            for result in variant.results
        ],
    }


def _notes_of_sets(comparisons: Sequence[Comparison]) -> list[str]:
    every = (SHAPE_SETS[comparison.split].note for comparison in comparisons)
    return [note for note in every if note]


def _twins(store: Store | str, comparisons: Sequence[Comparison]) -> list[str]:
    """Note how many test shapes have twins among those that training saw, if any have."""
    counts = [comparison.count for comparison in comparisons if comparison.split == "test"]
    if isinstance(store, str) or not counts:
        return []
    splits = {shape.name: shape.split for shape in store.shapes}
    seen = [
        test for own, test in store.meta.get("twins", []) if splits.get(own) in ("train", "val")
    ]
    count = len({test for test in seen if splits.get(test) == "test"})
    have = "has a near-duplicate" if count == 1 else "have near-duplicates"
    note = f"{count} of {counts[0]} test shapes {have} in train or val (twins in store.json):"
    return [f"{note} results on the test split flatter."] * (count > 0)


def main_variant(comparison: Comparison) -> int:
    """Position of the variant that the page is about: plain distillation where there is one."""
    names = [variant.results[0].arm for variant in comparison.variants]
    return names.index("distilled") if "distilled" in names else 0


def headline(comparison: Comparison, rest: Comparison | None = None) -> tuple[str, str]:
    """The result in one line, and the numbers behind it.

    Of the comparison on all shapes whose labels no run knew, where there is one: the test shapes
    are among them.
    """
    if rest is not None and rest.differences:
        line, evidence = headline(rest)
        return line, f"{evidence} {headline(comparison)[1]}"
    variant = comparison.variants[main_variant(comparison)]
    if comparison.baseline is None or not comparison.differences:
        return f"{variant.label}: {percent(variant.score)} % {comparison.task.wording.share}", ""
    found, metric = _told_difference(comparison)
    one, two = variant.label, comparison.baseline.label
    where = SHAPE_SETS[comparison.split].where.format(comparison.count)
    evidence = (
        f"{signed_points(found.mean)} points of {metric} on {where};"
        f" 95% interval from {signed_points(found.low)} to {signed_points(found.high)}."
    )
    if found.low > 0:
        return f"{one} is better than {two}", evidence
    if found.high < 0:
        return f"{one} is worse than {two}", evidence
    return f"{one} and {two} are not measurably different", evidence


def _told_difference(comparison: Comparison) -> tuple[Interval, str]:
    """The main variant's difference in what a task goes by elsewhere, and the metric's name.

    That is the metric by which the best epoch is chosen, where it has an interval, or the main one.
    """
    task, found = comparison.task, comparison.differences[main_variant(comparison)]
    if task.best_name in found.others:
        return found.others[task.best_name], task.best_name
    return found.overall, task.wording.short


def _sections(comparison: Comparison, store: Store | str) -> list[Section]:
    """The sections that the task alone has."""
    baseline = [comparison.baseline] if comparison.baseline else []
    shown = [*baseline, comparison.variants[main_variant(comparison)]]
    return comparison.task.sections(shown, comparison.all_variants, store)


def _card(variant: Variant, difference: Difference | None, colour: str) -> dict[str, Any]:
    mean, _, std = percent(variant.score).partition(" ± ")
    return {
        "label": variant.label,
        "colour": colour,
        "mean": mean,
        "std": std,
        "interval": range_text(variant.interval),
        "class_score": percent(variant.class_score),
        "seeds": len(variant.seeds),
        "difference": interval_text(difference.overall) if difference else None,
    }


def _table(comparison: Comparison) -> dict[str, Any]:
    rows = list(comparison_rows(comparison))
    return {"title": table_title(comparison), "columns": columns(comparison), "rows": rows}


def _differences(comparison: Comparison, colours: dict[str, str]) -> dict[str, str] | None:
    if comparison.baseline is None:
        return None
    label = comparison.baseline.label
    figure = differences_figure(comparison.differences, label, colours, comparison.task.wording)
    texts = [f"{found.variant} {interval_text(found.overall)}" for found in comparison.differences]
    return {"uri": svg_uri(figure), "alt": f"Differences to {label}: {'; '.join(texts)} points"}


def _gains(comparison: Comparison) -> list[dict[str, str]]:
    """Bars of every variant on one scale, the main variant first."""
    first = comparison.variants[0].results[0]
    counts = Counter(first.classes[label] for label in first.labels)
    main = comparison.differences[main_variant(comparison) :][:1]
    others = [found for found in comparison.differences if found not in main]
    every = [g for found in comparison.differences for g in found.per_class.values() if g]
    limits = min(every, default=-0.01), max(every, default=0.01)
    return [
        {
            "variant": found.variant,
            "uri": svg_uri(gains_figure(found, counts, limits, comparison.task.wording)),
            "text": _gains_text(found),
        }
        for found in (*main, *others)
        if any(found.per_class.values())  # a figure of bars without length shows nothing
    ]


def _gains_text(difference: Difference) -> str:
    known = [gain for gain in difference.per_class.values() if gain is not None]
    better, worse = sum(gain > 0 for gain in known), sum(gain < 0 for gain in known)
    same, mean = len(known) - better - worse, signed_points(difference.class_score)
    classes = "class" if better == 1 else "classes"
    return f"{better} {classes} better, {worse} worse, {same} the same; mean {mean} points."


def _turned(store: Store | str, comparison: Comparison) -> dict[str, Any]:
    """Shapes that the first seed of the main variant does worst on, to turn by hand.

    Raises:
        RunError: when the store is not there.
    """
    first = comparison.variants[main_variant(comparison)].results[0]
    if isinstance(store, str):
        raise RunError(f"--view: {store}")
    return turned(run_scenes(first.path, split=comparison.split))


def _sheets(store: Store | str, comparison: Comparison) -> dict[str, Any]:
    """Contact sheets, or why there are none."""
    if isinstance(store, str):
        return {"sheets": [], "no_sheets": store}
    points = comparison.variants[0].results[0].config.get("points", store.num_points)
    try:
        return {"sheets": contact_sheets(store, int(points)), "no_sheets": None}
    except PointMCDError as error:
        return {"sheets": [], "no_sheets": unreadable(store.path, error)}
