"""How well simple classifiers read the classes off frozen features: linear SVM, neighbours.

The protocol by which encoders that learned without labels are compared (linear SVM: Achlioptas
et al. 2018, section 5; CrossPoint, Afham et al. 2022, section 4): the encoder stays as it is, the
classifier is fitted on the train part and read once on the test part. Our own choices: the one
free setting is chosen by cross-validation on the train part, where papers often fix it or tune it
on test; features are standardised by what the classifier is fitted on; neighbours as a second
reading.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import linear_kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import SVC

from pointmcd.errors import PointMCDError
from pointmcd.probe.features import Features, check_same_channels, standardiser

#: Values of C to choose from. With D standardised channels squared distances are about 2 D, so
#: that of 2,048 channels all from about 1e-3 separate without slack.
COSTS = tuple(10.0**exponent for exponent in range(-5, 2))
#: Numbers of neighbours to choose from.
NEIGHBOURS = (1, 3, 5, 10, 20)
_FOLDS = 5
#: Mean scores that differ by less are equal: averaging equal scores in another order rounds.
_EQUAL = 1e-12


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What a probe reached on the test part; accuracies are fractions from 0 to 1.

    Attributes:
        accuracy: share of the test shapes whose class was found.
        class_accuracy: mean of the accuracies of the classes that occur in test.
        chosen: the C of the SVM, or the number of neighbours.
        cross_validated: mean accuracy of `chosen` over the folds of the train part; None where
            the train part is too small to choose.
        predictions: int64 [n_test], class found for each test shape.
    """

    accuracy: float
    class_accuracy: float
    chosen: float
    cross_validated: float | None
    predictions: NDArray[np.int64]


def linear_svm(train: Features, test: Features, seed: int = 0) -> ProbeResult:
    """Fit a linear SVM on train and read it on test.

    C comes from `COSTS`, by cross-validation on train alone; of equally good values the smallest,
    which is the most regularised. Where train is too small for that, it is the middle one.

    Args:
        train: the shapes to fit on; n_train rows of D channels.
        test: the shapes to measure; a class that train does not show is simply wrong.
        seed: deals the train rows to folds, by row and label: encoders share their folds.

    Raises:
        PointMCDError: when train shows one class, the channels differ, or the seed is negative.
    """
    folds = _folds(train, seed)
    return _probe(support_vector_machine(), "svc__C", COSTS, folds, train, test)


def nearest_neighbours(train: Features, test: Features, seed: int = 0) -> ProbeResult:
    """Give each test shape the class of most of its nearest train shapes, by cosine.

    The number of neighbours comes from `NEIGHBOURS`, as far as the folds hold so many shapes,
    chosen as in `linear_svm`: of equally good values the smallest. Where train is too small for
    that, it is 1. Of classes with equally many neighbours the lowest number wins.

    Args:
        train: the shapes to look among; n_train rows of D channels, which standardise both.
        test: the shapes to measure; a class that train does not show is simply wrong.
        seed: deals the train rows to folds, by row and label: encoders share their folds.

    Raises:
        PointMCDError: when train shows one class, the channels differ, or the seed is negative.
    """
    folds = _folds(train, seed)
    most = min((len(fitted) for fitted, _ in folds), default=1)
    model = make_pipeline(standardiser(), Normalizer(), KNeighborsClassifier(algorithm="brute"))
    grid = [k for k in NEIGHBOURS if k <= most]
    return _probe(model, "kneighborsclassifier__n_neighbors", grid, folds, train, test)


def support_vector_machine(cost: float = 1.0) -> Any:
    """An unfitted linear SVM on standardised features: exact, deterministic, one against one.

    The kernel goes in as a function, which one matrix product evaluates; libsvm's own "linear"
    gives the same classifier several times slower.
    """
    return make_pipeline(standardiser(), SVC(kernel=linear_kernel, C=cost))


@contextmanager
def rare_classes_allowed() -> Iterator[None]:
    """Silence scikit-learn where it warns of classes with few members; all else still warns."""
    with warnings.catch_warnings():
        for text in ("The least populated class", "The number of unique classes is greater"):
            warnings.filterwarnings("ignore", message=text, category=UserWarning)
        yield


def _folds(train: Features, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to fit on and rows held out, of each usable fold; empty where there can be none.

    A fold that holds out all shapes but those of one class teaches nothing, and is left out.
    """
    counts = np.unique(train.labels, return_counts=True)[1]
    if len(counts) < 2:
        raise PointMCDError("the train part shows one class; a probe needs at least two")
    if seed < 0:
        raise PointMCDError(f"the seed of a probe must be 0 or more, not {seed}")
    folds = min(_FOLDS, int(counts.max()))
    if folds < 2:
        return []
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with rare_classes_allowed():
        pairs = list(splitter.split(train.labels, train.labels))
    return [pair for pair in pairs if len(np.unique(train.labels[pair[0]])) > 1]


def _probe(
    model: Any,
    setting: str,
    grid: Sequence[float],
    folds: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    train: Features,
    test: Features,
) -> ProbeResult:
    """Choose the setting of `model` by `folds`, fit it on all of train, and read it on test."""
    check_same_channels(train, test)
    chosen, score = grid[len(grid) // 2], None
    with rare_classes_allowed():
        if folds:
            search = GridSearchCV(model, {setting: grid}, cv=folds, refit=_first_best)
            search.fit(train.values, train.labels)
            chosen = search.best_params_[setting]
            score = float(search.cv_results_["mean_test_score"][search.best_index_])
            model = search.best_estimator_
        else:
            model.set_params(**{setting: chosen}).fit(train.values, train.labels)
    return _result(model.predict(test.values), test.labels, chosen, score)


def _first_best(results: dict[str, Any]) -> int:
    """Index of the first setting in the grid whose mean score is the best one."""
    means = results["mean_test_score"]
    return int(np.argmax(means >= means.max() - _EQUAL))


def _result(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], chosen: float, score: float | None
) -> ProbeResult:
    right = predictions == labels
    per_class = [right[labels == label].mean() for label in np.unique(labels)]
    return ProbeResult(
        accuracy=float(right.mean()),
        class_accuracy=float(np.mean(per_class)),
        chosen=float(chosen),
        cross_validated=score,
        predictions=predictions,
    )
