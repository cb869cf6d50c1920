"""ScanObjectNN: objects from scanned rooms, as clouds of 2,048 points without a mesh.

Uy et al., "Revisiting Point Cloud Classification: A New Benchmark Dataset and Classification Model
on Real-World Data", ICCV 2019. 15 classes; four variants of the main split, all in `h5_files`:

| name                        | folder          | files ending in        | train  | test  |
| --------------------------- | --------------- | ---------------------- | ------ | ----- |
| scanobjectnn-obj-bg         | main_split      | objectdataset          | 2,309  | 581   |
| scanobjectnn-obj-only       | main_split_nobg | objectdataset          | 2,309  | 581   |
| scanobjectnn-pb-t50-rs      | main_split      | _augmentedrot_scale75  | 11,416 | 2,882 |
| scanobjectnn-pb-t50-rs-nobg | main_split_nobg | _augmentedrot_scale75  | 11,416 | 2,882 |

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
_HARD = "_augmentedrot_scale75"


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


def _layout(folder: str, tail: str, **splits: int) -> tuple[Layout]:
    list_clouds = partial(_list_clouds, folder, tail)
    return (
        Layout(folder, list_clouds, lambda tree: any(_files(folder, tail, tree).values()), splits),
    )


class _ScanObjectNN(DataSet):
    """Facts about all variants."""

    classes = len(SCANOBJECTNN_CLASSES)
    licence = "terms of use of its makers, to be agreed to on the home page"
    home = "https://hkust-vgd.github.io/scanobjectnn/"
    obtain = "agree to the terms on the home page and unpack h5_files.zip"
    unchecked = "counts, order of the classes and the y axis as up are from memory"


@register_dataset("scanobjectnn-obj-bg")
class ScanObjectNNBackground(_ScanObjectNN):
    """Objects as they were cut out, with background."""

    title = "ScanObjectNN OBJ_BG: objects with background"
    layouts = _layout("main_split", "", train=2309, test=581)


@register_dataset("scanobjectnn-obj-only")
class ScanObjectNNOnly(_ScanObjectNN):
    """Objects without background."""

    title = "ScanObjectNN OBJ_ONLY: without background"
    layouts = _layout("main_split_nobg", "", train=2309, test=581)


@register_dataset("scanobjectnn-pb-t50-rs")
class ScanObjectNNHardest(_ScanObjectNN):
    """Shifted, rotated and scaled copies, with background."""

    title = "ScanObjectNN PB_T50_RS: moved, turned and scaled, with background"
    layouts = _layout("main_split", _HARD, train=11416, test=2882)


@register_dataset("scanobjectnn-pb-t50-rs-nobg")
class ScanObjectNNHardestOnly(_ScanObjectNN):
    """Shifted, rotated and scaled copies, without background."""

    title = "ScanObjectNN PB_T50_RS: moved, turned and scaled, without background"
    layouts = _layout("main_split_nobg", _HARD, train=11416, test=2882)
