"""Folders and zips of point clouds: one file for each shape, laid out like meshes."""

from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from pointmcd.datasets.cloud_source import Cloud, CloudSource, finite
from pointmcd.datasets.folder import ShapeSource, place_sources, shape_files
from pointmcd.datasets.layout import SPLITS
from pointmcd.datasets.tree import list_files, locate, read_member
from pointmcd.errors import ShapeError
from pointmcd.shapes.cloud_files import parse_cloud, ply_points
from pointmcd.shapes.formats import CLOUD_SUFFIXES, mesh_suffixes

#: Text files beside the clouds that are none.
_NO_CLOUDS = {f"{split}.txt" for split in SPLITS} | {
    *("readme.txt", "license.txt", "licence.txt", "classes.txt"),
}
#: Types that hold tables of all sorts: taken for clouds only where someone says that they are.
_TABLES = frozenset({"txt", "csv"})


@dataclass(frozen=True)
class FileCloud(CloudSource):
    """A file of points, with part labels beside it or without."""

    def read_cloud(self) -> Cloud:
        """Read the points; raises ShapeError as `CloudSource.read_cloud` says."""
        data = self.read()
        if self.suffix == "ply":
            points = ply_points(data, self.location)
            if points is None:
                raise ShapeError(f"{self.location}: has faces; prepare meshes apart from clouds")
        else:
            points = parse_cloud(data, self.suffix, self.location)
        return Cloud(finite(points, self.location), self._parts(len(points)))

    def _parts(self, count: int) -> npt.NDArray[np.int16] | None:
        parts = self.read_labels()
        if parts is not None and len(parts) != count:
            raise ShapeError(f"{self.location}: {len(parts)} part labels for {count} points")
        return parts


def list_clouds(source: Path, files: list[str] | None = None) -> list[FileCloud]:
    """List the clouds of a folder or zip, sorted by name; nothing is read yet.

    Layouts, lists of splits and part labels are those of `list_shapes`, one label per point in
    NAME.seg. `.xyz`, `.txt`, `.csv`, `.pts`, `.npy`, `.ply`, `.pcd`, `.las` and `.laz` are read.

    Args:
        source: The folder or zip.
        files: What `list_files` says of it, where that is known.

    Raises:
        ShapeError: as `list_shapes`.
    """
    everything = list_files(source) if files is None else files
    clouds = shape_files(everything, CLOUD_SUFFIXES | {"ply"})
    clouds = [file for file in clouds if PurePosixPath(file).name.lower() not in _NO_CLOUDS]
    if not clouds:
        suffixes = ", ".join(f".{suffix}" for suffix in sorted(CLOUD_SUFFIXES | {"ply"}))
        raise ShapeError(f"{source}: holds no point cloud; files that end in {suffixes} are read")
    return [file_cloud(shape) for shape in place_sources(source, clouds, everything)]


def file_cloud(shape: ShapeSource) -> FileCloud:
    """A listed file as a cloud."""
    return FileCloud(**{field.name: getattr(shape, field.name) for field in fields(ShapeSource)})


def holds_clouds(source: Path, files: list[str]) -> bool:
    """Whether a folder or zip holds point clouds and no mesh, as its file names and PLY tell.

    `.txt` and `.csv` alone do not make clouds of it: any folder may hold some.
    """
    meshes = shape_files(files, mesh_suffixes())
    if not meshes:
        return bool(shape_files(files, CLOUD_SUFFIXES - _TABLES))
    if any(not file.lower().endswith(".ply") for file in meshes):
        return False
    data = read_member(*locate(source, meshes[0]), f"{source}/{meshes[0]}")
    header = data.partition(b"end_header")[0].replace(b"\r", b"\n").splitlines()
    faces = [line.split()[-1] for line in header if line.split()[:2] == [b"element", b"face"]]
    return all(count == b"0" for count in faces)
