"""Smooth deformations of a shape, for variants that are the same kind of thing."""

import numpy as np

from pointmcd.typing import Doubles

#: Scale of an axis at most, and its inverse at least.
SCALE = 1.35
#: Turn per unit of length at most, in radians, and growth of the section per unit of length.
TWIST, TAPER = 0.4, 0.25
#: Amplitude of the sine field, and its wave number at most: half a wave per unit of length.
AMPLITUDE, WAVES = 0.05, np.pi


def deform(points: Doubles, seed: int) -> Doubles:
    """Deform points `[N, 3]` of a shape in the unit sphere; the same seed is the same deformation.

    Each axis is scaled (log-uniform, so that growth is as likely as shrinkage); one axis is
    tapered and one twisted; a sine field of long waves moves what is left. The map is invertible
    and keeps orientation, so that no surface passes through another or turns inside out.

    Returns:
        float64 `[N, 3]`, no longer in the unit sphere.
    """
    random = np.random.default_rng(seed)
    moved = points * SCALE ** random.uniform(-1, 1, size=3)
    along, *across = np.roll(range(3), random.integers(3))
    moved[:, across] *= 1 + random.uniform(-TAPER, TAPER) * moved[:, [along]]
    along, first, second = np.roll(range(3), random.integers(3))
    turn = random.uniform(-TWIST, TWIST) * moved[:, along]
    x, y = moved[:, first], moved[:, second]
    turned = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    moved[:, first], moved[:, second] = turned
    waves = random.uniform(-1, 1, size=(3, 3)) * (WAVES / np.sqrt(3))
    phases = random.uniform(0, 2 * np.pi, size=3)
    return np.asarray(moved + AMPLITUDE * np.sin(moved @ waves + phases))
