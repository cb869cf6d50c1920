"""All metrics of one encoder's frozen features together."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import accuracy_score, recall_score

from pointmcd.metrics.statistics import Spread
from pointmcd.probing.metrics import (
    Floats,
    Ints,
    episodes,
    few_shot,
    linear_svm,
    nearest_neighbours,
    retrieval,
)

#: Ways and shots of the few-shot trials.
EPISODES = ((5, 10), (5, 20), (10, 10), (10, 20))


@dataclass(frozen=True)
class ProbeScores:
    """Scores of one encoder's features; fractions from 0 to 1.

    Attributes:
        svm: overall accuracy of the linear SVM.
        svm_class: mean over classes of the same.
        svm_cost: the C that cross-validation chose.
        knn: overall accuracy of nearest neighbours.
        knn_neighbours: the number that cross-validation chose.
        few_shot: by ways and shots ("5w10s") mean and deviation over ten trials; None where too
            few classes have the shapes.
        retrieval_map: mean average precision of retrieval among the tested shapes.
        svm_cross_validated: mean accuracy of the chosen C in that cross-validation.
    """

    svm: float
    svm_class: float
    svm_cost: float
    knn: float
    knn_neighbours: int
    few_shot: dict[str, Spread | None]
    retrieval_map: float | None
    svm_cross_validated: float | None = None


@dataclass(frozen=True)
class ProbeRow:
    """One row of the table: an encoder, and its scores with each of its seeds."""

    name: str
    scores: tuple[ProbeScores, ...]


def score_features(
    train_x: Floats, train_y: Ints, test_x: Floats, test_y: Ints, seed: int = 0
) -> ProbeScores:
    """Fit all probes on train and score them on test: features [n, D], labels [n]."""
    svm = linear_svm(train_x, train_y, test_x, seed)
    neighbours = nearest_neighbours(train_x, train_y, test_x, seed)
    trials = {f"{w}w{s}s": episodes(train_y, test_y, w, s, seed=seed) for w, s in EPISODES}
    classes = np.unique(test_y)
    return ProbeScores(
        svm=float(accuracy_score(test_y, svm.predictions)),
        svm_class=float(recall_score(test_y, svm.predictions, labels=classes, average="macro")),
        svm_cost=svm.chosen,
        knn=float(accuracy_score(test_y, neighbours.predictions)),
        knn_neighbours=int(neighbours.chosen),
        few_shot={k: few_shot(train_x, train_y, test_x, test_y, t) for k, t in trials.items()},
        retrieval_map=retrieval(train_x, test_x, test_y),
        svm_cross_validated=svm.cross_validated,
    )
