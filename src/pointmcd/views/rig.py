"""Camera rigs: positions of the cameras around a shape, and the size of their images."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.errors import ConfigError, PointMCDError, naming
from pointmcd.files import read_json
from pointmcd.shapes.axes import AXES, upright
from pointmcd.typing import Doubles


@dataclass(frozen=True)
class CameraFrames:
    """Positions and unit axes of all cameras of a rig, each float64 [V, 3]."""

    position: Doubles
    right: Doubles
    up: Doubles
    forward: Doubles


@dataclass(frozen=True)
class Rig:
    """V cameras on a sphere around the origin, all looking at it.

    Attributes:
        name: in lists and error texts.
        version: raised whenever a named rig changes.
        cameras: (elevation, azimuth) of each camera in degrees.
        fov: full opening angle of the square picture in degrees.
        distance: from each camera to the origin, which sets the unit of length; shapes are scaled
            to fill the picture, so that perspective comes from `fov` alone.
        size: width and height of a picture in pixels.
        up: the axis of the shapes that points up.
    """

    name: str
    cameras: tuple[tuple[float, float], ...]
    version: int = 1
    fov: float = 30.0
    distance: float = 4.0
    size: int = 224
    up: str = "y"

    def __post_init__(self) -> None:
        for problem, fine in _rules(self).items():
            if not fine:
                raise ConfigError(f"rig {self.name}: {problem}")

    def __len__(self) -> int:
        """Return the number of views V."""
        return len(self.cameras)

    @property
    def tangent(self) -> float:
        """Half the width of the image at distance one."""
        return math.tan(math.radians(self.fov) / 2)

    @cached_property
    def frames(self) -> CameraFrames:
        """The cameras' positions and axes."""
        # The position, differentiated by azimuth and elevation: axes that hold at the poles too.
        elevation, azimuth = np.radians(np.asarray(self.cameras, dtype=np.float64)).T
        cos_e, sin_e = np.cos(elevation), np.sin(elevation)
        cos_a, sin_a = np.cos(azimuth), np.sin(azimuth)
        turn = upright(self.up).T
        outward = np.stack([cos_e * sin_a, sin_e, cos_e * cos_a], axis=1) @ turn
        right = np.stack([cos_a, np.zeros_like(azimuth), -sin_a], axis=1) @ turn
        up = np.stack([-sin_e * sin_a, cos_e, -sin_e * cos_a], axis=1) @ turn
        return CameraFrames(self.distance * outward, right, up, -outward)

    def to_json(self) -> dict[str, Any]:
        """Return the rig as plain JSON values."""
        return {**asdict(self), "cameras": [list(camera) for camera in self.cameras]}

    @classmethod
    def from_json(cls, value: Any, source: str = "rig") -> "Rig":
        """Build a rig from what `to_json` returns; absent fields take their defaults.

        Raises:
            ConfigError: when a field is absent, unknown or unusable; names `source` and field.
        """
        with naming(source):
            if not isinstance(value, Mapping):
                raise ConfigError("a rig is a JSON object with a field 'cameras'")
            known = sorted(field.name for field in fields(cls))
            if unknown := sorted(set(value) - set(known)):
                raise ConfigError(f"field '{unknown[0]}': unknown; known: {known}")
            values = {"name": Path(source).stem, **value}
            return cls(**{**values, "cameras": _cameras(value.get("cameras"))})


def _cameras(cameras: Any) -> tuple[tuple[float, float], ...]:
    if not isinstance(cameras, list) or not cameras:
        raise ConfigError("field 'cameras': must be a list of [elevation, azimuth]")
    for camera in cameras:
        pair = isinstance(camera, list) and len(camera) == 2
        if not pair or not all(map(_is_number, camera)):
            raise ConfigError(f"field 'cameras': {camera!r} is not [elevation, azimuth] in degrees")
    return tuple((float(elevation), float(azimuth)) for elevation, azimuth in cameras)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _rules(rig: Rig) -> dict[str, bool]:
    """Return whether each field is usable, by what to say if it is not."""
    return {
        "field 'name': must be a text": isinstance(rig.name, str) and bool(rig.name),
        "field 'version': must be a whole number from 1": _is_whole(rig.version, 1, 10**9),
        "field 'cameras': needs 1 to 256 cameras": 1 <= len(rig.cameras) <= 256,
        "field 'cameras': elevations must be within -90..90 degrees": all(
            abs(elevation) <= 90 for elevation, _ in rig.cameras
        ),
        "field 'fov': must be within 1..120 degrees": _is_number(rig.fov) and 1 <= rig.fov <= 120,
        "field 'distance': must be within 0.01..1000": (
            _is_number(rig.distance) and 0.01 <= rig.distance <= 1000
        ),
        "field 'size': must be a whole number within 8..1024": _is_whole(rig.size, 8, 1024),
        # A strip of views must stay below what Pillow takes for a decompression bomb.
        "field 'size': all pictures together may have 64 million pixels": (
            not _is_whole(rig.size, 8, 1024) or len(rig.cameras) * rig.size**2 <= 64_000_000
        ),
        f"field 'up': must be one of {', '.join(AXES)}": rig.up in AXES,
    }


_NAMED = {
    "ring12": Rig("ring12", tuple((30.0, 30.0 * step) for step in range(12))),
    "ring16": Rig("ring16", tuple((e, 45.0 * step) for e in (30.0, -30.0) for step in range(8))),
}


def list_rigs() -> list[str]:
    """Return the names that `get_rig` knows."""
    return sorted(_NAMED)


def get_rig(wanted: str | Path | Rig, up: str | None = None) -> Rig:
    """Return a named rig, one from a path that ends in `.json`, or the given one, rotated.

    Args:
        wanted: `ring12`, `ring16`, a path or a rig.
        up: the axis of the shapes that points up, `x`, `y` or `z`; by default the rig's own.

    Raises:
        ConfigError: for an unknown name, an unreadable file or an unusable field.
    """
    if isinstance(wanted, Rig):
        rig = wanted
    elif str(wanted) in _NAMED:
        rig = _NAMED[str(wanted)]
    elif str(wanted).endswith(".json"):
        try:
            value = read_json(Path(wanted))
        except PointMCDError as error:
            raise ConfigError(str(error)) from error
        rig = Rig.from_json(value, str(wanted))
    else:
        known = ", ".join(list_rigs())
        raise ConfigError(f"rig {wanted}: unknown; use {known} or the path of a .json file")
    return rig if up is None else replace(rig, up=up)
