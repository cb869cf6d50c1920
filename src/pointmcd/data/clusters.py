"""Clusters of a shape's points: pieces of its surface, few enough to be labelled by hand."""

import hashlib
import warnings

import numpy as np

from pointmcd.data.records import Shapes
from pointmcd.errors import StoreError
from pointmcd.files import replacing
from pointmcd.typing import Doubles, Floats, Indices, Shorts

#: Clusters of a shape where nothing else is said.
CLUSTERS = 24
#: Neighbours that a normal is estimated from, and those that clusters grow along.
_FOR_NORMAL, _FOR_GROWTH = 16, 8
#: Length of the normals' share in the features, beside coordinates in the unit sphere.
_NORMAL_WEIGHT = 0.3


def shape_clusters(store: Shapes, index: int, count: int) -> tuple[Shorts, str]:
    """Return the cluster of each stored point of a shape, int16 [P], and the clusters' fingerprint.

    Clusters are counted from 0, from the top of the shape down. What is found is kept in the store,
    so that it stays the same under another version of a library. The fingerprint, such as
    24-1f0c9a3e, is of the points too.

    Args:
        store: the shapes.
        index: of the shape.
        count: of clusters; fewer where the shape has fewer points.

    Raises:
        StoreError: when the kept file is damaged.
    """
    points = store.points(np.array([index]), store.num_points)[0]
    place = store.path / "clusters" / str(count) / f"{index:05d}-{_digest(points)}.npy"
    if not place.exists():
        found = find_clusters(points, count, "xyz".index(store.rig["up"]))
        with replacing(place) as temporary, temporary.open("wb") as file:
            np.save(file, found)
    try:
        clusters = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"{place}: damaged; delete that file") from error
    return clusters, f"{count}-{_digest(points, clusters)}"


def _digest(*arrays: Floats | Shorts) -> str:
    content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
    return hashlib.sha256(content).hexdigest()[:8]


def find_clusters(points: Floats, count: int, up: int = 1) -> Shorts:
    """Cut a cloud [P, 3] into pieces that hang together: the cluster of each point, int16 [P].

    Ward's method along the neighbours of points, on coordinates and estimated normals: pieces are
    compact, and end at edges (benchmarks/labelling/pieces.py has how well they fit parts).

    Args:
        points: in the unit sphere.
        count: of pieces.
        up: the axis along which they are counted, from the top.
    """
    from sklearn.cluster import AgglomerativeClustering  # here: a label file is read without it
    from sklearn.neighbors import kneighbors_graph

    distinct, place = np.unique(points.astype(np.float64), axis=0, return_inverse=True)
    count = min(count, len(distinct))
    if count < 2:
        return np.zeros(len(points), dtype=np.int16)
    features = np.concatenate([distinct, _NORMAL_WEIGHT * _unsigned_normals(distinct)], axis=1)
    graph = kneighbors_graph(distinct, min(_FOR_GROWTH, len(distinct) - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # shapes of several components
        found = AgglomerativeClustering(count, connectivity=graph).fit_predict(features)
    heights = [distinct[found == number, up].mean() for number in range(count)]
    order = np.argsort(np.argsort(-np.array(heights), kind="stable"))
    return np.asarray(order[found][place.reshape(-1)], dtype=np.int16)


def _unsigned_normals(points: Doubles) -> Doubles:
    """Return estimated normals as [P, 6], equal for both directions: n n^T, its six values."""
    from sklearn.neighbors import kneighbors_graph

    near: Indices = kneighbors_graph(
        points, min(_FOR_NORMAL, len(points) - 1), include_self=False
    ).indices.reshape(len(points), -1)
    around = points[near]
    offsets = around - around.mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("pki,pkj->pij", offsets, offsets))
    normals = axes[:, :, 0]  # of the smallest spread
    rows, columns = np.triu_indices(3)
    scale = np.where(rows == columns, 1.0, np.sqrt(2.0))  # lengths as of all nine values
    return np.asarray(normals[:, rows] * normals[:, columns] * scale)
