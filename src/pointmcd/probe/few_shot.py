"""How well frozen features tell classes apart after a few labelled shapes of each."""

import numpy as np
from numpy.typing import NDArray

from pointmcd.errors import PointMCDError
from pointmcd.evaluation.statistics import Spread
from pointmcd.probe.features import Features, check_same_channels
from pointmcd.probe.linear import rare_classes_allowed, support_vector_machine


def few_shot(
    support: Features,
    query: Features,
    ways: int,
    shots: int,
    trials: int = 10,
    seed: int = 0,
    queries: int = 20,
) -> Spread | None:
    """Accuracy of linear SVMs that see `shots` shapes of each of `ways` classes.

    The protocol of CrossPoint (Afham et al. 2022, section 4): each trial draws classes and shapes
    anew; its score is the share of its query shapes that are put right. C is fixed to 1, since
    choosing it would use more labels, and the support shapes alone standardise the features.
    A trial depends on the labels, `seed` and its number only, so that two encoders of the same
    shapes get the same trials.

    Args:
        support: the part that the labelled shapes are drawn from; rows of D channels.
        query: the part to measure on, without any shape of `support`.
        ways: classes of a trial; each has `shots` shapes in `support` and one in `query`.
        shots: labelled shapes of each class.
        trials: number of trials.
        seed: which trials are drawn.
        queries: query shapes of each class; all there are, where a class has fewer.

    Returns:
        Mean and deviation over the trials; None where fewer than `ways` classes have the shapes.

    Raises:
        PointMCDError: for a number that makes no trial, or parts that differ in channels.
    """
    _check(ways, shots, trials, seed, queries)
    check_same_channels(support, query)
    classes = _usable_classes(support.labels, query.labels, shots)
    if len(classes) < ways:
        return None
    scores = []
    for trial in range(trials):
        generator = np.random.default_rng((seed, trial))
        drawn = generator.choice(classes, ways, replace=False)
        shown = _draw(generator, support.labels, drawn, shots)
        asked = _draw(generator, query.labels, drawn, queries)
        scores.append(_accuracy(support.take(shown), query.take(asked)))
    return Spread.of(scores)


def _check(ways: int, shots: int, trials: int, seed: int, queries: int) -> None:
    for name, value, least in (
        ("ways", ways, 2),
        ("shots", shots, 1),
        ("trials", trials, 1),
        ("seed", seed, 0),
        ("queries", queries, 1),
    ):
        if value < least:
            raise PointMCDError(f"few-shot {name} must be {least} or more, not {value}")


def _usable_classes(
    support: NDArray[np.int64], query: NDArray[np.int64], shots: int
) -> NDArray[np.int64]:
    """Classes [K], ascending, with at least `shots` labels in `support` and one in `query`."""
    classes, counts = np.unique(support, return_counts=True)
    usable: NDArray[np.int64] = classes[(counts >= shots) & np.isin(classes, query)]
    return usable


def _draw(
    generator: np.random.Generator, labels: NDArray[np.int64], classes: NDArray[np.int64], most: int
) -> NDArray[np.int64]:
    """Rows of up to `most` different shapes of each class, int64 [m]."""
    rows = [np.flatnonzero(labels == label) for label in classes]
    return np.concatenate([generator.choice(r, min(most, len(r)), replace=False) for r in rows])


def _accuracy(support: Features, query: Features) -> float:
    with rare_classes_allowed():
        model = support_vector_machine(cost=1.0).fit(support.values, support.labels)
    return float(np.mean(model.predict(query.values) == query.labels))
