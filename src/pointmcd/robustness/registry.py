"""The fifteen corruptions by name, and the clouds that every run is shown of them."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pointmcd.errors import ConfigError
from pointmcd.robustness import density, noise, transformation
from pointmcd.robustness.sampling import Points

Corruption = Callable[[Points, int, np.random.Generator], Points]

#: The kinds of ModelNet40-C (Sun et al., arXiv 2201.12296), five each of density, noise and
#: transformation. The formulas and their severities are ours: docs/corruptions.md.
CORRUPTIONS: dict[str, Corruption] = {
    "occlusion": density.occlusion,
    "lidar": density.lidar,
    "density-increase": density.density_increase,
    "density-decrease": density.density_decrease,
    "cutout": density.cutout,
    "uniform": noise.uniform,
    "gaussian": noise.gaussian,
    "impulse": noise.impulse,
    "upsampling": noise.upsampling,
    "background": noise.background,
    "rotation": transformation.rotation,
    "shear": transformation.shear,
    "ffd": transformation.ffd,
    "rbf": transformation.rbf,
    "inverse-rbf": transformation.inverse_rbf,
}
SEVERITIES = (1, 2, 3, 4, 5)

#: Raised whenever a cloud would come out otherwise: figures of two versions are not comparable.
CORRUPTION_VERSION = 1

_SEED = 40


def parse_names(text: str) -> tuple[str, ...]:
    """Names parted by commas, in the order of `CORRUPTIONS`, each once; "all" means all.

    Raises:
        ConfigError: for a name that is none.
    """
    if text == "all":
        return tuple(CORRUPTIONS)
    given = [name.strip() for name in text.split(",")]
    for name in given:
        if name not in CORRUPTIONS:
            raise ConfigError(f"corrupt {name}: use all, or some of {', '.join(CORRUPTIONS)}")
    return tuple(name for name in CORRUPTIONS if name in given)


def corrupted(
    points: npt.NDArray[np.floating[Any]], shape: str, name: str, severity: int
) -> npt.NDArray[np.float32]:
    """A shape's cloud as a corruption leaves it, centred at its mean, farthest point at 1.

    The randomness comes from the shape's name, the corruption and the severity alone: every run
    sees the same clouds, whatever else is evaluated, in whatever order.

    Args:
        points: [N, 3] in farthest-point order, N at least 1; of the result too the first are a
            good sample.
        shape: unique name of the shape.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.

    Returns:
        float32 [N, 3].
    """
    digest = hashlib.sha256(f"{_SEED}/{shape}/{name}/{severity}".encode()).digest()
    generator = np.random.default_rng(np.frombuffer(digest, dtype="<u4"))
    moved = CORRUPTIONS[name](points.astype(np.float64), severity, generator)
    # As `predict` brings in any cloud that it is given; nobody knows where the whole shape was.
    centred = moved - moved.mean(axis=0)
    radius = np.linalg.norm(centred, axis=1).max()
    return np.asarray(centred / (radius if radius > 0 else 1), dtype=np.float32)
