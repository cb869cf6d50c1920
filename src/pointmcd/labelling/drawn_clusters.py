"""A few views of a shape on which its clusters of points can be clicked."""

import base64
import zlib
from typing import NamedTuple

import numpy as np

from pointmcd.data.store import Store
from pointmcd.labelling.thumbnails import cropped, encoded, telling_view
from pointmcd.typing import Bools, Bytes, Integers
from pointmcd.views.nearest import shown_points

#: Views of a shape, and the share of its points that each must add.
_VIEWS, _ADDS = 4, 0.03
_QUALITY = 70


class Drawing(NamedTuple):
    """Views of a shape, each cut to a square.

    Attributes:
        views: pictures, in base64.
        sides: their sides in pixels.
        maps: 1 + the cluster that each pixel shows, row by row, 0 for background: bytes compressed
            by zlib, in base64.
    """

    views: list[str]
    sides: list[int]
    maps: list[str]


def draw_clusters(store: Store, index: int, clusters: Integers) -> Drawing:
    """Draw a shape from a few sides, with the cluster [P] of each stored point.

    Raises:
        StoreError: when views are absent or damaged.
    """
    pictures = store.views(index)
    level = np.array([elevation >= 0 for elevation, _ in store.rig["cameras"]])
    seen = store.visibility(np.array([index]), store.num_points)[0]
    chosen = telling_views(pictures, seen, level)
    shown = np.append(clusters + 1, 0)[shown_points(store, index, np.array(chosen))]
    drawing = Drawing([], [], [])
    for view, numbers in zip(chosen, shown.astype(np.uint8), strict=True):
        square = cropped(pictures[view])
        numbers_cut = np.asarray(cropped(pictures[view], numbers, ground=0))
        drawing.views.append(encoded(square, _QUALITY))
        drawing.sides.append(square.width)
        drawing.maps.append(base64.b64encode(zlib.compress(numbers_cut.tobytes(), 9)).decode())
    return drawing


def telling_views(pictures: Bytes, seen: Bools, level: Bools) -> list[int]:
    """Choose views that together show most of a shape, the most telling one first.

    Args:
        pictures: grey [V, S, S].
        seen: whether each view sees each point, [P, V].
        level: views [V] not from below, one of which is the first.
    """
    chosen = [telling_view(pictures, level)]
    while len(chosen) < min(_VIEWS, len(pictures)):
        known = np.asarray(seen[:, chosen].any(axis=1))
        added = (seen & ~known[:, None]).sum(axis=0)
        if added.max() < _ADDS * len(seen):
            break
        chosen.append(int(added.argmax()))
    return chosen
