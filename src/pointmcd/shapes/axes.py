"""The axis of shapes that points up, and turning shapes from one such axis to another."""

from collections.abc import Sequence
from typing import TypeVar, get_args

import numpy as np

from pointmcd.errors import ConfigError
from pointmcd.options import Axis
from pointmcd.shapes.features import directions
from pointmcd.typing import Doubles, Floats

R = TypeVar("R", Floats, Doubles)
AXES: tuple[str, ...] = get_args(Axis)

#: Rotations from the frame in which y is up and the camera at azimuth 0 stands on +z.
_UPRIGHT: dict[str, Doubles] = {
    "y": np.eye(3),
    "z": np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]),
    "x": np.array([[0, 1.0, 0], [-1.0, 0, 0], [0, 0, 1.0]]),
}


def upright(up: str) -> Doubles:
    """Return the rotation [3, 3] of column vectors from the frame in which y is up."""
    return _UPRIGHT[up]


def axis_of_files(given: str | None, known: str | None, model: str) -> str:
    """Return the axis that is up in files: the one given, or that which a model knows, or y.

    Raises:
        ConfigError: when one is given to a model whose own is not known.
    """
    if given not in (None, *_UPRIGHT):
        raise ConfigError(f"--up {given}: use one of {', '.join(_UPRIGHT)}")
    if given is not None and known is None:
        raise ConfigError(
            f"--up {given}: {model} does not say which axis is up in the shapes that it learnt"
            " from; train it again, or leave --up out"
        )
    return given or known or "y"


def turn(points: R, source: str, target: str | None, features: Sequence[str] = ()) -> R:
    """Turn points [..., 3 + F] in which the axis `source` is up so that `target` is.

    Coordinates are exchanged and change sign, nothing is rounded. Behind them are the channels of
    the features, of which directions turn too. A target that is not known, None, leaves all as it
    is.
    """
    if target in (source, None):
        return points
    rotation = (_UPRIGHT[source] @ _UPRIGHT[target].T).astype(points.dtype)
    turned: R = points.copy()
    for columns in (slice(0, 3), *directions(features)):
        turned[..., columns] = points[..., columns] @ rotation
    return turned
