"""A cloud that can be read when its turn comes: what every set of point clouds lists."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pointmcd.datasets.folder import ShapeSource
from pointmcd.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points, with part labels or without.

    Attributes:
        points: As in the file, finite, float64 `[N, 3]`, N at least 1.
        parts: Part label of each point, int16 `[N]`, counted from 0 in the shape's class, or None.
    """

    points: npt.NDArray[np.float64]
    parts: npt.NDArray[np.int16] | None = None


@dataclass(frozen=True)
class CloudSource(ShapeSource):
    """A cloud that can be read when its turn comes, in any process; a subclass for each kind.

    Attributes:
        mesh: The mesh that the points were taken from, or None.
        wants_mesh: Whether the set has meshes, so that one that is missing is worth a note.
    """

    mesh: Path | None = None
    wants_mesh: bool = False

    def read_cloud(self) -> Cloud:
        """Read the points, and part labels where the set has them.

        Raises:
            ShapeError: when a file is absent, empty or damaged, a coordinate is not finite, or a
                label is not one of the class's; the text names the file.
        """
        raise NotImplementedError


def finite(points: npt.NDArray[np.floating], where: str) -> npt.NDArray[np.float64]:
    """Return points `[N, 3]` as float64.

    Raises:
        ShapeError: when there are none, or one is NaN or infinite; the text begins with `where`.
    """
    if not len(points):
        raise ShapeError(f"{where}: holds no points")
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(wrong):
        raise ShapeError(f"{where}: row {wrong[0] + 1} has a NaN or infinite coordinate")
    return np.ascontiguousarray(points, dtype=np.float64)
