"""Places of points in the views of a store."""

import numpy as np

from pointmcd.data.store import Store
from pointmcd.errors import StoreError
from pointmcd.files import read_json
from pointmcd.shapes.axes import turn
from pointmcd.typing import Doubles, Reals
from pointmcd.views.framing import Framing
from pointmcd.views.rig import Rig


def project_points(points: Reals, rig: Rig, framing: Framing) -> Doubles:
    """Find the place of points [N, 3] in every view: the inverse of `views.raycast.pixel_rays`.

    Returns float64 [V, N, 2]: column and row in pixels from the upper left corner of the picture.
    """
    frames = rig.frames
    axes = np.stack([frames.right, frames.up, frames.forward], axis=1)
    relative = framing.apply(points)[None] - frames.position[:, None]
    across, above, depth = np.einsum("vad,vnd->avn", axes, relative)
    reach = depth * rig.tangent
    return rig.size * np.stack([1 + across / reach, 1 - above / reach], axis=-1) / 2


def stored_places(store: Store, index: int, count: int) -> Doubles:
    """Return the places of the first points of a shape in its views, as `project_points` does."""
    points = store.points(np.array([index]), count)[0]
    return project_points(points, Rig.from_json(store.rig), stored_framing(store, index))


def stored_framing(store: Store, index: int) -> Framing:
    """Return how a shape of a store was framed for its rig.

    Raises:
        StoreError: when the store does not say so.
    """
    shard, row = store.locate(index)
    file = store.path / "shards" / shard / "shapes.json"
    try:
        frame = read_json(file)["shapes"][row]["frame"]
        centre = turn(np.array(frame["centre"], dtype=np.float64), store.stored_up, store.up)
        return Framing(centre, float(frame["scale"]))
    except (KeyError, IndexError, TypeError) as error:
        raise StoreError(f"{file}: does not say how shapes are framed; prepare again") from error
