"""A training item as text, five files of it, parsed each time that it is wanted."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
_FILES = ("points", "visibility", "views", "shape", "label")


def write_item(folder: Path, points: Floats, visibility: Floats, views: Floats, label: int) -> None:
    """Write points [N, 3], visibility [N, V], descriptors [V, D], their max [D] and the label."""
    folder.mkdir(parents=True)
    content = (points, visibility, views, views.max(axis=0), np.array([label]))
    for name, values in zip(_FILES, content, strict=True):
        np.savetxt(folder / f"{name}.txt", values, fmt="%.9g")


def read_item(folder: Path) -> list[Floats]:
    """Read what `write_item` wrote."""
    return [np.loadtxt(folder / f"{name}.txt", dtype=np.float32, ndmin=1) for name in _FILES]


def read_batch(folders: list[Path]) -> list[Floats]:
    """Read items one by one and stack them."""
    return [np.stack(kind) for kind in zip(*map(read_item, folders), strict=True)]
