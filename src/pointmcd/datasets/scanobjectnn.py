"""ScanObjectNN: objects from scanned rooms, as clouds of 2,048 points without a mesh.

Uy et al., "Revisiting Point Cloud Classification: A New Benchmark Dataset and Classification Model
on Real-World Data", ICCV 2019. 15 classes; four variants of the main split, all in `h5_files`.
The files hold `data` [S, 2048, 3], `label` [S] and `mask` [S, 2048]. The mask, which marks points
of the background, is not read: the folder without background has them removed.
"""

from functools import partial
from pathlib import PurePosixPath

from pointmcd.datasets.array_cloud import ArrayCloud, array_clouds
from pointmcd.datasets.base import DataSet, Layout, register_dataset
from pointmcd.datasets.sources import Listing, absent_notes
from pointmcd.datasets.tree import FileTree

#: In the order of the labels.
SCANOBJECTNN_CLASSES = (
    *("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table"),
    *("bed", "pillow", "sink", "sofa", "toilet"),
)
_SPLITS = {"train": "training", "test": "test"}
#: How the names of files end, of shifted, rotated and scaled copies.
_HARD = "_augmentedrot_scale75"
#: Shapes of each split, by the end of the names.
_COUNTS = {"": {"train": 2309, "test": 581}, _HARD: {"train": 11416, "test": 2882}}


def _files(folder: str, tail: str, tree: FileTree) -> dict[str, str | None]:
    """Return each split's file; without the folder, names do not tell the variants apart."""
    ends = {"/".join(PurePosixPath(file).parts[-2:]): file for file in reversed(tree.files)}
    return {
        split: ends.get(f"{folder}/{prefix}_objectdataset{tail}.h5")
        for split, prefix in _SPLITS.items()
    }


def _list_clouds(folder: str, tail: str, tree: FileTree) -> Listing:
    tree.check_unpacked("HDF5 files")
    clouds: list[ArrayCloud] = []
    absent: dict[str, str] = {}
    for split, file in _files(folder, tail, tree).items():
        if file is None:
            absent[f"{_SPLITS[split]}_objectdataset{tail}.h5"] = split
        else:
            clouds += array_clouds(tree.file(file).path, SCANOBJECTNN_CLASSES, split)
    return Listing(clouds, absent_notes(tree, absent))


class _ScanObjectNN(DataSet):
    """Facts about all variants."""

    classes = len(SCANOBJECTNN_CLASSES)
    licence = "terms of use of its makers, to be agreed to on the home page"
    home = "https://hkust-vgd.github.io/scanobjectnn/"
    obtain = "agree to the terms on the home page and unpack h5_files.zip"
    unchecked = "counts, order of the classes and the y axis as up are from memory"


def _register(name: str, title: str, folder: str, tail: str = "") -> None:
    """Register the variant in those files of a folder whose names end in `tail`."""
    layout = Layout(
        name=folder,
        list_shapes=partial(_list_clouds, folder, tail),
        matches=lambda tree: any(_files(folder, tail, tree).values()),
        splits=_COUNTS[tail],
    )
    facts = {"title": f"ScanObjectNN {title}", "layouts": (layout,)}
    register_dataset(f"scanobjectnn-{name}")(type(name, (_ScanObjectNN,), facts))


_MOVED = "PB_T50_RS: moved, turned and scaled"

_register("obj-bg", "OBJ_BG: objects with background", "main_split")
_register("obj-only", "OBJ_ONLY: without background", "main_split_nobg")
_register("pb-t50-rs", f"{_MOVED}, with background", "main_split", _HARD)
_register("pb-t50-rs-nobg", f"{_MOVED}, without background", "main_split_nobg", _HARD)
