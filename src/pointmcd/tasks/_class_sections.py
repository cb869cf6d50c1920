"""Sections of a report on classification: confusion, disagreements, mistakes, confidence."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmcd.data.store import Store
from pointmcd.metrics.calibration import calibration_error, soften
from pointmcd.plots.confusion import confusion_figure
from pointmcd.plots.reliability import reliability_figure
from pointmcd.plots.style import Picture, picture_uri, png_uri, svg_uri, variant_colours
from pointmcd.tasks.results import RunResult, Section, Variant, majority_class
from pointmcd.typing import Indices

#: Up to this many classes, two confusion pictures stand side by side.
_FEW_CLASSES = 12
_MISTAKES = 6


@dataclass(frozen=True)
class Mistake:
    """A test shape that one of two variants got right and the other wrong, by majority vote."""

    name: str
    truth: str
    baseline_says: str
    variant_says: str
    picture: Picture | None


def class_sections(
    shown: Sequence[Variant], every: Sequence[Variant], store: Store | str
) -> list[Section]:
    """Confusions, disagreements with the baseline, mistakes, confidence; see `Task.sections`."""
    few = len(every[0].results[0].classes) <= _FEW_CLASSES
    pictures = {"confusions": [_confusion(variant) for variant in every], "few_classes": few}
    sections = [Section("confusion", "Confusion", "confusion.html.j2", pictures)]
    if len(shown) == 2:
        pictured = store if isinstance(store, Store) else None
        values = {"mistakes": _mistakes(shown[0], shown[1], pictured)}
        sections.append(Section("mistakes", "Disagreements", "mistakes.html.j2", values))
    wrong = {"variants": [_wrong(variant) for variant in every]}
    sections.append(Section("wrong", "Mistakes", "wrong.html.j2", wrong))
    sections.append(Section("confidence", "Confidence", "confidence.html.j2", _confidence(every)))
    return sections


def _wrong(variant: Variant) -> dict[str, Any]:
    """The shapes that a seed has wrong: name, class, and what seeds said, as often as they did."""
    first, results = variant.results[0], variant.results
    said = np.stack([result.arrays["predictions"] for result in results])
    sure = np.mean([result.arrays["probabilities"].max(axis=1) for result in results], axis=0)
    missed = (said != first.labels).mean(axis=0)
    rows = sorted(np.flatnonzero(missed), key=lambda row: (-missed[row], -sure[row], row))
    return {
        "label": variant.label,
        "count": len(first.labels),
        "rows": [
            (first.names[row], first.classes[first.labels[row]], _guesses(said[:, row], first))
            for row in rows
        ],
    }


def _guesses(said: Indices, result: RunResult) -> str:
    """Predicted classes of the seeds: `sofa`, or `sofa 2, chair 1` where they differ."""
    counts = Counter(result.classes[one] for one in said).most_common()
    names = [f"{name} {count}" for name, count in counts]
    return counts[0][0] if len(counts) == 1 else ", ".join(names)


def _confidence(every: Sequence[Variant]) -> dict[str, Any]:
    """The reliability diagram of all variants, each in words too."""
    said, texts = {}, []
    for variant in every:
        temperatures = [result.temperature for result in variant.results]
        soft = np.concatenate(
            [
                soften(r.arrays["probabilities"], temperature)
                for r, temperature in zip(variant.results, temperatures, strict=True)
            ]
        )
        labels = np.concatenate([result.labels for result in variant.results])
        said[variant.label] = soft.max(axis=1), soft.argmax(axis=1) == labels
        sure, right = (values.mean() for values in said[variant.label])
        error = calibration_error(soft, labels)
        by = ", ".join(f"{one:.2f}" for one in temperatures)
        texts.append(
            f"{variant.label}: {sure:.0%} sure on average, {right:.0%} right; expected calibration"
            f" error (mean gap between the two) {error:.1%}"
            f"{'' if {*temperatures} == {1} else f', logits divided by {by}'}."
        )
    results = [result for variant in every for result in variant.results]
    fitted = any(result.temperature != 1 for result in results)
    where = "shapes that training held out."
    if any(result.folds for result in results):
        where = "these very shapes, which the folds held out: errors flatter a little."
    colours = variant_colours(said)
    return {
        "uri": svg_uri(reliability_figure(said, colours)),
        "texts": texts,
        "fitted": f"calibrated on {where}"
        if fitted
        else "not calibrated, as fewer than 20 shapes were held out.",
    }


def _confusion(variant: Variant) -> dict[str, str]:
    classes, seeds = variant.results[0].classes, len(variant.seeds)
    title = variant.label if seeds == 1 else f"{variant.label}, {seeds} seeds added up"
    measured: list[Any] = [result.metrics for result in variant.results]
    confusion = np.sum([metrics.confusion for metrics in measured], axis=0)
    pairs = sorted(
        (-int(confusion[i, j]), classes[i], classes[j])
        for i in range(len(classes))
        for j in range(len(classes))
        if i != j and confusion[i, j]
    )
    worst = [f"{truth} taken for {guess} ({-count})" for count, truth, guess in pairs[:3]]
    text = f"Most frequent: {'; '.join(worst)}." if worst else "No mistakes."
    uri = png_uri(confusion_figure(confusion, classes, title))
    return {"variant": variant.label, "uri": uri, "text": text}


def _mistakes(baseline: Variant, variant: Variant, store: Store | None) -> dict[str, Any]:
    """The clearest shapes that only the variant got right, and those that only the other did.

    Both kinds are chosen by the same rule: the difference of the probabilities, averaged over
    seeds, that the two give to the true class.
    """
    first = variant.results[0]
    rows, places = np.arange(len(first.labels)), _places(store)
    votes = majority_class(baseline.results), majority_class(variant.results)
    theirs, ours = (vote == first.labels for vote in votes)
    sure = [
        np.mean([result.arrays["probabilities"] for result in one.results], axis=0)
        for one in (baseline, variant)
    ]
    margin = np.abs(sure[1] - sure[0])[rows, first.labels]
    kinds = []
    for gained, differs in ((True, ours & ~theirs), (False, theirs & ~ours)):
        found = np.flatnonzero(differs)
        chosen = found[np.argsort(-margin[found], kind="stable")][:_MISTAKES]
        shown = [
            Mistake(
                first.names[row],
                first.classes[first.labels[row]],
                first.classes[votes[0][row]],
                first.classes[votes[1][row]],
                _thumbnail(store, places, first.names[row]),
            )
            for row in chosen
        ]
        kinds.append({"gained": gained, "shown": shown, "count": len(found)})
    return {"variant": variant.label, "baseline": baseline.label, "kinds": kinds}


def _places(store: Store | None) -> dict[str, int]:
    return {shape.name: i for i, shape in enumerate(store.shapes)} if store else {}


def _thumbnail(store: Store | None, places: dict[str, int], name: str) -> Picture | None:
    if store is None or name not in places:
        return None
    views = store.views(places[name])
    chosen = views[np.linspace(0, len(views), 3, endpoint=False).astype(int)]
    return Picture(picture_uri(np.concatenate(list(chosen), axis=1)), f"three views of {name}")
