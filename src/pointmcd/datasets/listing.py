"""What the reader of a data set finds: the shapes, and what a reader of results should know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pointmcd.datasets.folder import ShapeSource


@dataclass(frozen=True)
class Listing:
    """The shapes of a set, and notes: {"name", "note"} each."""

    sources: Sequence[ShapeSource]
    notes: list[dict[str, str]] = field(default_factory=list)


def absent_notes(source: Path, absent: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Note how many names of each split's list have no file, and the first of them."""
    return [
        {"name": source.name, "note": f"{split} list: {len(names)} without a file, like {names[0]}"}
        for split, names in sorted(absent.items())
        if names
    ]
