"""The corruptions by name, and the clouds that every run is shown of them."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.errors import ConfigError
from pointmcd.robustness import corruptions
from pointmcd.shapes.axes import turn
from pointmcd.shapes.features import directions, turned
from pointmcd.typing import Doubles, Floats

#: A corruption and its strength by severity, 1 to 5: a count, a share of the points, degrees, or
#: a reach or deviation in radii of the unit sphere.
Corruption = tuple[Callable[[Doubles, Any, np.random.Generator], Doubles], tuple[float, ...]]

CORRUPTIONS: dict[str, Corruption] = {
    "occlusion": (corruptions.occlusion, (5, 4, 3, 2, 1)),
    "lidar": (corruptions.lidar, (32, 20, 12, 8, 5)),
    "density-increase": (corruptions.density_increase, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "density-decrease": (corruptions.density_decrease, (1, 2, 3, 4, 5)),
    "cutout": (corruptions.cutout, (1, 2, 3, 4, 5)),
    "uniform": (corruptions.uniform, (0.01, 0.02, 0.03, 0.04, 0.05)),
    "gaussian": (corruptions.gaussian, (0.01, 0.015, 0.02, 0.025, 0.03)),
    "impulse": (corruptions.impulse, (0.04, 0.08, 0.12, 0.16, 0.2)),
    "upsampling": (corruptions.upsampling, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "background": (corruptions.background, (0.02, 0.04, 0.06, 0.08, 0.1)),
    "rotation": (corruptions.rotation, (5.0, 10.0, 15.0, 20.0, 25.0)),
    "shear": (corruptions.shear, (0.05, 0.1, 0.15, 0.2, 0.25)),
    "ffd": (corruptions.ffd, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "rbf": (corruptions.rbf, (0.05, 0.1, 0.15, 0.2, 0.25)),
    "inverse-rbf": (corruptions.inverse_rbf, (0.05, 0.1, 0.15, 0.2, 0.25)),
}
SEVERITIES = (1, 2, 3, 4, 5)
#: Those that move each point by itself, so that row i stays row i.
_NOISE = frozenset(("uniform", "gaussian", "impulse"))
#: Those that are maps of space, with which normals turn.
_MAPS = frozenset(("rotation", "shear", "ffd", "rbf", "inverse-rbf"))

#: Raised whenever a cloud would come out otherwise: metrics of two versions are not comparable.
CORRUPTION_VERSION = 1

_SEED = 40


def parse_names(text: str) -> tuple[str, ...]:
    """Read comma-separated names, each once, in the order of `CORRUPTIONS`; "all" means all.

    Raises:
        ConfigError: for a name that is none.
    """
    given = list(CORRUPTIONS) if text == "all" else [name.strip() for name in text.split(",")]
    for name in given:
        if name not in CORRUPTIONS:
            raise ConfigError(f"--corrupt {name}: use all, or some of {', '.join(CORRUPTIONS)}")
    return tuple(name for name in CORRUPTIONS if name in given)


def corrupted(
    points: Floats,
    shape: str,
    name: str,
    severity: int,
    features: Sequence[str] = (),
    up: str = "y",
) -> Floats:
    """A shape's cloud as a corruption leaves it, centred at its mean, farthest point at 1.

    The randomness comes from the shape's name, the corruption and the severity alone: every run
    sees the same clouds, whatever else is evaluated, in whatever order.

    Coordinates are corrupted as they are without features. Noise leaves features as they are; maps
    of space turn normals along; what drops or adds points gives each the features of the point of
    the whole cloud that is nearest to it.

    Args:
        points: [N, 3 + F] in farthest-point order; of the result, float32 [N, 3 + F], too the first
            are a good sample.
        shape: unique name of the shape.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.
        features: names of those behind the coordinates.
        up: the axis that points up: a scanner stands upright, whatever that is.
    """
    points = turn(points, up, "y", features)
    digest = hashlib.sha256(f"{_SEED}/{shape}/{name}/{severity}".encode()).digest()
    corrupt, strengths = CORRUPTIONS[name]

    def move(cloud: Doubles) -> Doubles:
        generator = np.random.default_rng(np.frombuffer(digest, dtype="<u4"))
        return corrupt(cloud, strengths[severity - 1], generator)

    places = points[:, :3].astype(np.float64)
    moved = move(places)
    beside = points[:, 3:].astype(np.float32)
    if features and name in _MAPS:
        for columns in directions(features):
            beside[:, columns.start - 3 : columns.stop - 3] = turned(
                points[:, columns].astype(np.float32), places, move
            )
    elif features and name not in _NOISE:
        beside = beside[cKDTree(places).query(moved)[1]]
    # As `predict` brings in any cloud that it is given; nobody knows where the whole shape was.
    centred = moved - moved.mean(axis=0)
    radius = np.linalg.norm(centred, axis=1).max()
    coordinates = np.asarray(centred / (radius if radius > 0 else 1), dtype=np.float32)
    cloud = np.concatenate([coordinates, beside], axis=1) if features else coordinates
    return turn(cloud, "y", up, features)
