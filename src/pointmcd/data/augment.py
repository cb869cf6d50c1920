"""Augmentation of point clouds, drawn per shape and epoch: no order or worker count changes it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """Random per-axis scale and shift, and a random choice of points.

    Attributes:
        seed: of the run.
        scale: per-axis factors are uniform in [1 / scale, scale]; 1 switches it off.
        shift: per-axis offsets are uniform in [-shift, shift], in radii of the unit sphere.
        resample: draw the points anew each epoch from all that the store holds, instead of
            always the first in farthest-point order.
    """

    seed: int
    scale: float = 1.5
    shift: float = 0.2
    resample: bool = False

    def generator(self, epoch: int, index: int) -> np.random.Generator:
        """The randomness of one shape in one epoch."""
        return np.random.default_rng((self.seed, epoch, index))

    def choose(
        self, generator: np.random.Generator, available: int, count: int
    ) -> npt.NDArray[np.int64]:
        """Which `count` of the stored points to take, ascending."""
        if not self.resample:
            return np.arange(count)
        return np.sort(generator.choice(available, size=count, replace=False))

    def move(self, generator: np.random.Generator, points: Points) -> Points:
        """Scaled and shifted points [N, 3]; which points a view sees is left as it is."""
        factors = generator.uniform(1 / self.scale, self.scale, size=3)
        offsets = generator.uniform(-self.shift, self.shift, size=3)
        return (points * factors + offsets).astype(np.float32)
