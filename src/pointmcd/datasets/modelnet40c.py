"""ModelNet40-C: the test part of ModelNet40 under 15 corruptions of 5 severities, for tests alone.

Sun et al., "Benchmarking Robustness of 3D Point Cloud Recognition Against Common Corruptions",
arXiv 2201.12296. One `data_CORRUPTION_SEVERITY.npy` [2468, N, 3] for each, like
`data_gaussian_3.npy`, N its own, and `label.npy` [2468, 1] or [2468] with the classes of
ModelNet40. A folder is read as a whole, 75 times the shapes; one file by `modelnet40c:FILE.npy`.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pointmcd.datasets.array_cloud import array_clouds, read_labels
from pointmcd.datasets.base import DataSet, Layout
from pointmcd.datasets.listing import Listing
from pointmcd.datasets.modelnet import MODELNET40_CLASSES
from pointmcd.errors import ShapeError

_DATA = re.compile(r"data_(\w+)\.npy")
_SHAPES = 2468
_CORRUPTIONS = 75


def _matches(files: Sequence[str]) -> bool:
    return any(_DATA.fullmatch(PurePosixPath(file).name) for file in files)


def _list_clouds(source: Path, files: list[str], meshes: Path | None) -> Listing:
    if not source.is_dir():
        raise ShapeError(f"{source}: unpack it first; arrays are not read inside a zip")
    arrays = [file for file in files if _matches([file])]
    clouds = []
    for path in sorted(source / file for file in arrays):
        labels = read_labels(path.with_name("label.npy"))
        rows = array_clouds(path, labels, MODELNET40_CLASSES, "test", "data")
        # The same shape comes again and again: CLASS/CORRUPTION_SEVERITY_ROW.
        clouds += [replace(row, name=row.name.replace("/data_", "/")) for row in rows]
    return Listing(clouds, _size_notes(len(arrays), len(clouds)))


def _size_notes(arrays: int, clouds: int) -> list[dict[str, str]]:
    """Note files with fewer shapes than the test part; fewer corruptions may be meant."""
    if clouds == arrays * _SHAPES:
        return []
    note = (
        f"{clouds} shapes found in {arrays} files, officially {_SHAPES} in each of {_CORRUPTIONS}"
    )
    return [{"name": "modelnet40c", "note": note}]


MODELNET40C = DataSet(
    name="modelnet40c",
    title="ModelNet40-C: ModelNet40's test part under 75 corruptions, a test of robustness",
    classes=40,
    licence="as its page says; the shapes are ModelNet40's, for academic research only",
    home="https://github.com/jiachens/ModelNet40-C",
    obtain="follow the link to the data on the home page and unpack it",
    layouts=(Layout(name="npy", matches=_matches, list_shapes=_list_clouds),),
    unchecked="the licence, and whether label.npy has one column or none; both are read",
)
