"""How well the shapes nearest to a shape by frozen features are of its class."""

import numpy as np
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from pointmcd.probe.features import Features, check_same_channels, standardiser

#: Equal similarities come out of a matrix product with different rounding.
_DECIMALS = 12


def mean_average_precision(test: Features, reference: Features) -> float | None:
    """Mean average precision (a fraction) when every test shape asks for the others of its class.

    Each test shape ranks all other test shapes by the cosine similarity of their features,
    standardised with the mean and deviation of `reference`, so that nothing is fitted on test. A
    query's average precision is the mean, over the shapes of its class, of the share of its class
    among all that rank as high or higher. Ties share one rank: a shape of the class counts all
    shapes of equal similarity as found with it, so the order of rows does not matter.

    Args:
        test: the shapes to query and to rank; n rows of D channels. Takes memory of n * n floats.
        reference: the train part. Of its labels nothing is used.

    Returns:
        The mean over the queries that have another shape of their class; None if none has.

    Raises:
        PointMCDError: when the two differ in their number of channels.
    """
    check_same_channels(reference, test)
    values = standardiser().fit(reference.values).transform(test.values)
    similarity = cosine_similarity(values).round(_DECIMALS)
    precisions = []
    for query, label in enumerate(test.labels):
        relevant = np.delete(test.labels == label, query)
        if relevant.any():
            scores = np.delete(similarity[query], query)
            precisions.append(average_precision_score(relevant, scores))
    return float(np.mean(precisions)) if precisions else None
