"""What only reports on classification have: confusion, and shapes that two arms disagree on."""

from typing import Any

from pointmcd.data.store import Store
from pointmcd.evaluation.arms import ClassificationArm
from pointmcd.evaluation.compare import Comparison
from pointmcd.plots.confusion import confusion_figure
from pointmcd.plots.style import png_uri
from pointmcd.report.gallery import mistakes
from pointmcd.report.headline import main_arm

#: Up to this many classes, two confusion pictures stand side by side.
_FEW_CLASSES = 12


def class_sections(comparison: Comparison, store: Store | None) -> dict[str, Any]:
    """Confusions and mistakes for the template; none of another task."""
    arms = [arm for arm in comparison.all_arms if isinstance(arm, ClassificationArm)]
    return {
        "confusions": [_confusion(arm) for arm in arms],
        "few_classes": len(comparison.arms[0].results[0].classes) <= _FEW_CLASSES,
        "mistakes": _mistakes(comparison, store),
    }


def _confusion(arm: ClassificationArm) -> dict[str, str]:
    classes, seeds = arm.results[0].classes, len(arm.seeds)
    title = arm.label if seeds == 1 else f"{arm.label}, {seeds} seeds added up"
    figure = confusion_figure(arm.confusion, classes, title)
    pairs = sorted(
        (-int(arm.confusion[i, j]), classes[i], classes[j])
        for i in range(len(classes))
        for j in range(len(classes))
        if i != j and arm.confusion[i, j]
    )
    worst = [f"{truth} taken for {guess} ({-count})" for count, truth, guess in pairs[:3]]
    text = f"Most frequent: {'; '.join(worst)}." if worst else "No mistakes."
    return {"arm": arm.label, "uri": png_uri(figure), "text": text}


def _mistakes(comparison: Comparison, store: Store | None) -> dict[str, Any] | None:
    baseline, arm = comparison.baseline, comparison.arms[main_arm(comparison)]
    if not isinstance(baseline, ClassificationArm) or not isinstance(arm, ClassificationArm):
        return None
    kinds = []
    for gained in (True, False):
        shown, count = mistakes(store, baseline, arm, gained)
        kinds.append({"gained": gained, "shown": shown, "count": count})
    return {"arm": arm.label, "baseline": baseline.label, "kinds": kinds}
