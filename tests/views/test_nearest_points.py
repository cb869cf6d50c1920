"""The stored point that a pixel shows."""

import numpy as np

from pointmcd.data.store import Store
from pointmcd.views.nearest import shown_points
from pointmcd.views.places import project_points, stored_framing
from pointmcd.views.rig import Rig


def test_each_pixel_shows_the_nearest_point_that_the_view_sees(tiny_store):
    store = Store(tiny_store)
    shown = shown_points(store, 3, np.array([2, 0]))
    assert shown.shape == (2, 64, 64)
    pictures, row = store.views(3), np.array([3])
    places = project_points(
        store.points(row, 128)[0], Rig.from_json(store.rig), stored_framing(store, 3)
    )
    for view, found in zip((2, 0), shown, strict=True):
        assert ((found < 0) == (pictures[view] == 255)).all()
        seen = store.visibility(row, 128)[0][:, view].nonzero()[0]
        y, x = np.argwhere(found >= 0)[::37].T
        offsets = places[view, seen][None] - np.stack([x, y], axis=1)[:, None] - 0.5
        assert (seen[np.linalg.norm(offsets, axis=2).argmin(axis=1)] == found[y, x]).all()


def test_the_labels_of_pixels_are_nearly_those_of_the_rays(parts_store):
    store = Store(parts_store)
    index = int(store.indices("train")[0])
    parts = store.part_labels(np.array([index]), 128)[0]
    found = np.append(parts, -1)[shown_points(store, index, np.arange(3))]
    truth = store.pixel_labels(index)
    both = (found >= 0) & (truth >= 0)
    assert both.sum() > 0.9 * (truth >= 0).sum()
    assert (found == truth)[both].mean() > 0.85
