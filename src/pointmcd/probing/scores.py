"""All metrics of one encoder's frozen features together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table
from sklearn.metrics import accuracy_score, recall_score

from pointmcd.evaluation.comparison_table import percent, range_text
from pointmcd.metrics.statistics import Spread, mean_interval
from pointmcd.probing.metrics import episodes, few_shot, linear_svm, nearest_neighbours, retrieval
from pointmcd.tables import result_table
from pointmcd.typing import Doubles, Indices

#: Ways and shots of the few-shot trials.
EPISODES = ((5, 10), (5, 20), (10, 10), (10, 20))
_EPISODES = {f"{ways}w{shots}s": (ways, shots) for ways, shots in EPISODES}
_SHARES = ("svm", "svm_cross_validated", "svm_class", "knn")
PROBE_COLUMNS = ("SVM", "CV", "by class", "kNN", *_EPISODES, "mAP")
PROBE_NOTES = (
    "Overall accuracy of a linear SVM, the same in cross-validation on the shapes that it is"
    " fitted on (where it is far above, the encoder has memorised these), its mean over classes,"
    " overall accuracy of nearest neighbours (C and k by that cross-validation); few-shot accuracy"
    " (5w10s: 5 ways, 10 shots), mean ± std over ten trials, both averaged over seeds, the same"
    " trials for every row, - if too few classes have enough shapes; mean average precision of"
    " retrieval. Elsewhere ± is the standard deviation over seeds (ddof 1)."
)


@dataclass(frozen=True)
class ProbeScores:
    """Scores of one encoder's features; fractions from 0 to 1.

    Attributes:
        svm: overall accuracy of the linear SVM, `svm_class` its mean over classes.
        svm_cost: the C that cross-validation chose, by `svm_cross_validated`, a mean accuracy.
        knn: overall accuracy of nearest neighbours, `knn_neighbours` of them.
        few_shot: by ways and shots ("5w10s") mean and deviation over ten trials; None where too
            few classes have the shapes.
        retrieval_map: mean average precision of retrieval among the tested shapes.
        shapes: number of these.
    """

    svm: float
    svm_class: float
    svm_cost: float
    knn: float
    knn_neighbours: int
    few_shot: dict[str, Spread | None]
    retrieval_map: float | None
    shapes: int
    svm_cross_validated: float | None = None


@dataclass(frozen=True)
class ProbeRow:
    """One row of the table: an encoder, and its scores with each of its seeds."""

    name: str
    scores: tuple[ProbeScores, ...]


def score_features(
    train_x: Doubles, train_y: Indices, test_x: Doubles, test_y: Indices, seed: int = 0
) -> ProbeScores:
    """Fit all probes on train and score them on test: features [n, D], labels [n]."""
    svm = linear_svm(train_x, train_y, test_x, seed)
    neighbours = nearest_neighbours(train_x, train_y, test_x, seed)
    trials = {key: episodes(train_y, test_y, *of, seed=seed) for key, of in _EPISODES.items()}
    classes = np.unique(test_y)
    return ProbeScores(
        svm=float(accuracy_score(test_y, svm.predictions)),
        svm_class=float(recall_score(test_y, svm.predictions, labels=classes, average="macro")),
        svm_cost=svm.chosen,
        knn=float(accuracy_score(test_y, neighbours.predictions)),
        knn_neighbours=int(neighbours.chosen),
        few_shot={k: few_shot(train_x, train_y, test_x, test_y, t) for k, t in trials.items()},
        retrieval_map=retrieval(train_x, test_x, test_y),
        shapes=len(test_y),
        svm_cross_validated=svm.cross_validated,
    )


def probe_table(rows: Iterable[ProbeRow], title: str = "") -> Table:
    """Return a table of the scores; mean and standard deviation over several seeds."""
    rows = list(rows)
    told = ", ".join(f"{row.name} [{range_text(_svm_interval(row.scores))}]" for row in rows)
    notes = [f"95% interval of SVM over shapes: {told}.", PROBE_NOTES]
    return result_table(("features", *PROBE_COLUMNS), map(probe_cells, rows), title, notes)


def probe_records(rows: Iterable[ProbeRow]) -> list[dict[str, Any]]:
    """Return one record of JSON values for each row: fractions, None where there is no score."""
    records = []
    for row in rows:
        low, high = _svm_interval(row.scores)
        record: dict[str, Any] = {"features": row.name, "shapes": row.scores[0].shapes}
        for name in (*_SHARES, "retrieval_map"):
            spread = _spread([getattr(one, name) for one in row.scores])
            record |= _told(name, spread)
        record |= {"svm_low": low, "svm_high": high}
        for key in _EPISODES:
            record |= _told(key, _few_shot([one.few_shot[key] for one in row.scores]))
        records.append(record)
    return records


def _told(name: str, spread: Spread | None) -> dict[str, float | None]:
    mean, std = (spread.mean, spread.std) if spread else (None, None)
    return {name: mean, f"{name}_std": std}


def _svm_interval(scores: Sequence[ProbeScores]) -> tuple[float, float]:
    """The SVM's accuracy, mean over seeds, as a 95% interval over the shapes."""
    return mean_interval(float(np.mean([one.svm for one in scores])), scores[0].shapes)


def probe_cells(row: ProbeRow) -> list[str]:
    """Return one row of texts, the name first, matching `PROBE_COLUMNS`."""
    shares = (_spread([getattr(s, name) for s in row.scores]) for name in _SHARES)
    trials = (_few_shot([s.few_shot[key] for s in row.scores]) for key in _EPISODES)
    every = (*shares, *trials, _spread([s.retrieval_map for s in row.scores]))
    return [row.name, *("-" if spread is None else percent(spread) for spread in every)]


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return Spread.of(known) if known else None


def _few_shot(spreads: Sequence[Spread | None]) -> Spread | None:
    known = [(spread.mean, spread.std or 0.0) for spread in spreads if spread is not None]
    return Spread(*np.mean(known, axis=0).tolist()) if known else None
