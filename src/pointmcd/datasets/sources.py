"""Shapes of a data set that can be read when their turn comes, in any process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pointmcd.datasets.annotations import parse_labels
from pointmcd.datasets.tree import FileTree, TreeFile
from pointmcd.shapes.clouds import check_finite as check_finite  # for data sets of one's own
from pointmcd.typing import Doubles, Floats, Shorts


@dataclass(frozen=True)
class ShapeSource:
    """A mesh file, with class and split.

    Attributes:
        name: unique name without suffix, like `bed/train/bed_0006`.
        label: class, or None where the shapes have none.
        split: "train", "test", "val", or None where the layout has no splits.
        file: the file.
        fault: why it must be skipped (two shapes of one name), or None.
        parts: names of the parts of its class, or None where the set has no part labels.
        labels: file with one part label per face (of a cloud: per point), or None.
        unlabelled: whether it has none in a set with part labels: its parts are not known.
        variant: 0: the shape itself; from 1, the number of a deformed copy.
        features: names of the features of points that are wanted.
    """

    name: str
    label: str | None
    split: str | None
    file: TreeFile
    fault: str | None = None
    parts: tuple[str, ...] | None = None
    labels: TreeFile | None = None
    variant: int = 0
    features: tuple[str, ...] = ()
    unlabelled: bool = False

    @property
    def location(self) -> str:
        """The file as error texts call it."""
        return self.file.name

    def read_labels(self) -> Shorts | None:
        """Return the part label of each face (of a cloud: point), int16 `[F]`; None without labels.

        Raises:
            ShapeError: when the file cannot be read, or holds anything but parts of the class.
        """
        if self.labels is None or self.parts is None:
            return None
        return parse_labels(self.labels.read(), self.labels.name, len(self.parts))


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points, with or without part labels.

    Attributes:
        points: as in the file, finite, float64 `[N, 3]`, N at least 1.
        parts: part label of each point, int16 `[N]`, counted from 0 in the shape's class, or None.
        notes: one line each on a reading that is not plain.
        features: those of the wanted features that the source has, float32 `[N, 3]`, by name.
    """

    points: Doubles
    parts: Shorts | None = None
    notes: Sequence[str] = ()
    features: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class CloudSource(ShapeSource):
    """A point cloud, with class and split; a subclass for each kind of file.

    Attributes:
        mesh: the mesh that the points were taken from, or None.
        wants_mesh: whether the set has meshes, so that a missing one is worth a note.
    """

    mesh: Path | None = None
    wants_mesh: bool = False

    def read_cloud(self) -> Cloud:
        """Read the points, and part labels where the set has them.

        Raises:
            ShapeError: when a file cannot be used, a coordinate is not finite, or a label is not
                one of the class's; the text names the file.
        """
        raise NotImplementedError


#: "name" of a file or data set, and "note" for readers of results.
Note = dict[str, str]


@dataclass(frozen=True)
class Listing:
    """The shapes of a data set, and notes."""

    sources: Sequence[ShapeSource]
    notes: list[Note] = field(default_factory=list)


def absent_notes(tree: FileTree, absent: Mapping[str, str]) -> list[Note]:
    """Note, for each split, how many names in its list have no file (name to split), and one."""
    notes = []
    for split in sorted(set(absent.values())):
        names = [name for name, where in absent.items() if where == split]
        note = f"{split} list: {len(names)} without a file, like {names[0]}"
        notes.append({"name": tree.path.name, "note": note})
    return notes
