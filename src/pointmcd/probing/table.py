"""Probe scores as a table, in percent."""

from collections.abc import Iterable, Sequence

import numpy as np
from rich.table import Table

from pointmcd.evaluation.comparison_table import percent
from pointmcd.metrics.statistics import Spread
from pointmcd.probing.scores import EPISODES, ProbeRow
from pointmcd.tables import result_table

_KEYS = tuple(f"{ways}w{shots}s" for ways, shots in EPISODES)
PROBE_COLUMNS = ("SVM", "CV", "by class", "kNN", *_KEYS, "mAP")
PROBE_NOTES = (
    "Overall accuracy of a linear SVM, the same in cross-validation on the shapes that it is"
    " fitted on (far above: the encoder has memorised these), its mean over classes, overall"
    " accuracy of nearest neighbours (C and k by that cross-validation); few-shot accuracy (5w10s:"
    " 5 ways, 10 shots), mean ± std over ten trials, both averaged over seeds, the same"
    " trials for every row, - if too few classes have enough shapes; mean average precision of"
    " retrieval. Elsewhere ± is the standard deviation over seeds (ddof 1)."
)


def probe_table(rows: Iterable[ProbeRow], title: str = "") -> Table:
    """Return a table of the scores; mean and standard deviation over several seeds."""
    return result_table(("features", *PROBE_COLUMNS), map(probe_cells, rows), title, [PROBE_NOTES])


def probe_cells(row: ProbeRow) -> list[str]:
    """Return one row of texts, the name first, matching `PROBE_COLUMNS`."""
    svm, knn = ("svm", "svm_cross_validated", "svm_class"), "knn"
    shares = (_spread([getattr(s, name) for s in row.scores]) for name in (*svm, knn))
    trials = (_few_shot([s.few_shot[key] for s in row.scores]) for key in _KEYS)
    return [row.name, *shares, *trials, _spread([s.retrieval_map for s in row.scores])]


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return percent(Spread.of(known)) if known else "-"


def _few_shot(spreads: Sequence[Spread | None]) -> str:
    known = [spread for spread in spreads if spread is not None]
    if not known:
        return "-"
    deviation = np.mean([spread.std or 0.0 for spread in known])
    return percent(Spread(float(np.mean([spread.mean for spread in known])), float(deviation)))
