"""ShapeNetPart, and sets in its layout: labelled clouds, listed with class, split and parts.

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
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pointmcd.datasets.listing import Listing, absent_notes
from pointmcd.datasets.shapenetpart.files import (
    CLASS_FILE,
    CloudTree,
    Parts,
    cloud_files,
    cloud_key,
    read_classes,
    read_parts,
    read_splits,
)
from pointmcd.datasets.shapenetpart.labelled_cloud import LabelledCloudSource
from pointmcd.datasets.tree import list_files
from pointmcd.errors import ShapeError

#: Folders of ShapeNetCore, looked for in and beside the root, and meshes in them.
_CORES = ("ShapeNetCore.v1", "ShapeNetCore.v2", "ShapeNetCore")
_MESHES = ("models/model_normalized.obj", "model.obj", "models/model.obj")


def is_shapenetpart(files: Iterable[str]) -> bool:
    """Whether a folder or zip of these files, as `list_files` names them, has this layout."""
    return any(PurePosixPath(file).name == CLASS_FILE for file in files)


def list_labelled_clouds(
    source: Path, shapenetcore: Path | None = None, files: list[str] | None = None
) -> Listing:
    """List the shapes of a folder or zip in one of ShapeNetPart's layouts; no cloud is read yet.

    Names are like `Airplane/1021a0914a7207aff927ed529ad90a11`. Splits are those of
    `train_test_split/shuffled_{train,val,test}_file_list.json`; without lists there are none. A
    file that no list names carries a `fault`; a listed name without a file makes a note.

    Parts are called part0, part1, ... or as `parts.json` beside the classes says (class to part
    names). Classes other than ShapeNetPart's need it: global labels then run through all classes
    of parts.json in sorted order.

    Args:
        source: The folder or zip.
        shapenetcore: A folder of ShapeNetCore, v1 or v2, whose meshes the views are to show.
            Without it `ShapeNetCore.v1`, `.v2` or `ShapeNetCore` is looked for in and beside the
            root; without any, shapes have no mesh.
        files: What `list_files` says of the source, where that is known.

    Raises:
        ShapeError: when the source is damaged, no class has a shape, or classes, parts.json and
            the lists contradict each other.
    """
    tree = CloudTree(source, list_files(source) if files is None else files)
    classes = read_classes(tree)
    parts = read_parts(tree, set(classes.values()))
    core = _find_core(tree, shapenetcore)
    clouds = list(cloud_files(tree, classes))
    if not clouds:
        raise ShapeError(f"{source}: holds no labelled cloud: no FOLDER/NAME.txt, no FOLDER/points")
    splits = read_splits(tree)
    sources = [_cloud_source(tree, file, classes, parts, splits, core) for file in clouds]
    name, count = Counter(shape.name for shape in sources).most_common(1)[0]
    if count > 1:
        raise ShapeError(f"{source}: {name} is there twice; keep to one layout in one folder")
    return Listing(
        sorted(sources, key=lambda shape: shape.name), _absent(source, clouds, splits or {})
    )


def _cloud_source(
    tree: CloudTree,
    file: str,
    classes: dict[str, str],
    parts: Parts,
    splits: dict[str, str] | None,
    core: Path | None,
) -> LabelledCloudSource:
    key, stem = cloud_key(file), PurePosixPath(file).stem
    folder = key.split("/")[0]
    label = classes[folder]
    path, member = tree.path(file)
    fault, labels, first = None, None, parts[label][0]
    if file.endswith(".pts"):
        labels, first = f"{folder}/points_label/{stem}.seg", 1
        if labels not in tree.known:
            fault = f"has no labels: {labels} is not there"
    if splits is not None and key not in splits:
        fault = fault or "is in none of the split lists (train_test_split)"
    return LabelledCloudSource(
        name=f"{label}/{stem}",
        label=label,
        split=None if splits is None else splits.get(key),
        location=tree.where(file),
        suffix=PurePosixPath(file).suffix[1:],
        path=path,
        member=member,
        fault=fault,
        parts=parts[label][1],
        labels=labels and (tree.root + labels if member else str(tree.path(labels)[0])),
        first_label=first,
        mesh=core and _mesh_of(core, key),
        wants_mesh=core is not None,
    )


def _find_core(tree: CloudTree, given: Path | None) -> Path | None:
    if given is not None:
        if not given.is_dir():
            raise ShapeError(f"{given}: is no folder; give the folder of ShapeNetCore")
        return given.absolute()
    root = tree.source.absolute()
    places = [root.parent] if root.is_file() else [root / tree.root, root, root.parent]
    cores = (place / name for place in places for name in _CORES)
    return next((core for core in cores if core.is_dir()), None)


def _mesh_of(core: Path, key: str) -> Path | None:
    return next((core / key / mesh for mesh in _MESHES if (core / key / mesh).is_file()), None)


def _absent(source: Path, files: Iterable[str], splits: dict[str, str]) -> list[dict[str, str]]:
    """Note how many names of each list have no file, and the first of them."""
    by_split = defaultdict(list)
    for key in sorted(splits.keys() - {cloud_key(file) for file in files}):
        by_split[splits[key]].append(key)
    return absent_notes(source, by_split)
