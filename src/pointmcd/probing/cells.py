"""Probe scores as texts, for the terminal and for Markdown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # it imports torch, which would slow every --help
    from pointmcd.evaluation.statistics import Spread
    from pointmcd.probing.scores import ProbeRow

_SHARES = ("svm", "svm_cross_validated", "svm_class", "knn")
_EPISODES = ("5w10s", "5w20s", "10w10s", "10w20s")
PROBE_COLUMNS = ("SVM", "CV", "by class", "kNN", *_EPISODES, "mAP")
PROBE_NOTES = (
    "Overall accuracy of a linear SVM, the same in cross-validation on the part that it is fitted"
    " on (far above: the encoder knows that part by heart), its mean over classes, overall accuracy"
    " of nearest neighbours (C and k by that cross-validation); few-shot accuracy (5w10s: 5 ways,"
    " 10 shots), mean ± deviation over ten trials, both averaged over seeds, the same trials for"
    " every row, - where too few classes have the shapes; mean average precision of retrieval."
    " Elsewhere ± is the deviation over seeds (ddof 1)."
)


def probe_cells(row: "ProbeRow") -> list[str]:
    """One row of texts, the name first, matching `PROBE_COLUMNS`."""
    scores = row.scores
    cells = [_spread([getattr(s, field) for s in scores]) for field in _SHARES]
    for key in _EPISODES:
        cells.append(_few_shot([s.few_shot[key] for s in scores]))
    return [row.name, *cells, _spread([s.retrieval_map for s in scores])]


def probe_markdown(rows: Sequence["ProbeRow"]) -> str:
    """The rows as a Markdown table."""
    lines = ["| features | " + " | ".join(PROBE_COLUMNS) + " |"]
    lines.append("| --- |" + " ---: |" * len(PROBE_COLUMNS))
    for row in rows:
        cells = (cell.replace("|", "\\|") for cell in probe_cells(row))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{100 * np.mean(known):.1f}"
    return mean if len(known) == 1 else f"{mean} ± {100 * np.std(known, ddof=1):.1f}"


def _few_shot(spreads: Sequence["Spread | None"]) -> str:
    known = [spread for spread in spreads if spread is not None]
    if not known:
        return "-"
    mean = np.mean([spread.mean for spread in known])
    deviation = np.mean([spread.std or 0.0 for spread in known])
    return f"{100 * mean:.1f} ± {100 * deviation:.1f}"
