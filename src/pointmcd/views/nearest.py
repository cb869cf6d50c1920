"""The stored point that each pixel of a store's views shows, nearly."""

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.data.store import Store
from pointmcd.typing import Bytes, Doubles, Indices
from pointmcd.views.places import stored_places
from pointmcd.views.render import BACKGROUND


def shown_points(store: Store, index: int, views: Indices) -> Indices:
    """Return for each pixel the stored point nearest to it, of those that the view sees.

    Args:
        store: the shapes.
        index: of the shape.
        views: which of its views, [v].

    Returns:
        Numbers of points, int64 [v, S, S]; -1 for background.
    """
    row, count = np.array([index]), store.num_points
    places = stored_places(store, index, count)
    seen = store.visibility(row, count)[0]
    pictures = store.views(index)
    found = (_nearest(pictures[view], places[view], seen[:, view].nonzero()[0]) for view in views)
    return np.stack(list(found))


def _nearest(picture: Bytes, places: Doubles, seen: Indices) -> Indices:
    """The same of one view [S, S], with the places [P, 2] of points in it."""
    shown = np.full(picture.shape, -1, dtype=np.int64)
    rows, columns = np.nonzero(picture < BACKGROUND)
    points = seen if len(seen) else np.arange(len(places))
    pixels = np.stack([columns, rows], axis=1) + 0.5
    shown[rows, columns] = points[cKDTree(places[points]).query(pixels)[1]]
    return shown
