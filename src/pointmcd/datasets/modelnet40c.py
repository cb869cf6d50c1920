"""ModelNet40-C: the test split of ModelNet40 under 15 corruptions of 5 severities, for tests only.

Sun et al., "Benchmarking Robustness of 3D Point Cloud Recognition Against Common Corruptions",
arXiv 2201.12296. One `data_CORRUPTION_SEVERITY.npy` [2468, N, 3] for each, like
`data_gaussian_3.npy`, N its own, and `label.npy` [2468, 1] or [2468] with the classes of
ModelNet40. A folder is read as a whole, 75 times the shapes; one file by `modelnet40c:FILE.npy`.
"""

import re
from dataclasses import replace
from pathlib import PurePosixPath

from pointmcd.datasets.array_cloud import array_clouds
from pointmcd.datasets.base import DataSet, Layout, register_dataset
from pointmcd.datasets.modelnet import MODELNET40_CLASSES
from pointmcd.datasets.sources import Listing
from pointmcd.datasets.tree import FileTree

_DATA = re.compile(r"data_(\w+)\.npy")
_SHAPES = 2468
_CORRUPTIONS = 75


def _arrays(tree: FileTree) -> list[str]:
    return [file for file in tree.files if _DATA.fullmatch(PurePosixPath(file).name)]


def _list_clouds(tree: FileTree) -> Listing:
    tree.check_unpacked("arrays")
    paths = sorted(tree.file(file).path for file in _arrays(tree))
    clouds = []
    for path in paths:
        rows = array_clouds(path, MODELNET40_CLASSES, "test", path.with_name("label.npy"))
        # Every file has the same shapes: CLASS/CORRUPTION_SEVERITY_ROW.
        clouds += [replace(row, name=row.name.replace("/data_", "/")) for row in rows]
    if len(clouds) == len(paths) * _SHAPES:  # fewer corruptions may be meant
        return Listing(clouds)
    found = f"{len(clouds)} shapes found in {len(paths)} files"
    note = f"{found}, officially {_SHAPES} in each of {_CORRUPTIONS}"
    return Listing(clouds, [{"name": ModelNet40C.name, "note": note}])


@register_dataset("modelnet40c")
class ModelNet40C(DataSet):
    """The benchmark's arrays, all or one of them."""

    title = "ModelNet40-C: ModelNet40's test split under 75 corruptions, a test of robustness"
    classes = 40
    licence = "as its page says; the shapes are ModelNet40's, for academic research only"
    home = "https://github.com/jiachens/ModelNet40-C"
    obtain = "follow the link to the data on the home page and unpack it"
    layouts = (Layout("npy", _list_clouds, matches=lambda tree: bool(_arrays(tree))),)
    unchecked = "the licence, and whether label.npy has one column or none; both are read"
