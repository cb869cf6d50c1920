"""ScanObjectNN: objects cut out of scanned rooms, as clouds of 2,048 points without a mesh.

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

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from pointmcd.datasets.array_cloud import ArrayCloud, array_clouds, read_labels
from pointmcd.datasets.base import DataSet, Layout
from pointmcd.datasets.listing import Listing, absent_notes
from pointmcd.datasets.tree import locate
from pointmcd.errors import ShapeError

#: In the order of the labels.
SCANOBJECTNN_CLASSES = (
    *("bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table"),
    *("bed", "pillow", "sink", "sofa", "toilet"),
)
_SPLITS = {"train": "training", "test": "test"}


def _file(files: Sequence[str], folder: str, name: str) -> str | None:
    """The file of that name in that folder: the name alone does not tell the variants apart."""
    return next((file for file in files if PurePosixPath(file).parts[-2:] == (folder, name)), None)


def _matches(folder: str, tail: str, files: Sequence[str]) -> bool:
    names = (f"{prefix}_objectdataset{tail}.h5" for prefix in _SPLITS.values())
    return any(_file(files, folder, name) for name in names)


def _list_clouds(
    folder: str, tail: str, source: Path, files: list[str], meshes: Path | None
) -> Listing:
    if not source.is_dir():
        raise ShapeError(f"{source}: unpack it first; HDF5 files are not read inside a zip")
    clouds: list[ArrayCloud] = []
    absent: dict[str, list[str]] = {}
    for split, prefix in _SPLITS.items():
        name = f"{prefix}_objectdataset{tail}.h5"
        file = _file(files, folder, name)
        if file is None:
            absent[split] = [name]
            continue
        path = locate(source, file)[0]
        labels = read_labels(path)
        clouds += array_clouds(path, labels, SCANOBJECTNN_CLASSES, split, "data")
    return Listing(clouds, absent_notes(source, absent))


def _variant(name: str, title: str, folder: str, tail: str, train: int, test: int) -> DataSet:
    return DataSet(
        name=f"scanobjectnn-{name}",
        title=f"ScanObjectNN {title}",
        classes=len(SCANOBJECTNN_CLASSES),
        licence="terms of use of its makers, to be agreed to on the home page",
        home="https://hkust-vgd.github.io/scanobjectnn/",
        obtain="agree to the terms on the home page and unpack h5_files.zip",
        layouts=(
            Layout(
                name=folder,
                matches=partial(_matches, folder, tail),
                list_shapes=partial(_list_clouds, folder, tail),
                splits={"train": train, "test": test},
            ),
        ),
        unchecked="counts, order of the classes and the y axis as up are from memory",
    )


_HARD = "_augmentedrot_scale75"
_HARDEST = "PB_T50_RS: moved, turned and scaled"
SCANOBJECTNN = (
    _variant("obj-bg", "OBJ_BG: objects with background", "main_split", "", 2309, 581),
    _variant("obj-only", "OBJ_ONLY: without background", "main_split_nobg", "", 2309, 581),
    _variant("pb-t50-rs", f"{_HARDEST}, with background", "main_split", _HARD, 11416, 2882),
    _variant("pb-t50-rs-nobg", f"{_HARDEST}, without it", "main_split_nobg", _HARD, 11416, 2882),
)
