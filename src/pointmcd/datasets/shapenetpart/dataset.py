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

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pointmcd.datasets.base import DataSet, Layout, register_dataset
from pointmcd.datasets.shapenetpart.files import (
    CLASS_FILE,
    Parts,
    below_class_file,
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
    tree = below_class_file(whole)
    classes = read_classes(tree)
    parts = read_parts(tree, set(classes.values()))
    core = _find_core(whole, tree.root) if shapenetcore is None else _check_core(shapenetcore)
    clouds = list(cloud_files(tree, classes))
    if not clouds:
        raise ShapeError(
            f"{tree.name}: holds no labelled cloud: no FOLDER/NAME.txt, no FOLDER/points"
        )
    listed = _Listed(tree, classes, parts, read_splits(tree), core)
    sources = sorted((listed.source(file) for file in clouds), key=lambda shape: shape.name)
    name, count = Counter(shape.name for shape in sources).most_common(1)[0]
    if count > 1:
        raise ShapeError(f"{tree.name}: {name} is there twice; keep to one layout in one folder")
    absent = defaultdict(list)
    for key in sorted((listed.splits or {}).keys() - {cloud_key(file) for file in clouds}):
        absent[(listed.splits or {})[key]].append(key)
    return Listing(sources, absent_notes(tree, absent))


@dataclass(frozen=True)
class _Listed:
    """Content of the files beside the clouds."""

    tree: FileTree
    classes: dict[str, str]
    parts: Parts
    splits: dict[str, str] | None
    core: Path | None

    def source(self, file: str) -> LabelledCloudSource:
        """Return the shape of one file with points."""
        key, stem = cloud_key(file), PurePosixPath(file).stem
        folder = key.split("/")[0]
        label = self.classes[folder]
        first, names = self.parts[label]
        fault = labels = None
        if file.endswith(".pts"):
            beside = f"{folder}/points_label/{stem}.seg"
            labels, first = self.tree.file(beside), 1
            fault = None if beside in self.tree else f"has no labels: {beside} is not there"
        if self.splits is not None and key not in self.splits:
            fault = fault or "is in none of the split lists (train_test_split)"
        return LabelledCloudSource(
            name=f"{label}/{stem}",
            label=label,
            split=None if self.splits is None else self.splits.get(key),
            file=self.tree.file(file),
            fault=fault,
            parts=names,
            labels=labels,
            first_label=first,
            mesh=self.core and _mesh_of(self.core, key),
            wants_mesh=self.core is not None,
        )


def _check_core(given: Path | str) -> Path:
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise ShapeError(f"{folder}: is no folder; give the folder of ShapeNetCore")
    return folder.absolute()


def _find_core(tree: FileTree, root: str) -> Path | None:
    path = tree.path
    places = [path.parent] if tree.is_zip else [path / root, path, path.parent]
    cores = (place / name for place in places for name in _CORES)
    return next((core for core in cores if core.is_dir()), None)


def _mesh_of(core: Path, key: str) -> Path | None:
    return next((core / key / mesh for mesh in _MESHES if (core / key / mesh).is_file()), None)


def _has_class_file(tree: FileTree) -> bool:
    return any(PurePosixPath(file).name == CLASS_FILE for file in tree.files)


def _layout(name: str, plain: bool) -> Layout:
    """Return the layout with points and labels apart, or in one file with normals."""

    def matches(tree: FileTree) -> bool:
        return _has_class_file(tree) and plain == any(f.endswith(".pts") for f in tree.files)

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
        return _has_class_file(tree)

    def list_shapes(self, tree: FileTree, layout: Layout) -> Listing:
        """List the clouds, with their meshes."""
        return list_labelled_clouds(tree, self.shapenetcore)
