"""Folders and zips of point clouds: one file for each shape, laid out like meshes."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pointmcd.datasets.annotations import unknown_parts
from pointmcd.datasets.base import Layout, register_dataset
from pointmcd.datasets.folder import OwnFiles, place_sources, shape_files
from pointmcd.datasets.sources import Cloud, CloudSource, Listing
from pointmcd.datasets.split_lists import find_split_lists
from pointmcd.datasets.tree import FileTree, open_tree
from pointmcd.errors import ShapeError
from pointmcd.shapes.cloud_files import parse_rows
from pointmcd.shapes.clouds import check_finite
from pointmcd.shapes.formats import CLOUD_SUFFIXES, mesh_suffixes
from pointmcd.shapes.ply import holds_faces
from pointmcd.shapes.ply_header import read_header

#: Tables beside the clouds that are none, besides lists of splits: texts, and our own files.
_NO_CLOUDS = {f"{name}.txt" for name in ("readme", "license", "licence", "classes")}
_NO_CLOUDS |= {f"{name}.csv" for name in ("labels", "parts", "classes")}
#: Types that hold tables of all sorts: taken for clouds only where someone says that they are.
_TABLES = frozenset({"txt", "csv"})


@dataclass(frozen=True)
class FileCloud(CloudSource):
    """A file of points, with or without a file of part labels.

    Attributes:
        columns: of x, y and z in a text table or array, where a user says it.
    """

    columns: str | None = None

    def read_cloud(self) -> Cloud:
        """Read the points; raises ShapeError like `CloudSource.read_cloud`."""
        notes: list[str] = []
        data, suffix = self.file.read(), self.file.suffix
        rows = parse_rows(data, suffix, self.location, self.columns, notes, self.features)
        if rows is None:
            raise ShapeError(f"{self.location}: has faces; prepare meshes apart from clouds")
        count = len(rows.points if rows.kept is None else rows.kept)
        parts = unknown_parts(count) if self.unlabelled else self.read_labels()
        if parts is not None and len(parts) != count:
            raise ShapeError(f"{self.location}: {len(parts)} part labels for {count} points")
        if parts is not None and rows.kept is not None:
            parts = parts[rows.kept]
        return Cloud(
            check_finite(rows.points, self.location, rows.kept), parts, notes, rows.features
        )


def list_clouds(source: FileTree | Path | str) -> list[FileCloud]:
    """List the clouds of a folder or zip, sorted by name; nothing is read yet.

    Layouts, lists of splits and part labels are those of `list_shapes`, one label per point in
    NAME.seg. The types are `CLOUD_SUFFIXES`.

    Raises:
        ShapeError: as `list_shapes`.
    """
    return [s for s in _list_clouds(open_tree(source)).sources if isinstance(s, FileCloud)]


def _list_clouds(tree: FileTree, labelled: bool = True) -> Listing:
    clouds = cloud_files(tree)
    if not clouds:
        ends = ", ".join(f".{suffix}" for suffix in sorted(CLOUD_SUFFIXES))
        raise ShapeError(f"{tree.name}: holds no point cloud; files that end in {ends} are read")
    return place_sources(tree, clouds, FileCloud, labelled)


def cloud_files(tree: FileTree) -> list[str]:
    """Return the files that `clouds:` takes for point clouds, sorted."""
    lists = {found.file for found in find_split_lists(tree.files)}
    files = [file for file in shape_files(tree, CLOUD_SUFFIXES) if file not in lists]
    return [file for file in files if PurePosixPath(file).name.lower() not in _NO_CLOUDS]


def own_shapes(tree: FileTree) -> list[str]:
    """Return the files of meshes and clouds, sorted: what `meshes:` and `clouds:` take of them.

    Tables beside meshes are none, which `prepare` does not read either.
    """
    meshes, clouds = shape_files(tree, mesh_suffixes()), cloud_files(tree)
    if meshes and not holds_clouds(tree):
        clouds = [file for file in clouds if tree.file(file).suffix not in _TABLES]
    return sorted({*meshes, *clouds})


def holds_clouds(tree: FileTree) -> bool:
    """Return whether there are point clouds and no mesh, as file names and PLY headers tell.

    `.txt` and `.csv` alone do not make clouds of it: any folder may hold some.
    """
    meshes = shape_files(tree, mesh_suffixes())
    if not meshes:
        return bool(shape_files(tree, CLOUD_SUFFIXES - _TABLES))
    if any(not file.lower().endswith(".ply") for file in meshes):
        return False
    for file in meshes:
        with suppress(ValueError):  # of a damaged file: it is refused when it is read
            return not holds_faces(read_header(tree.file(file).read()))
    return False


@register_dataset("clouds")
class Clouds(OwnFiles):
    """Point clouds of a user's own."""

    title = "Point clouds of your own, in a folder or zip"
    licence = "yours"
    obtain = "these are files of your own"
    layouts = (Layout("files", _list_clouds, up=None),)

    def list_shapes(self, tree: FileTree, layout: Layout) -> Listing:
        """List the clouds."""
        return _list_clouds(tree, self.labels == "folders")
