from pathlib import Path

import numpy as np

from pointmcd.data.store import Store
from pointmcd.files import read_json
from pointmcd.views.framing import Framing
from pointmcd.views.places import project_points
from pointmcd.views.rays import pixel_rays
from pointmcd.views.rig import Rig, get_rig


def test_points_on_a_pixels_ray_are_projected_onto_it() -> None:
    rig = get_rig("ring16")
    framing = Framing(np.array([0.1, -0.2, 0.3]), 1.7)
    generator = np.random.default_rng(0)
    columns, rows = generator.uniform(0, rig.size, (2, 50)).astype(np.float32)
    for view in range(len(rig)):
        origins, directions = pixel_rays(rig, view, columns, rows)
        framed = origins + generator.uniform(2, 6, (50, 1)) * directions
        points = framed / framing.scale + framing.centre
        places = project_points(points, rig, framing)[view]
        np.testing.assert_allclose(places, np.stack([columns, rows], axis=1), atol=1e-3)


def test_visible_points_lie_on_the_picture_of_the_shape(tiny_store: Path) -> None:
    store = Store(tiny_store)
    rig, (name, row) = Rig.from_json(store.rig), store.locate(0)
    frame = read_json(store.path / "shards" / name / "shapes.json")["shapes"][row]["frame"]
    index = np.array([0])
    points, visible = store.points(index, 128)[0], store.visibility(index, 128)[0]
    places = project_points(points, rig, Framing(np.array(frame["centre"]), frame["scale"]))
    for view, picture in enumerate(store.views(0)):
        column, line = places[view][visible[:, view]].astype(int).T
        assert np.mean(picture[line, column] < 255) > 0.95
