"""Metrics of frozen features: linear SVM, nearest neighbours, few-shot, retrieval.

The protocol by which encoders that learnt without labels are compared (linear SVM: Achlioptas et
al. 2018, section 5; few-shot: CrossPoint, Afham et al. 2022, section 4): the encoder stays as it
is, a classifier is fitted on the train split and scored once on the test split. Our own choices:
the one free setting is chosen by cross-validation on train, where papers often fix it or tune it
on test; features are standardised by what the classifier is fitted on; nearest neighbours as a
second classifier.

Everywhere features are float64 [n, D] and labels int64 [n], classes counted from 0.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import label_ranking_average_precision_score
from sklearn.metrics.pairwise import cosine_similarity, linear_kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.svm import SVC

from pointmcd.metrics.statistics import Spread
from pointmcd.typing import Doubles, Indices

#: Rows to fit on and rows held out, of each fold.
Folds = list[tuple[Indices, Indices]]

#: Values of C to choose from. With D standardised channels squared distances are about 2 D, so
#: that of 2,048 channels all from about 1e-3 separate without slack.
COSTS = tuple(10.0**exponent for exponent in range(-5, 2))
#: Numbers of neighbours to choose from.
NEIGHBOURS = (1, 3, 5, 10, 20)
_FOLDS = 5
#: Values that differ by less are equal: sums in another order round differently.
_DECIMALS = 12


class Fitted(NamedTuple):
    """A classifier's predictions [n_test], and the C or number of neighbours chosen for it.

    `cross_validated` is that choice's mean accuracy over the folds of train; None where train is
    too small to choose.
    """

    predictions: Indices
    chosen: float
    cross_validated: float | None


@contextmanager
def _rare_classes_allowed() -> Iterator[None]:
    """Silence scikit-learn where it warns of classes with few members; all else still warns."""
    with warnings.catch_warnings():
        for text in ("The least populated class", "The number of unique classes is greater"):
            warnings.filterwarnings("ignore", message=text, category=UserWarning)
        yield


@_rare_classes_allowed()
def linear_svm(train_x: Doubles, train_y: Indices, test_x: Doubles, seed: int = 0) -> Fitted:
    """Fit a linear SVM on train and predict the classes of test.

    C comes from `COSTS`, by cross-validation on train alone; of equally good values the smallest,
    which is the most regularised. Where train is too small for that, it is the middle one.

    Train shows at least two classes. `seed` deals its rows to folds, by row and label: encoders
    share their folds.
    """
    folds = _folds(train_y, seed)
    return _predict(_svm(), "svc__C", COSTS, folds, train_x, train_y, test_x)


@_rare_classes_allowed()
def nearest_neighbours(
    train_x: Doubles, train_y: Indices, test_x: Doubles, seed: int = 0
) -> Fitted:
    """Give each test shape the class of most of its nearest train shapes, by cosine.

    The number of neighbours comes from `NEIGHBOURS`, as far as the folds hold so many shapes,
    chosen as in `linear_svm`; where train is too small for that, it is 1. Of classes with equally
    many neighbours the lowest number wins. Arguments as for `linear_svm`.
    """
    folds = _folds(train_y, seed)
    most = min((len(fitted) for fitted, _ in folds), default=1)
    model = make_pipeline(_standardiser(), KNeighborsClassifier(metric="cosine"))
    setting, grid = "kneighborsclassifier__n_neighbors", [k for k in NEIGHBOURS if k <= most]
    return _predict(model, setting, grid, folds, train_x, train_y, test_x)


def episodes(
    train_y: Indices,
    test_y: Indices,
    ways: int,
    shots: int,
    *,
    trials: int = 10,
    seed: int = 0,
    queries: int = 20,
) -> Iterator[tuple[Indices, Indices]]:
    """Draw few-shot trials: rows of train to learn from, and rows of test to classify.

    A trial depends on the labels, `seed` and its number only: all encoders get the same trials.
    There are none where fewer than `ways` classes have `shots` shapes in train and one in test.

    A trial has `ways` classes, of each `shots` train shapes and `queries` test shapes, or all
    there are where a class has fewer.
    """
    classes, counts = np.unique(train_y, return_counts=True)
    classes = classes[(counts >= shots) & np.isin(classes, test_y)]
    for trial in range(trials if len(classes) >= ways else 0):
        generator = np.random.default_rng((seed, trial))
        drawn = generator.choice(classes, ways, replace=False)
        support = _draw(generator, train_y, drawn, shots)
        yield support, _draw(generator, test_y, drawn, queries)


@_rare_classes_allowed()
def few_shot(
    train_x: Doubles,
    train_y: Indices,
    test_x: Doubles,
    test_y: Indices,
    trials: Iterable[tuple[Indices, Indices]],
) -> Spread | None:
    """Accuracy of linear SVMs that each learn from the few shapes of one of `episodes`.

    C is 1, since choosing it would use more labels, and the few shapes alone standardise the
    features. Mean and standard deviation are over the trials; None if there are none.
    """
    accuracies = [
        float(_svm().fit(train_x[shown], train_y[shown]).score(test_x[asked], test_y[asked]))
        for shown, asked in trials
    ]
    return Spread.of(accuracies) if accuracies else None


def retrieval(train_x: Doubles, test_x: Doubles, test_y: Indices) -> float | None:
    """Mean average precision when every test shape asks for the others of its class.

    Each test shape ranks all other test shapes by the cosine similarity of their features,
    standardised by the mean and deviation of train, so that nothing is fitted on test. Shapes of
    equal similarity share one rank, so the order of rows does not matter. Takes memory of
    n_test * n_test floats. The mean is over the queries that have another shape of their class;
    None if none has.
    """
    similarity = cosine_similarity(_standardiser().fit(train_x).transform(test_x)).round(_DECIMALS)
    relevant = test_y[:, None] == test_y
    np.fill_diagonal(relevant, False)
    np.fill_diagonal(similarity, -2)  # the query itself comes last
    asks = relevant.any(axis=1)
    if not asks.any():
        return None
    return float(label_ranking_average_precision_score(relevant[asks], similarity[asks]))


def _standardiser() -> Any:
    """Scale every channel to mean 0 and standard deviation 1; a constant channel is only centred.

    Dividing by the largest size first does not change the outcome, but keeps large channels
    exact: StandardScaler alone leaves a constant 1e30 at 1e14, where it would drown all others.
    """
    return make_pipeline(MaxAbsScaler(), StandardScaler())


def _svm() -> Any:
    """Make a linear SVM on standardised features: exact, deterministic, one against one.

    The kernel goes in as a function, which one matrix product evaluates; libsvm's own "linear"
    gives the same classifier several times slower.
    """
    return make_pipeline(_standardiser(), SVC(kernel=linear_kernel))


def _folds(labels: Indices, seed: int) -> Folds:
    """Rows to fit on and rows held out, of each fold; none where all classes have one shape.

    A fold that holds out all shapes but those of one class teaches nothing, and is left out.
    """
    count = min(_FOLDS, int(np.bincount(labels).max()))
    if count < 2:
        return []
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    return [pair for pair in splitter.split(labels, labels) if np.ptp(labels[pair[0]]) > 0]


def _predict(
    model: Any,
    setting: str,
    grid: Sequence[float],
    folds: Folds,
    train_x: Doubles,
    train_y: Indices,
    test_x: Doubles,
) -> Fitted:
    """Choose the setting of `model` by `folds`, fit it on all of train, and classify test."""
    if not folds:
        chosen = grid[len(grid) // 2]
        model.set_params(**{setting: chosen}).fit(train_x, train_y)
        return Fitted(model.predict(test_x), chosen, None)
    search = GridSearchCV(model, {setting: grid}, cv=folds, refit=_first_best).fit(train_x, train_y)
    score = float(search.cv_results_["mean_test_score"][search.best_index_])
    return Fitted(search.predict(test_x), search.best_params_[setting], score)


def _first_best(results: dict[str, Any]) -> int:
    """Index of the first setting in the grid whose mean score is the best one."""
    return int(np.argmax(np.round(results["mean_test_score"], _DECIMALS)))


def _draw(generator: np.random.Generator, labels: Indices, classes: Indices, most: int) -> Indices:
    """Rows of up to `most` different shapes of each class, int64 [m]."""
    rows = [np.flatnonzero(labels == label) for label in classes]
    return np.concatenate([generator.choice(r, min(most, len(r)), replace=False) for r in rows])
