"""Folders and zips of meshes: which shapes are there, with which class and split."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from pointmcd.datasets.annotations import (
    annotated_root,
    label_file,
    parse_labels,
    read_part_names,
    read_split_lists,
)
from pointmcd.datasets.layout import Place, places
from pointmcd.datasets.tree import list_files, locate, read_member
from pointmcd.errors import ShapeError
from pointmcd.shapes.formats import mesh_suffixes, suffix_of
from pointmcd.shapes.mesh import Mesh, normalise, read_mesh


@dataclass(frozen=True)
class ShapeSource:
    """A mesh file that can be read when its turn comes, in any process.

    Attributes:
        name: Unique id without suffix, like `bed/train/bed_0006`.
        label: Class, or None where the shapes have none.
        split: "train", "test", "val", or None where the layout has no splits.
        location: The file as error texts call it, like `shapes.zip/bed/train/bed_0006.off`.
        suffix: Lower-case suffix without the dot: the `file_type` of `read_mesh`.
        path: The file, or the zip it is in.
        member: Its name in the zip, or None.
        fault: Why it must be skipped (two shapes of one name, no part labels), or None.
        parts: Names of the parts of its class, or None where the set has no part labels.
        labels: File with one part label per face, as `read` finds it, or None.
    """

    name: str
    label: str | None
    split: str | None
    location: str
    suffix: str
    path: Path
    member: str | None = None
    fault: str | None = None
    parts: tuple[str, ...] | None = None
    labels: str | None = None

    def read(self) -> bytes:
        """Return the content of the file.

        Raises:
            ShapeError: when it cannot be read or is larger than 1 GiB.
        """
        return read_member(self.path, self.member, self.location)

    def read_labels(self) -> npt.NDArray[np.int16] | None:
        """Return the part label of each face, int16 `[F]`; None where the shape has none.

        Raises:
            ShapeError: when the file cannot be read, or holds anything but parts of its class.
        """
        if self.labels is None or self.parts is None:
            return None
        where = str(Path(self.location).with_name(Path(self.labels).name))
        return parse_labels(self.read_label_file(where), where, len(self.parts))

    def read_label_file(self, where: str) -> bytes:
        """Return the content of the file of labels; error texts call it `where`.

        Raises:
            ShapeError: when it cannot be read or is larger than 1 GiB.
        """
        assert self.labels is not None
        path, member = (self.path, self.labels) if self.member else (Path(self.labels), None)
        return read_member(path, member, where)


def list_shapes(source: Path, files: list[str] | None = None) -> list[ShapeSource]:
    """List the shapes of a folder or zip, sorted by name; nothing is read yet or ever extracted.

    The layouts are `CLASS/{train,test}/NAME.off` (also val or valid), `CLASS/NAME.off` and flat
    `NAME.off`, in any number of single wrapping folders. A folder that is the only one counts as
    wrapping, so a lone class without splits is unlabelled. Hidden files, `__MACOSX` and files of
    other types are passed over. Of two files of one name the second carries a `fault`.

    Lists `train.txt`, `test.txt` and `val.txt` beside the classes, one `CLASS/NAME` per line, give
    the splits of the second layout. `parts.json` there (class to part names) makes a set with
    part labels: one `NAME.seg` beside each mesh, a whole number per face, counted from 0 within
    the class. A shape that no list names, or without labels in such a set, carries a `fault`.

    Args:
        source: The folder or zip.
        files: What `list_files` says of it, where that is known.

    Raises:
        ShapeError: when the source is absent, damaged, encrypted, without meshes, or mixes
            layouts, or when parts.json or a list does not fit the meshes.
    """
    everything = list_files(source) if files is None else files
    files = shape_files(everything, mesh_suffixes())
    if not files:
        suffixes = ", ".join(f".{suffix}" for suffix in sorted(mesh_suffixes()))
        raise ShapeError(f"{source}: holds no mesh; files that end in {suffixes} are read")
    return place_sources(source, files, everything)


def place_sources(source: Path, files: list[str], everything: list[str]) -> list[ShapeSource]:
    """List some files of a folder or zip as shapes, as `list_shapes` does it with its meshes.

    Args:
        source: The folder or zip.
        files: The files that are shapes, at least one.
        everything: All files, part labels and lists of splits among them.

    Raises:
        ShapeError: when the layouts are mixed, or parts.json or a list does not fit the shapes.
    """
    try:
        placed = places(files, annotated_root(everything, files))
    except ValueError as error:
        raise ShapeError(f"{source}: {error}") from error
    order = sorted(zip(placed, files, strict=True), key=lambda item: (item[0].name, item[1]))
    return _annotated(source, list(_sources(source, order)), set(everything))


def _sources(source: Path, order: list[tuple[Place, str]]) -> Iterator[ShapeSource]:
    first: dict[str, str] = {}
    for place, file in order:
        twin = first.get(place.name)
        first.setdefault(place.name, file)
        path, member = locate(source, file)
        yield ShapeSource(
            name=place.name,
            label=place.label,
            split=place.split,
            location=f"{source}/{file}",
            suffix=suffix_of(file),
            path=path,
            member=member,
            fault=None if twin is None else f"same name as {twin}",
        )


def _annotated(source: Path, shapes: list[ShapeSource], files: set[str]) -> list[ShapeSource]:
    """Add what parts.json, label files and lists of splits beside the meshes say."""
    first = shapes[0].location.removeprefix(f"{source}/").rpartition(".")[0]
    root = first.removesuffix(shapes[0].name)

    def read(file: str) -> bytes:
        return read_member(*locate(source, file), f"{source}/{file}")

    if all(shape.split is None for shape in shapes):
        names = {shape.name for shape in shapes}
        splits = read_split_lists(read, root, files, names, str(source))
        shapes = shapes if splits is None else _split_by_lists(shapes, splits)
    file = f"{root}parts.json"
    if file not in files:
        return shapes
    parts = read_part_names(read, file, f"{source}/{file}")
    return [_with_parts(source, shape, parts, f"{source}/{file}", files) for shape in shapes]


def _split_by_lists(shapes: list[ShapeSource], splits: dict[str, str]) -> list[ShapeSource]:
    unlisted = "is in none of the lists train.txt, test.txt and val.txt"
    return [
        replace(shape, split=splits.get(shape.name))
        if shape.name in splits
        else replace(shape, fault=shape.fault or unlisted)
        for shape in shapes
    ]


def _with_parts(
    source: Path,
    shape: ShapeSource,
    parts: dict[str, tuple[str, ...]],
    where: str,
    files: set[str],
) -> ShapeSource:
    if shape.label is None:
        raise ShapeError(f"{where}: part labels need the layout CLASS/NAME; {shape.name} has none")
    if shape.label not in parts:
        raise ShapeError(
            f"{where}: lacks the class {shape.label} of {shape.name}; add the names of its parts"
        )
    names = parts[str(shape.label)]
    labels = label_file(shape.location.removeprefix(f"{source}/"), files)
    if labels is None:
        missing = f"has no part labels ({Path(shape.location).stem}.seg is not beside it)"
        return replace(shape, parts=names, fault=shape.fault or missing)
    path, member = locate(source, labels)
    return replace(shape, parts=names, labels=member or str(path))


def shape_files(files: list[str], suffixes: frozenset[str]) -> list[str]:
    """Those that end in one of the suffixes, sorted, without hidden ones and `__MACOSX`."""
    named = (file for file in files if suffix_of(file.rpartition("/")[2]) in suffixes)
    return sorted(file for file in named if _visible(file))


def _visible(file: str) -> bool:
    parts = PurePosixPath(file).parts
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def load_shape(source: ShapeSource) -> Mesh:
    """Read a listed shape, its part labels too if it has them, and normalise it.

    Raises:
        ShapeError: when a file cannot be used; the text names it.
    """
    data = source.path if source.member is None else source.read()
    return normalise(read_mesh(data, source.location, source.suffix, source.read_labels()))
