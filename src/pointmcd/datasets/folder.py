"""Folders and zips of meshes: one file for each shape, class and split read from its path."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pointmcd.data.labels import ALIKE, alike
from pointmcd.datasets.annotations import PartNames, read_part_names, unknown_parts
from pointmcd.datasets.base import DataSet, Layout, register_dataset
from pointmcd.datasets.layout import places
from pointmcd.datasets.other_files import other_notes
from pointmcd.datasets.sources import Listing, ShapeSource
from pointmcd.datasets.split_lists import Splits, find_split_lists, read_split_lists
from pointmcd.datasets.tree import FileTree, TreeFile, open_tree
from pointmcd.errors import ShapeError
from pointmcd.shapes.formats import CLOUD_SUFFIXES, mesh_suffixes
from pointmcd.shapes.mesh import Mesh, normalise, read_mesh

_NAMES = re.compile(r"(?:^|/)parts\.json$")
Source = TypeVar("Source", bound=ShapeSource)

#: What the note on shapes outside class folders says of them.
NO_CLASS = "lie in no class folder: they have no label"


def list_shapes(source: FileTree | Path | str) -> list[ShapeSource]:
    """List the meshes of a folder or zip, sorted by name; nothing is read yet or ever extracted.

    The layouts are `CLASS/{train,test}/NAME.off` and `{train,test}/CLASS/NAME.off` (also val and
    validation), `CLASS/NAME.off` and flat `NAME.off`, in any number of single wrapping folders. A
    folder that is the only one counts as wrapping, so a lone class without splits is unlabelled.
    Hidden files, `__MACOSX` and files of other types are ignored. Of two files of one name the
    second carries a `fault`.

    Lists `train.txt`, `test.txt` and `val.txt` beside the classes, one `CLASS/NAME` per line, give
    the splits of the third layout (`read_split_lists` tells what else is a list). `parts.json`
    there (class to part names) makes a set with part labels: one `NAME.seg` beside each mesh, an
    integer per face, counted from 0 within the class; the parts of a shape without that file are
    not known. A shape that no list names carries a `fault`.

    Raises:
        ShapeError: when the source is absent, damaged, encrypted, without meshes, or mixes
            layouts, when classes differ in case alone, or when parts.json or a list does not fit
            the meshes.
    """
    return list(list_meshes(open_tree(source)).sources)


def list_meshes(tree: FileTree, labelled: bool = True) -> Listing:
    """List the meshes as `list_shapes` does, with notes on the other files."""
    files = shape_files(tree, mesh_suffixes())
    if not files:
        meshes, clouds = (
            ", ".join(f".{suffix}" for suffix in sorted(suffixes))
            for suffixes in (mesh_suffixes(), CLOUD_SUFFIXES)
        )
        told = f"meshes ({meshes}) and point clouds ({clouds}) are read"
        raise ShapeError(f"{tree.name}: holds no mesh; {told}")
    return place_sources(tree, files, ShapeSource, labelled)


def load_shape(source: ShapeSource) -> Mesh:
    """Read a listed mesh, with its part labels if it has them, and normalise it.

    Raises:
        ShapeError: when a file cannot be used; the text names it.
    """
    file = source.file
    labels = source.read_labels()
    mesh = normalise(read_mesh(file.read(), file.name, file.suffix, labels, file.beside))
    return replace(mesh, parts=unknown_parts(len(mesh.faces))) if source.unlabelled else mesh


def place_sources(
    tree: FileTree, files: list[str], kind: type[Source], labelled: bool = True
) -> Listing:
    """List some files, at least one, as shapes of that kind, as `list_shapes` does with the meshes.

    Where folders are not `labelled`, they may be of any depth, and no shape has a label.

    Raises:
        ShapeError: when the layouts are mixed, or parts.json or a list does not fit the shapes.
    """
    try:
        placed = places(files, _annotated_root(tree.files, files), labelled)
    except ValueError as error:
        raise ShapeError(f"{tree.name}: {error}") from error
    order = sorted(zip(placed, files, strict=True), key=lambda item: (item[0].name, item[1]))
    first: dict[str, str] = {}
    shapes = []
    for place, file in order:
        twin = first.setdefault(place.name, file)
        fault = (
            None
            if twin is file
            else f"same name as {twin}; rename one if they are different shapes"
        )
        shapes.append(kind(place.name, place.label, place.split, tree.file(file), fault))
    _check_classes(tree, {place.label for place in placed if place.label is not None})
    place, file = order[0]
    wrapping = PurePosixPath(file).parts[: -place.name.count("/") - 1]
    beside = tree.below("".join(f"{folder}/" for folder in wrapping))
    splits = None
    if not any(shape.split for shape in shapes):
        splits = read_split_lists(beside, first.keys())
    if splits is not None:
        shapes = [_with_split(shape, splits) for shape in shapes]
    labels: list[str] = []
    if "parts.json" in beside:
        parts_file = beside.file("parts.json")
        parts = read_part_names(parts_file)
        labels = [str(PurePosixPath(file).with_suffix(".seg")) for _, file in order]
        found = [tree.file(name) if name in tree else None for name in labels]
        pairs = zip(shapes, found, strict=True)
        shapes = [_with_parts(shape, parts, parts_file.name, file) for shape, file in pairs]
    used = [beside.root + list_file for list_file in splits.files] if splits else []
    notes = other_notes(tree, files, used, labels)
    if bare := [shape.name for shape in shapes if shape.unlabelled]:
        text = (
            f"{len(bare)} of {len(shapes)} shapes have no .seg beside them, like {bare[0]}: their"
        )
        notes.insert(0, {"name": tree.path.name, "note": f"{text} parts are not known"})
    loose = sum(shape.label is None for shape in shapes)
    if 0 < loose < len(shapes):
        text = f"{loose} of {len(shapes)} shapes {NO_CLASS}"
        notes.insert(0, {"name": tree.path.name, "note": text})
    return Listing(shapes, notes)


def _check_classes(tree: FileTree, labels: Collection[str]) -> None:
    """Refuse classes that most people would read as one."""
    if pair := alike(labels):
        raise ShapeError(f"{tree.name}: classes {pair[0]!a} and {pair[1]!a}: {ALIKE}")


def _annotated_root(everything: Collection[str], meshes: Collection[str]) -> str | None:
    """Return the folder that holds parts.json or lists of splits, and all meshes in folders below.

    None where there is no such folder: the meshes alone tell then where the classes are.
    """
    roots = {file.removesuffix("parts.json") for file in everything if _NAMES.search(file)}
    roots |= {found.root for found in find_split_lists(everything) if found.form.endswith("*")}
    for root in sorted(roots, key=len):
        below = [mesh.removeprefix(root) for mesh in meshes if mesh.startswith(root)]
        if len(below) == len(meshes) and all("/" in mesh for mesh in below):
            return root
    return None


def _with_split(shape: Source, splits: Splits) -> Source:
    if shape.name in splits.of:
        return replace(shape, split=splits.of[shape.name])
    unlisted = f"is in none of the lists {', '.join(splits.files)}"
    return replace(shape, fault=shape.fault or unlisted)


def _with_parts(shape: Source, parts: PartNames, where: str, labels: TreeFile | None) -> Source:
    """Add the names of a shape's parts, from the file `where`, and its file of labels."""
    if shape.label is None:
        raise ShapeError(f"{where}: part labels need the layout CLASS/NAME; {shape.name} has none")
    if shape.label not in parts:
        raise ShapeError(
            f"{where}: lacks the class {shape.label} of {shape.name}; add the names of its parts"
        )
    return replace(shape, parts=parts[shape.label], labels=labels, unlabelled=labels is None)


def shape_files(tree: FileTree, suffixes: frozenset[str]) -> list[str]:
    """Return the files that end in one of the suffixes, sorted, without hidden and `__MACOSX`."""
    found = []
    for file in tree.files:
        path = PurePosixPath(file)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
        if path.suffix[1:].lower() in suffixes and not hidden:
            found.append(file)
    return sorted(found)


@dataclass
class OwnFiles(DataSet):
    """Base of sets of a user's own files.

    Attributes:
        labels: "folders" name the classes, or "none": folders of any depth, shapes without labels.
    """

    labels: str = "folders"

    def __post_init__(self) -> None:
        if self.labels not in ("folders", "none"):
            raise ValueError(f"labels={self.labels}: use folders or none")


@register_dataset("meshes")
class Meshes(OwnFiles):
    """Meshes of a user's own, the last resort for a path without a name."""

    title = "Meshes of your own, in a folder or zip"
    licence = "yours"
    obtain = "these are files of your own"
    layouts = (Layout("files", list_meshes, up=None),)

    def list_shapes(self, tree: FileTree, layout: Layout) -> Listing:
        """List the meshes."""
        return list_meshes(tree, self.labels == "folders")
