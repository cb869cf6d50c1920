"""Shapes of a store as they are listed, and what is read of a store while it is being opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pointmcd.typing import Floats, Indices


@dataclass(frozen=True)
class ShapeRecord:
    """One shape of a store: its unique name, its class (None: unlabelled) and its split.

    The split is "train", "val", "test", or "none" for a shape left out as a test shape's twin. In a
    store with part labels, `unlabelled` says that no point of the shape has one.
    """

    name: str
    label: str | None
    split: str
    unlabelled: bool = False


class Shapes(Protocol):
    """Shapes and their points: a `Store` (data/store.py), which says what these are."""

    path: Path
    shapes: list[ShapeRecord]
    parts: dict[str, list[str]] | None

    @property
    def rig(self) -> Mapping[str, Any]:
        """The rig as JSON."""

    @property
    def num_points(self) -> int:
        """Points per shape."""

    def file_of(self, index: int) -> str | None:
        """The file that a shape was read from; None where that is not known."""

    def points(self, indices: Indices, count: int, features: Sequence[str] = ()) -> Floats:
        """The first `count` points, float32 [n, count, 3]."""
