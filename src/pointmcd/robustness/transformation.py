"""Corruptions by transformation: the whole shape is rotated, sheared or bent."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from pointmcd.robustness.sampling import Points, direction

#: By severity, 1 to 5: degrees, or shifts in radii of the unit sphere.
ROTATION = (5.0, 10.0, 15.0, 20.0, 25.0)
SHEAR = (0.05, 0.1, 0.15, 0.2, 0.25)
FFD = (0.1, 0.2, 0.3, 0.4, 0.5)
RBF = (0.05, 0.1, 0.15, 0.2, 0.25)

#: Control points along each side of a free form's lattice, and of the lattice of RBF.
_FFD_SIDE, _RBF_SIDE = 5, 3
_BINOMIALS = np.array([1.0, 4.0, 6.0, 4.0, 1.0])


def rotation(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Rotate by an angle about a random axis."""
    turn = Rotation.from_rotvec(np.radians(ROTATION[severity - 1]) * direction(generator))
    return np.asarray(turn.apply(points))


def shear(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Add fractions of the two other coordinates to each."""
    reach = SHEAR[severity - 1]
    slant = generator.uniform(-reach, reach, (3, 3))
    np.fill_diagonal(slant, 1)
    return np.asarray(points @ slant.T)


def ffd(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Free-form deformation: Bernstein polynomials of a lattice with shifted corners.

    Sederberg and Parry, "Free-Form Deformation of Solid Geometric Models" (SIGGRAPH 1986).
    """
    reach, side = FFD[severity - 1], _FFD_SIDE
    shifts = generator.uniform(-reach, reach, (side, side, side, 3))
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    place = (points - low) / np.where(size > 0, size, 1)
    along = _bernstein(place)
    bent = np.einsum("ni,nj,nk,ijkd->nd", *np.moveaxis(along, 1, 0), shifts, optimize=True)
    return np.asarray(points + bent)


def _bernstein(place: Points) -> npt.NDArray[np.float64]:
    """Weights [N, 3, 5] of the control points along each axis, for places [N, 3] in 0 to 1."""
    powers = np.arange(_FFD_SIDE)
    return np.asarray(
        _BINOMIALS * place[..., None] ** powers * (1 - place[..., None]) ** powers[::-1]
    )


def rbf(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Bend by multiquadrics, which grow with the distance from their control point."""
    return _bent(points, RBF[severity - 1], generator, lambda square: np.sqrt(1 + square))


def inverse_rbf(points: Points, severity: int, generator: np.random.Generator) -> Points:
    """Bend by inverse multiquadrics, which fade with the distance from their control point."""
    return _bent(points, RBF[severity - 1], generator, lambda square: 1 / np.sqrt(1 + square))


def _bent(
    points: Points,
    reach: float,
    generator: np.random.Generator,
    kernel: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> Points:
    """Shift space so that the points of a lattice on the sphere's box move at random."""
    sides = np.linspace(-1, 1, _RBF_SIDE)
    lattice = np.stack(np.meshgrid(sides, sides, sides), axis=-1).reshape(-1, 3)
    shifts = generator.uniform(-reach, reach, lattice.shape)
    # Both kernels give a matrix that can be inverted wherever no two control points agree.
    weights = np.linalg.solve(kernel(_squares(lattice, lattice)), shifts)
    return np.asarray(points + kernel(_squares(points, lattice)) @ weights)


def _squares(first: Points, second: Points) -> npt.NDArray[np.float64]:
    return np.asarray(((first[:, None] - second[None]) ** 2).sum(axis=2))
