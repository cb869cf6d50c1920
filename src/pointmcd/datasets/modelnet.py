"""ModelNet10 and ModelNet40: CAD models in 10 and 40 classes, as meshes and as points.

Wu et al., "3D ShapeNets: A Deep Representation for Volumetric Shapes", CVPR 2015.

| set        | layout    | files                                        | train | test  |
| ---------- | --------- | -------------------------------------------- | ----- | ----- |
| ModelNet10 | off       | CLASS/{train,test}/NAME.off, folder or zip   | 3,991 | 908   |
| ModelNet40 | off       | the same                                     | 9,843 | 2,468 |
| ModelNet40 | hdf5      | ply_data_{train,test}N.h5, 2,048 points      | 9,840 | 2,468 |
| ModelNet40 | npy       | CLASS/{train,test}/NAME.npy, [points, 3]     | 9,843 | 2,468 |
| both       | resampled | CLASS/NAME.txt, 10,000 points with normals   | as off        |

The HDF5 files hold three training shapes fewer than the meshes. In the clouds y is up but for the
NumPy files, which have the axes of the meshes: z is up in most.
"""

import re
from functools import partial
from pathlib import PurePosixPath

from pointmcd.datasets.array_cloud import ArrayCloud, array_clouds
from pointmcd.datasets.base import Archive, DataSet, Layout, register_dataset
from pointmcd.datasets.cloud_folder import FileCloud, list_clouds
from pointmcd.datasets.folder import list_shapes
from pointmcd.datasets.sources import Listing, absent_notes
from pointmcd.datasets.tree import FileTree
from pointmcd.errors import ShapeError

_HDF5 = re.compile(r"ply_data_(train|test)(\d+)\.h5", re.IGNORECASE)

#: Beside ShapeNetPart's HDF5 files, which have the same names and other classes.
_SHAPENETPART = ("catid_partid_to_overallid.json", "ply_data_val0.h5")
_SPLITS = {
    "modelnet10": {"train": 3991, "test": 908},
    "modelnet40": {"train": 9843, "test": 2468},
}

#: The classes of ModelNet40, in the order of its labels.
MODELNET40_CLASSES = (
    *("airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone"),
    *("cup", "curtain", "desk", "door", "dresser", "flower_pot", "glass_box", "guitar"),
    *("keyboard", "lamp", "laptop", "mantel", "monitor", "night_stand", "person", "piano"),
    *("plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool", "table", "tent"),
    *("toilet", "tv_stand", "vase", "wardrobe", "xbox"),
)


def _hdf5_files(tree: FileTree) -> dict[str, str]:
    """Return `ply_data_trainN.h5` and `ply_data_testN.h5` by name, in order of split and N."""
    names = {PurePosixPath(file).name: file for file in tree.files}
    found = ((match, file) for name, file in names.items() if (match := _HDF5.fullmatch(name)))
    order = sorted(found, key=lambda item: (item[0][1].lower(), int(item[0][2])))
    return {match[0]: file for match, file in order}


def _list_hdf5(tree: FileTree) -> Listing:
    """List the rows of all HDF5 files; those of train_files.txt that are absent make a note."""
    tree.check_unpacked("HDF5 files")
    names, found = tree.find("shape_names.txt"), _hdf5_files(tree)
    classes = tree.file(names).lines() if names else MODELNET40_CLASSES
    absent: dict[str, str] = {}
    for split in ("train", "test"):
        if beside := tree.find(f"{split}_files.txt"):
            listed = (PurePosixPath(line).name for line in tree.file(beside).lines())
            absent |= {name: split for name in listed if name not in found}
    clouds: list[ArrayCloud] = []
    for name, file in found.items():
        split = "train" if "train" in name.lower() else "test"
        clouds += array_clouds(tree.file(file).path, classes, split)
    return Listing(clouds, absent_notes(tree, absent))


def _list_text(prefix: str, tree: FileTree) -> Listing:
    """List CLASS/NAME.txt as PREFIX_train.txt and PREFIX_test.txt name them, CLASS_0001 a line."""
    absent: dict[str, str] = {}
    clouds: dict[str, FileCloud] = {}
    splits: dict[str, str] = {}
    for split in ("train", "test"):
        beside = tree.find(f"{prefix}_{split}.txt")
        if beside is None:
            continue
        names = tree.file(beside)
        for name in names.lines():
            label = name.rpartition("_")[0]
            if splits.setdefault(name, split) != split or not label:
                raise ShapeError(f"{names.name}: {name} is in two lists, or no CLASS_NUMBER")
            file = str(PurePosixPath(beside).with_name(label) / f"{name}.txt")
            if file in tree:
                shape = f"{label}/{PurePosixPath(file).stem}"
                clouds[shape] = FileCloud(shape, label, split, tree.file(file))
            else:
                absent[name] = split
    return Listing([clouds[name] for name in sorted(clouds)], absent_notes(tree, absent))


def _resampled(prefix: str) -> Layout:
    return Layout(
        name="resampled",
        list_shapes=partial(_list_text, prefix),
        matches=lambda tree: tree.find(f"{prefix}_train.txt") is not None,
        splits=_SPLITS[prefix],
    )


def _meshes(name: str, url: str) -> Layout:
    return Layout(
        name="off",
        list_shapes=lambda tree: Listing(list_shapes(tree)),
        matches=lambda tree: any(file.lower().endswith(".off") for file in tree.files),
        splits=_SPLITS[name.lower()],
        up="z",
        archive=Archive(f"{name}.zip", (url,)),
    )


class _ModelNet(DataSet):
    """Facts about both sets."""

    licence = (
        "for academic research only; the copyright of the models stays with their authors (as the"
        " home page says)"
    )
    home = "https://modelnet.cs.princeton.edu"
    unchecked = (
        "that z is up in most meshes, y in the clouds, and how many shapes the HDF5 files hold"
    )


@register_dataset("modelnet10")
class ModelNet10(_ModelNet):
    """The ten classes of furniture, whose meshes are aligned."""

    title = "ModelNet10: CAD models of furniture in 10 classes, aligned"
    classes = 10
    obtain = (
        "fetch ModelNet10.zip from the home page; modelnet40_normal_resampled holds"
        " modelnet10_train.txt too"
    )
    layouts = (
        _meshes(
            "ModelNet10", "http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip"
        ),
        _resampled("modelnet10"),
    )


@register_dataset("modelnet40")
class ModelNet40(_ModelNet):
    """All forty classes, in four layouts."""

    title = "ModelNet40: CAD models in 40 classes"
    classes = 40
    obtain = (
        "fetch ModelNet40.zip from the home page; modelnet40_ply_hdf5_2048.zip and"
        " modelnet40_normal_resampled.zip were made for PointNet and PointNet++, whose repositories"
        " say where they are now"
    )
    layouts = (
        Layout(
            name="hdf5",
            list_shapes=_list_hdf5,
            matches=lambda tree: bool(_hdf5_files(tree)) and not any(map(tree.find, _SHAPENETPART)),
            splits={"train": 9840, "test": 2468},
        ),
        _resampled("modelnet40"),
        _meshes("ModelNet40", "http://modelnet.cs.princeton.edu/ModelNet40.zip"),
        Layout(
            name="npy",
            list_shapes=lambda tree: Listing(list_clouds(tree)),
            matches=lambda tree: any(file.lower().endswith(".npy") for file in tree.files),
            splits=_SPLITS["modelnet40"],
            up="z",
        ),
    )
