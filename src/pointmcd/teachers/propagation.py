"""Labels spread from few shapes to all by the likeness of their views."""

import numpy as np
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import cg
from sklearn.neighbors import NearestNeighbors

from pointmcd.typing import Doubles, Floats, Indices, Reals

#: Neighbours of a shape, the power of their likeness, and how far labels spread (alpha).
_NEIGHBOURS, _POWER, _SPREAD = 7, 3, 0.8
#: What a classifier's answer counts beside a label.
_PRIOR = 0.1


def propagate(rows: Floats, labels: Indices, prior: Doubles) -> Doubles:
    """Return class probabilities of all shapes, from the labels of some and a classifier's answers.

    Zhou et al., "Learning with Local and Global Consistency" (NIPS 2003): F = (I - a S)^-1 Y, where
    S is the normalised graph of nearest neighbours, weighed by cosine similarity cubed as Iscen et
    al. do ("Label Propagation for Deep Semi-supervised Learning", CVPR 2019). Y has a one for each
    label; shapes without have a tenth of the classifier's answer *(ours)*, which keeps what it
    knows where alike shapes have other classes.

    Args:
        rows: features of the shapes, [T, F].
        labels: class ids, int64 [T]; -1: unknown.
        prior: a classifier's probabilities, [T, K].

    Returns:
        float64 [T, K], each row's sum 1; the rows of labels are their own.
    """
    known = labels >= 0
    start = _PRIOR * np.asarray(prior, np.float64)
    start[known] = 0
    start[known, labels[known]] = 1
    system = eye_array(len(rows)) - _SPREAD * _normalised(_graph(unit_rows(rows)))
    spread = np.stack([cg(system, column, rtol=1e-6)[0] for column in start.T], axis=1)
    spread = np.maximum(spread, 0)
    spread[known] = start[known]
    return np.asarray(spread / spread.sum(axis=1, keepdims=True))


def pooled_views(features: Floats) -> Floats:
    """Return rows [n, 2 F] of views [n, V, F]: their mean, and their maximum."""
    return np.concatenate([features.mean(axis=1), features.max(axis=1)], axis=1)


def certainty(probabilities: Doubles) -> Doubles:
    """Return 1 - entropy / log K of each row [n, K], 0 to 1 (Iscen et al., Eq. 11)."""
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1)
    return np.asarray(np.clip(1 - entropy / np.log(max(probabilities.shape[1], 2)), 0, 1))


def unit_rows(rows: Floats) -> Floats:
    """Return rows [n, F] whose channels are standardised, of length 1."""
    return np.asarray(of_length_one(standardised(rows)), dtype=np.float32)


def standardised(rows: Reals) -> Reals:
    """Return rows [n, F] whose channels have mean 0 and deviation 1; constant ones become 0."""
    spread = rows.std(axis=0)
    return np.asarray((rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1))


def of_length_one(rows: Reals) -> Reals:
    """Return rows [n, F] scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))


def _graph(rows: Floats) -> csr_array:
    """Symmetric weights [T, T] between nearest neighbours of unit rows."""
    count = min(_NEIGHBOURS, len(rows) - 1)
    distances, neighbours = NearestNeighbors(n_neighbors=count).fit(rows).kneighbors()
    weights = np.maximum(1 - distances**2 / 2, 0) ** _POWER  # rows of length 1: the cosine
    pointers = np.arange(len(rows) + 1) * count
    graph = csr_array((weights.ravel(), neighbours.ravel(), pointers), shape=(len(rows),) * 2)
    return csr_array(graph + graph.T)


def _normalised(graph: csr_array) -> csr_array:
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    scale = diags_array(1 / np.sqrt(np.where(degrees > 0, degrees, 1)))
    return csr_array(scale @ graph @ scale)
