"""The corruptions by name, and the clouds that every run is shown of them."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from pointmcd.errors import ConfigError
from pointmcd.robustness import corruptions
from pointmcd.typing import Doubles, Floats, Reals

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
            raise ConfigError(f"corrupt {name}: use all, or some of {', '.join(CORRUPTIONS)}")
    return tuple(name for name in CORRUPTIONS if name in given)


def corrupted(points: Reals, shape: str, name: str, severity: int) -> Floats:
    """A shape's cloud as a corruption leaves it, centred at its mean, farthest point at 1.

    The randomness comes from the shape's name, the corruption and the severity alone: every run
    sees the same clouds, whatever else is evaluated, in whatever order.

    Args:
        points: [N, 3] in farthest-point order; of the result, float32 [N, 3], too the first are a
            good sample.
        shape: unique name of the shape.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.
    """
    digest = hashlib.sha256(f"{_SEED}/{shape}/{name}/{severity}".encode()).digest()
    generator = np.random.default_rng(np.frombuffer(digest, dtype="<u4"))
    corrupt, strengths = CORRUPTIONS[name]
    moved = corrupt(points.astype(np.float64), strengths[severity - 1], generator)
    # As `predict` brings in any cloud that it is given; nobody knows where the whole shape was.
    centred = moved - moved.mean(axis=0)
    radius = np.linalg.norm(centred, axis=1).max()
    return np.asarray(centred / (radius if radius > 0 else 1), dtype=np.float32)
