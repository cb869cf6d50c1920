"""Rays of a rig's cameras through their pixels."""

from functools import lru_cache

import numpy as np

from pointmcd.typing import Floats, Reals
from pointmcd.views.rig import Rig


def pixel_rays(rig: Rig, view: int, columns: Reals, rows: Reals) -> tuple[Floats, Floats]:
    """Return the rays of one camera through positions in its image: origins and directions.

    Both are float32 [R, 3]; directions have length one along the depth. Columns and rows, float
    [R], count pixels from the left and top edge; the first pixel's middle is at 0.5.
    """
    frames = rig.frames
    across = (2 * columns / rig.size - 1) * rig.tangent
    above = (1 - 2 * rows / rig.size) * rig.tangent
    axes = np.stack([frames.right[view], frames.up[view], frames.forward[view]])
    lens = np.stack([across, above, np.ones_like(across)], axis=1)
    directions = np.ascontiguousarray(lens @ axes, dtype=np.float32)
    return np.full_like(directions, frames.position[view]), directions


@lru_cache(maxsize=16)  # the views of a named rig; 25 MB each at the largest size
def centre_rays(rig: Rig, view: int) -> tuple[Floats, Floats]:
    """Return the rays through the middles of all pixels, row by row: float32 [size * size, 3]."""
    rows, columns = np.divmod(np.arange(rig.size**2), rig.size)
    return pixel_rays(rig, view, columns + 0.5, rows + 0.5)
