"""ModelNet10 and ModelNet40: CAD models in 10 and 40 classes, as meshes and as points.

Wu et al., "3D ShapeNets: A Deep Representation for Volumetric Shapes", CVPR 2015.

| set        | layout    | files                                        | train | test  |
| ---------- | --------- | -------------------------------------------- | ----- | ----- |
| ModelNet10 | off       | CLASS/{train,test}/NAME.off, folder or zip   | 3,991 | 908   |
| ModelNet40 | off       | the same                                     | 9,843 | 2,468 |
| ModelNet40 | hdf5      | ply_data_{train,test}N.h5, 2,048 points      | 9,840 | 2,468 |
| both       | resampled | CLASS/NAME.txt, 10,000 points with normals   | as off        |

The HDF5 files hold three training shapes less than the meshes. Points lie y up, most meshes z up.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from pointmcd.datasets.array_cloud import ArrayCloud, array_clouds, read_labels
from pointmcd.datasets.base import Archive, DataSet, Layout, named, read_lines
from pointmcd.datasets.cloud_folder import FileCloud
from pointmcd.datasets.folder import list_shapes
from pointmcd.datasets.listing import Listing, absent_notes
from pointmcd.datasets.tree import locate
from pointmcd.errors import ShapeError

_HDF5 = re.compile(r"ply_data_(train|test)(\d+)\.h5", re.IGNORECASE)

#: The classes of ModelNet40, in the order of its labels.
MODELNET40_CLASSES = (
    *("airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone"),
    *("cup", "curtain", "desk", "door", "dresser", "flower_pot", "glass_box", "guitar"),
    *("keyboard", "lamp", "laptop", "mantel", "monitor", "night_stand", "person", "piano"),
    *("plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool", "table", "tent"),
    *("toilet", "tv_stand", "vase", "wardrobe", "xbox"),
)


def _has_meshes(files: Sequence[str]) -> bool:
    return any(file.lower().endswith(".off") for file in files)


def _list_meshes(source: Path, files: list[str], meshes: Path | None) -> Listing:
    return Listing(list_shapes(source, files))


def _has_hdf5(files: Sequence[str]) -> bool:
    return any(_HDF5.fullmatch(PurePosixPath(file).name) for file in files)


def _list_hdf5(source: Path, files: list[str], meshes: Path | None) -> Listing:
    """List `ply_data_trainN.h5` and `ply_data_testN.h5`, those that train_files.txt names first."""
    if not source.is_dir():
        raise ShapeError(f"{source}: unpack it first; HDF5 files are not read inside a zip")
    names = named(files, "shape_names.txt")
    classes = read_lines(source, names) if names else MODELNET40_CLASSES
    found = {PurePosixPath(file).name: file for file in files if _has_hdf5([file])}
    absent: defaultdict[str, list[str]] = defaultdict(list)
    for split in ("train", "test"):
        if beside := named(files, f"{split}_files.txt"):
            listed = (PurePosixPath(line).name for line in read_lines(source, beside))
            absent[split] = [name for name in listed if name not in found]
    clouds: list[ArrayCloud] = []
    for name in sorted(found, key=_number):
        path = locate(source, found[name])[0]
        split = _number(name)[0]
        clouds += array_clouds(path, read_labels(path), classes, split, "data")
    return Listing(clouds, absent_notes(source, absent))


def _number(name: str) -> tuple[str, int]:
    match = _HDF5.fullmatch(name)
    assert match is not None
    return match[1].lower(), int(match[2])


def _has_text(prefix: str, files: Sequence[str]) -> bool:
    return named(files, f"{prefix}_train.txt") is not None


def _list_text(prefix: str, source: Path, files: list[str], meshes: Path | None) -> Listing:
    """List CLASS/NAME.txt as PREFIX_train.txt and PREFIX_test.txt name them, CLASS_0001 a line."""
    known = set(files)
    absent: defaultdict[str, list[str]] = defaultdict(list)
    clouds: list[FileCloud] = []
    splits: dict[str, str] = {}
    for split in ("train", "test"):
        beside = named(files, f"{prefix}_{split}.txt")
        for name in read_lines(source, beside) if beside else ():
            assert beside is not None
            label = name.rpartition("_")[0]
            file = str(PurePosixPath(beside).with_name(label) / f"{name}.txt") if label else ""
            if splits.setdefault(name, split) != split or not label:
                raise ShapeError(f"{source}/{beside}: {name} is in two lists, or no CLASS_NUMBER")
            if file in known:
                clouds.append(_text_cloud(source, file, label, split))
            else:
                absent[split].append(name)
    unique = {cloud.name: cloud for cloud in clouds}  # a line may be there twice
    return Listing([unique[name] for name in sorted(unique)], absent_notes(source, absent))


def _text_cloud(source: Path, file: str, label: str, split: str) -> FileCloud:
    path, member = locate(source, file)
    name = f"{label}/{PurePosixPath(file).stem}"
    return FileCloud(name, label, split, f"{source}/{file}", "txt", path, member)


_LICENCE = (
    "for academic research only; the copyright of the models stays with their authors (as the"
    " home page says)"
)
_UNCHECKED = "that z is up in most meshes, y in the clouds, and how many shapes the HDF5 files hold"
_RESAMPLED = "modelnet40_normal_resampled holds modelnet10_train.txt too"

MODELNET10 = DataSet(
    name="modelnet10",
    title="ModelNet10: CAD models of furniture in 10 classes, aligned",
    classes=10,
    licence=_LICENCE,
    home="https://modelnet.cs.princeton.edu",
    obtain=f"fetch ModelNet10.zip from the home page; {_RESAMPLED}",
    unchecked=_UNCHECKED,
    layouts=(
        Layout(
            name="off",
            matches=_has_meshes,
            list_shapes=_list_meshes,
            splits={"train": 3991, "test": 908},
            up="z",
            archive=Archive(
                "ModelNet10.zip",
                ("http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",),
            ),
        ),
        Layout(
            name="resampled",
            matches=partial(_has_text, "modelnet10"),
            list_shapes=partial(_list_text, "modelnet10"),
            splits={"train": 3991, "test": 908},
        ),
    ),
)

MODELNET40 = DataSet(
    name="modelnet40",
    title="ModelNet40: CAD models in 40 classes",
    classes=40,
    licence=_LICENCE,
    home="https://modelnet.cs.princeton.edu",
    obtain=(
        "fetch ModelNet40.zip from the home page; modelnet40_ply_hdf5_2048.zip and"
        " modelnet40_normal_resampled.zip were made for PointNet and PointNet++, whose repositories"
        " say where they are now"
    ),
    unchecked=_UNCHECKED,
    layouts=(
        Layout(
            name="hdf5",
            matches=_has_hdf5,
            list_shapes=_list_hdf5,
            splits={"train": 9840, "test": 2468},
        ),
        Layout(
            name="resampled",
            matches=partial(_has_text, "modelnet40"),
            list_shapes=partial(_list_text, "modelnet40"),
            splits={"train": 9843, "test": 2468},
        ),
        Layout(
            name="off",
            matches=_has_meshes,
            list_shapes=_list_meshes,
            splits={"train": 9843, "test": 2468},
            up="z",
            archive=Archive("ModelNet40.zip", ("http://modelnet.cs.princeton.edu/ModelNet40.zip",)),
        ),
    ),
)
