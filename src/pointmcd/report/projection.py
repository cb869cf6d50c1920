"""Project the points of a shape into its stored views."""

import numpy as np
from numpy.typing import NDArray

from pointmcd.views.framing import Framing
from pointmcd.views.rig import Rig


def project_points(points: NDArray[np.floating], rig: Rig, framing: Framing) -> NDArray[np.float64]:
    """Find the place of every point in every view: the inverse of `views.raycast.pixel_rays`.

    Args:
        points: [N, 3], in the shape's frame.
        rig: the V cameras.
        framing: what brought the shape before them.

    Returns:
        float64 [V, N, 2]: column and row in pixels from the upper left corner of the picture.
    """
    frames = rig.frames
    axes = np.stack([frames.right, frames.up, frames.forward], axis=1)
    relative = framing.apply(points)[None] - frames.position[:, None]
    across, above, depth = np.einsum("vad,vnd->avn", axes, relative)
    reach = depth * rig.tangent
    return rig.size * np.stack([1 + across / reach, 1 - above / reach], axis=-1) / 2
