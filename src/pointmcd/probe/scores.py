"""The probes of one encoder's features, all together."""

from dataclasses import dataclass

from pointmcd.evaluation.statistics import Spread
from pointmcd.probe.features import Features
from pointmcd.probe.few_shot import few_shot
from pointmcd.probe.linear import linear_svm, nearest_neighbours
from pointmcd.probe.retrieval import mean_average_precision

#: Ways and shots of the few-shot probes.
EPISODES = ((5, 10), (5, 20), (10, 10), (10, 20))


@dataclass(frozen=True)
class ProbeScores:
    """What one encoder's features reached; fractions from 0 to 1.

    Attributes:
        svm: overall accuracy of the linear SVM.
        svm_class: mean over classes of the same.
        svm_cost: the C that cross-validation on train chose.
        knn: overall accuracy of nearest neighbours.
        knn_neighbours: the number that cross-validation on train chose.
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
    """One line of the table: an encoder, and its scores with each of its seeds."""

    name: str
    scores: tuple[ProbeScores, ...]


def score_features(fit: Features, read: Features, seed: int = 0) -> ProbeScores:
    """All probes, fitted on one part and read on another.

    Raises:
        PointMCDError: when the part to fit on shows one class only.
    """
    svm, knn = linear_svm(fit, read, seed), nearest_neighbours(fit, read, seed)
    episodes = {f"{w}w{s}s": few_shot(fit, read, w, s, seed=seed) for w, s in EPISODES}
    return ProbeScores(
        svm=svm.accuracy,
        svm_class=svm.class_accuracy,
        svm_cost=svm.chosen,
        knn=knn.accuracy,
        knn_neighbours=int(knn.chosen),
        few_shot=episodes,
        retrieval_map=mean_average_precision(read, fit),
        svm_cross_validated=svm.cross_validated,
    )
