"""What the page says and shows, as plain values for the template."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pointmcd import __version__
from pointmcd.data.store import Store
from pointmcd.errors import PointMCDError
from pointmcd.evaluation.arms import Arm
from pointmcd.evaluation.compare import Comparison, Difference
from pointmcd.evaluation.comparison_table import (
    columns,
    comparison_rows,
    interval_text,
    notes,
    percent,
    signed_points,
    table_title,
)
from pointmcd.plots.style import arm_colours, svg_uri
from pointmcd.report.class_sections import class_sections
from pointmcd.report.curves import curves_figure
from pointmcd.report.gains import differences_figure, gains_figure
from pointmcd.report.gallery import contact_sheets, open_store
from pointmcd.report.headline import headline, main_arm
from pointmcd.report.learning_curve import learning_curve_figure
from pointmcd.report.part_sections import part_sections
from pointmcd.report.settings import setting_rows, trained_on


def page_content(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Everything that the template shows.

    Args:
        comparisons: of the same runs with one or more checkpoints; figures are of the first.
    """
    main = comparisons[0]
    arms = main.all_arms
    colours = arm_colours(arm.label for arm in arms)
    store = open_store(arms)
    curves = curves_figure(arms, colours)
    learning = learning_curve_figure(arms)
    line, evidence = headline(main)
    return {
        "version": __version__,
        "title": _title(main),
        "measure": main.measure,
        "headline": line,
        "evidence": evidence,
        "cards": [_card(main, arm, colours[arm.label]) for arm in arms],
        "tables": [_table(comparison) for comparison in comparisons],
        "notes": notes(main),
        "warnings": main.warnings,
        "differences": _differences(main, colours),
        "curves": svg_uri(curves) if curves else None,
        "learning_curve": svg_uri(learning) if learning else None,
        "arms": [arm.label for arm in arms],
        "gains": _gains(main),
        **class_sections(main, store if isinstance(store, Store) else None),
        "truth": part_sections(main, store),
        **_sheets(store, main),
        "settings": setting_rows(arms),
        "facts": trained_on(arms),
        "runs": [(arm.label, str(result.path)) for arm in arms for result in arm.results],
    }


def _title(comparison: Comparison) -> str:
    students = dict.fromkeys(arm.results[0].student for arm in comparison.all_arms)
    what = "parts of" if comparison.measure.task == "segmentation" else "on"
    return f"{', '.join(students)} {what} {comparison.count} test shapes"


def _card(comparison: Comparison, arm: Arm, colour: str) -> dict[str, Any]:
    found = {difference.arm: difference.overall for difference in comparison.differences}
    own = None if arm is comparison.baseline else found.get(arm.label)
    mean, _, std = percent(arm.score).partition(" ± ")
    return {
        "label": arm.label,
        "colour": colour,
        "mean": mean,
        "std": std,
        "class_score": percent(arm.class_score),
        "seeds": len(arm.seeds),
        "difference": interval_text(own) if own else None,
    }


def _table(comparison: Comparison) -> dict[str, Any]:
    rows = list(comparison_rows(comparison))
    return {"title": table_title(comparison), "columns": columns(comparison), "rows": rows}


def _differences(comparison: Comparison, colours: dict[str, str]) -> dict[str, str] | None:
    if comparison.baseline is None:
        return None
    label = comparison.baseline.label
    figure = differences_figure(comparison.differences, label, colours, comparison.measure)
    texts = [f"{found.arm} {interval_text(found.overall)}" for found in comparison.differences]
    return {"uri": svg_uri(figure), "alt": f"Differences to {label}: {'; '.join(texts)} points"}


def _gains(comparison: Comparison) -> list[dict[str, str]]:
    """Bars of every arm on one scale, the main arm first."""
    first = comparison.arms[0].results[0]
    counts = Counter(first.classes[label] for label in first.labels)
    main = comparison.differences[main_arm(comparison) :][:1]
    others = [found for found in comparison.differences if found not in main]
    every = [g for found in comparison.differences for g in found.per_class.values() if g]
    limits = min(every, default=-0.01), max(every, default=0.01)
    return [
        {
            "arm": found.arm,
            "uri": svg_uri(gains_figure(found, counts, limits, comparison.measure)),
            "text": _gains_text(found),
        }
        for found in (*main, *others)
    ]


def _gains_text(difference: Difference) -> str:
    known = [gain for gain in difference.per_class.values() if gain is not None]
    better, worse = sum(gain > 0 for gain in known), sum(gain < 0 for gain in known)
    same, mean = len(known) - better - worse, signed_points(difference.class_score)
    return f"{better} classes better, {worse} worse, {same} the same; mean {mean} points."


def _sheets(store: Store | str, comparison: Comparison) -> dict[str, Any]:
    """Contact sheets, or why there are none."""
    if isinstance(store, str):
        return {"sheets": [], "no_sheets": store}
    points = comparison.arms[0].results[0].config.get("points", store.num_points)
    try:
        return {"sheets": contact_sheets(store, int(points)), "no_sheets": None}
    except PointMCDError as error:
        return {"sheets": [], "no_sheets": f"The store cannot be read: {error}"}
