"""ShapeNetPart by name: the reader is `pointmcd.datasets.shapenetpart.source`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pointmcd.datasets.base import DataSet, Layout
from pointmcd.datasets.listing import Listing
from pointmcd.datasets.shapenetpart.source import is_shapenetpart, list_labelled_clouds

_SPLITS = {"train": 12137, "val": 1870, "test": 2874}


def _matches(plain: bool, files: Sequence[str]) -> bool:
    """Whether points and labels stand apart (v0), or in one file with normals (v0_normal)."""
    return is_shapenetpart(files) and plain == any(file.endswith(".pts") for file in files)


def _list_clouds(source: Path, files: list[str], meshes: Path | None) -> Listing:
    return list_labelled_clouds(source, meshes, files)


SHAPENETPART = DataSet(
    name="shapenetpart",
    title="ShapeNetPart: clouds of 16 classes with 50 labelled parts",
    classes=16,
    licence="ShapeNet's terms: non-commercial research and education, to be agreed to",
    home="https://shapenet.org",
    obtain=(
        "sign up at the home page; read are shapenetcore_partanno_segmentation_benchmark_v0 and"
        " shapenetcore_partanno_segmentation_benchmark_v0_normal"
    ),
    layouts=(
        Layout("v0", partial(_matches, True), _list_clouds, _SPLITS),
        Layout("v0_normal", partial(_matches, False), _list_clouds, _SPLITS),
    ),
    unchecked="whether both editions hold all shapes of the lists",
    takes_meshes=True,
)
