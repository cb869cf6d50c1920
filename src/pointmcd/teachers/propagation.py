"""Labels spread from few shapes to all by the likeness of their views."""

import numpy as np
from scipy.sparse import csr_array, eye_array
from scipy.sparse.csgraph import laplacian
from scipy.sparse.linalg import cg
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize

from pointmcd.typing import Doubles, Floats, Indices

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
    remainder = laplacian(_graph(unit_rows(rows)), normed=True)  # I - S
    system = (1 - _SPREAD) * eye_array(len(rows)) + _SPREAD * remainder
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
    """Return rows [n, F] whose channels are standardised, constant ones 0, of length 1."""
    return np.asarray(normalize(StandardScaler().fit_transform(rows)), dtype=np.float32)


def _graph(rows: Floats) -> csr_array:
    """Symmetric weights [T, T] between nearest neighbours of unit rows."""
    count = min(_NEIGHBOURS, len(rows) - 1)
    graph = NearestNeighbors(n_neighbors=count).fit(rows).kneighbors_graph(mode="distance")
    graph.data = np.maximum(1 - graph.data**2 / 2, 0) ** _POWER  # rows of length 1: the cosine
    return csr_array(graph + graph.T)
