"""ShapeNetPart, and sets in its layout: labelled clouds with class, split and parts.

ShapeNetPart (Yi et al., "A Scalable Active Framework for Region Annotation in 3D Shape
Collections", SIGGRAPH Asia 2016): 16,881 shapes of ShapeNetCore in 16 classes with 50 parts, about
2,600 points each; 12,137 train, 1,870 val and 2,874 test. Two layouts are read, as a folder or zip:
`shapenetcore_partanno_segmentation_benchmark_v0_normal` (points, normals and labels in one file)
and `shapenetcore_partanno_segmentation_benchmark_v0` (points and labels apart). Both are for
non-commercial research and education under ShapeNet's terms, to be had from https://shapenet.org
after signing up. The parts, labelled 0 to 49 through the classes in order, are unnamed:

| class    | folder   | parts | class      | folder   | parts |
| -------- | -------- | ----- | ---------- | -------- | ----- |
| Airplane | 02691156 | 0-3   | Lamp       | 03636649 | 24-27 |
| Bag      | 02773838 | 4-5   | Laptop     | 03642806 | 28-29 |
| Cap      | 02954340 | 6-7   | Motorbike  | 03790512 | 30-35 |
| Car      | 02958343 | 8-11  | Mug        | 03797390 | 36-37 |
| Chair    | 03001627 | 12-15 | Pistol     | 03948459 | 38-40 |
| Earphone | 03261776 | 16-18 | Rocket     | 04099429 | 41-43 |
| Guitar   | 03467517 | 19-21 | Skateboard | 04225987 | 44-46 |
| Knife    | 03624134 | 22-23 | Table      | 04379243 | 47-49 |
"""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pointmcd.datasets.base import DataSet, Layout, register_dataset
from pointmcd.datasets.shapenetpart.files import (
    CLASS_FILE,
    Parts,
    class_files,
    cloud_files,
    cloud_key,
    read_classes,
    read_parts,
    read_splits,
)
from pointmcd.datasets.shapenetpart.labelled_cloud import LabelledCloudSource
from pointmcd.datasets.sources import Listing, absent_notes
from pointmcd.datasets.tree import FileTree, open_tree
from pointmcd.errors import ShapeError

#: Folders of ShapeNetCore, looked for in and beside the root, and meshes in them.
_CORES = ("ShapeNetCore.v1", "ShapeNetCore.v2", "ShapeNetCore")
_MESHES = ("models/model_normalized.obj", "model.obj", "models/model.obj")

_SPLITS = {"train": 12137, "val": 1870, "test": 2874}


def list_labelled_clouds(
    source: FileTree | Path | str, shapenetcore: Path | str | None = None
) -> Listing:
    """List the shapes of a folder or zip in one of ShapeNetPart's layouts; no cloud is read yet.

    Names are like `Airplane/1021a0914a7207aff927ed529ad90a11`. Splits are those of
    `train_test_split/shuffled_{train,val,test}_file_list.json`; without lists there are none. A
    file that no list names carries a `fault`; a listed name without a file makes a note.

    Parts are called part0, part1, ... or as `parts.json` beside the classes says (class to part
    names). Classes other than ShapeNetPart's need it: global labels then run through all classes
    of parts.json in sorted order.

    Args:
        source: the folder or zip.
        shapenetcore: a folder of ShapeNetCore, v1 or v2, whose meshes the views are to show.
            Without it `ShapeNetCore.v1`, `.v2` or `ShapeNetCore` is looked for in and beside the
            root; without any, shapes have no mesh.

    Raises:
        ShapeError: when the source is damaged, no class has a shape, or classes, parts.json and
            the lists contradict each other.
    """
    whole = open_tree(source)
    found = class_files(whole)
    if not found:
        raise ShapeError(f"{whole.name}: lacks {CLASS_FILE}, with class and folder in each line")
    tree = whole.below(found[0].removesuffix(CLASS_FILE))
    classes = read_classes(tree)
    parts, splits = read_parts(tree, set(classes.values())), read_splits(tree)
    core = _find_core(whole, tree.root) if shapenetcore is None else _check_core(shapenetcore)
    shapes: dict[str, LabelledCloudSource] = {}
    for file in cloud_files(tree, classes):
        shape = _labelled_cloud(tree, file, classes, parts)
        name, key = shape.name, cloud_key(file)
        if name in shapes:
            raise ShapeError(f"{tree.name}: {name} occurs twice; keep to one layout in one folder")
        if core is not None:
            shape = replace(shape, mesh=_mesh_of(core, key), wants_mesh=True)
        if splits is not None:
            unlisted = "is in none of the split lists (train_test_split)"
            fault = shape.fault or (None if key in splits else unlisted)
            shape = replace(shape, split=splits.pop(key, None), fault=fault)
        shapes[name] = shape
    if not shapes:
        raise ShapeError(
            f"{tree.name}: holds no labelled cloud: no FOLDER/NAME.txt, no FOLDER/points"
        )
    notes = absent_notes(tree, dict(sorted((splits or {}).items())))
    return Listing([shapes[name] for name in sorted(shapes)], notes)


def _labelled_cloud(
    tree: FileTree, file: str, classes: dict[str, str], parts: Parts
) -> LabelledCloudSource:
    """Return the shape of one file with points, of no split yet."""
    folder, stem = file.split("/")[0], PurePosixPath(file).stem
    label = classes[folder]
    first, names = parts[label]
    fault = labels = None
    if file.endswith(".pts"):
        beside = f"{folder}/points_label/{stem}.seg"
        labels, first = tree.file(beside), 1
        fault = None if beside in tree else f"has no labels: {beside} is not there"
    return LabelledCloudSource(
        name=f"{label}/{stem}",
        label=label,
        split=None,
        file=tree.file(file),
        fault=fault,
        parts=names,
        labels=labels,
        first_label=first,
    )


def _check_core(given: Path | str) -> Path:
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise ShapeError(f"{folder}: is not a folder; give the folder of ShapeNetCore")
    return folder.absolute()


def _find_core(tree: FileTree, root: str) -> Path | None:
    path = tree.path
    places = [path.parent] if tree.is_zip else [path / root, path, path.parent]
    cores = (place / name for place in places for name in _CORES)
    return next(filter(Path.is_dir, cores), None)


def _mesh_of(core: Path, key: str) -> Path | None:
    return next(filter(Path.is_file, (core / key / mesh for mesh in _MESHES)), None)


def _layout(name: str, plain: bool) -> Layout:
    """Return the layout with points and labels apart, or in one file with normals."""

    def matches(tree: FileTree) -> bool:
        has_points = any(file.endswith(".pts") for file in tree.files)
        return bool(class_files(tree)) and plain == has_points

    return Layout(name, list_labelled_clouds, matches, _SPLITS)


@register_dataset("shapenetpart")
@dataclass
class ShapeNetPart(DataSet):
    """ShapeNetPart in both editions.

    Attributes:
        shapenetcore: the folder of the meshes; None: it is looked for beside the clouds.
    """

    title = "ShapeNetPart: clouds of 16 classes with 50 labelled parts"
    classes = 16
    licence = "ShapeNet's terms: non-commercial research and education, to be agreed to"
    home = "https://shapenet.org"
    obtain = (
        "sign up at the home page; read are shapenetcore_partanno_segmentation_benchmark_v0 and"
        " shapenetcore_partanno_segmentation_benchmark_v0_normal"
    )
    layouts = (_layout("v0", True), _layout("v0_normal", False))
    unchecked = "whether both editions hold all shapes of the lists"

    shapenetcore: Path | str | None = None

    def __post_init__(self) -> None:
        if self.shapenetcore is not None:
            self.shapenetcore = Path(self.shapenetcore).expanduser().absolute()

    @classmethod
    def recognises(cls, tree: FileTree) -> bool:
        """Return whether the class file is there."""
        return bool(class_files(tree))

    def list_shapes(self, tree: FileTree, layout: Layout) -> Listing:
        """List the clouds, with their meshes."""
        return list_labelled_clouds(tree, self.shapenetcore)
