"""Files with the classes, parts and lists of splits of ShapeNetPart."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from pointmcd.datasets.annotations import read_part_names
from pointmcd.datasets.tree import MAX_TOLD, FileTree
from pointmcd.errors import ShapeError

#: How many parts each class has.
PART_COUNTS = {
    **{"Airplane": 4, "Bag": 2, "Cap": 2, "Car": 4, "Chair": 4, "Earphone": 3, "Guitar": 3},
    **{"Knife": 2, "Lamp": 4, "Laptop": 2, "Motorbike": 6, "Mug": 2, "Pistol": 3, "Rocket": 3},
    **{"Skateboard": 3, "Table": 3},
}

#: The file that makes a folder one of this layout: class and folder name per line.
CLASS_FILE = "synsetoffset2category.txt"

_SPLIT_FILES = {
    s: f"train_test_split/shuffled_{s}_file_list.json" for s in ("train", "val", "test")
}

#: Folders that hold no clouds: lists, and meshes of ShapeNetCore.
_NO_CLASSES = ("train_test_split", "ShapeNetCore.v1", "ShapeNetCore.v2", "ShapeNetCore")

#: First global label and names of the parts of each class.
Parts = dict[str, tuple[int, tuple[str, ...]]]


def class_files(tree: FileTree) -> list[str]:
    """Return the class files, the nearest to the top first."""
    found = (file for file in tree.files if PurePosixPath(file).name == CLASS_FILE)
    return sorted((file for file in found if "__MACOSX" not in file), key=len)


def read_classes(tree: FileTree) -> dict[str, str]:
    """Return the class of each folder.

    Raises:
        ShapeError: for a line that is not a class and a folder, or that repeats one.
    """
    file = tree.file(CLASS_FILE)
    classes: dict[str, str] = {}
    names: set[str] = set()
    for number, line in enumerate(file.text().splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] in classes or words[0] in names:
            raise ShapeError(
                f"{file.name}: line {number} must be a class and its folder, each once"
            )
        classes[words[1]] = words[0]
        names.add(words[0])
    return classes


def read_parts(tree: FileTree, classes: set[str]) -> Parts:
    """Return the first global label of each class, and its parts' names, from parts.json if there.

    Raises:
        ShapeError: when parts.json is damaged, lacks a class or has another number of parts.
    """
    file = tree.file("parts.json")
    named = read_part_names(file) if "parts.json" in tree else {}
    own = sorted(classes - PART_COUNTS.keys())
    if lacking := sorted(set(own) - named.keys()):
        raise ShapeError(
            f"{tree.file(CLASS_FILE).name}: {lacking[0][:MAX_TOLD]} is not a class of ShapeNetPart;"
            " name its parts in a parts.json next to it"
        )
    counts = {name: len(names) for name, names in named.items()} if own else PART_COUNTS
    parts, first = {}, 0
    for name in sorted(counts):
        names = named.get(name, tuple(f"part{i}" for i in range(counts[name])))
        if len(names) != counts[name]:
            raise ShapeError(f"{file.name}: {name} has {counts[name]} parts, {len(names)} named")
        parts[name] = (first, names)
        first += counts[name]
    if lacking := sorted(classes - parts.keys()):
        raise ShapeError(f"{file.name}: lacks the class {lacking[0][:MAX_TOLD]}")
    return parts


def cloud_files(tree: FileTree, classes: dict[str, str]) -> Iterator[str]:
    """Yield the files with points: FOLDER/NAME.txt or FOLDER/points/NAME.pts.

    Raises:
        ShapeError: for one whose folder is not a class.
    """
    for file in sorted(tree.files):
        parts = PurePosixPath(file).parts
        apart = len(parts) == 3 and parts[1] == "points" and file.endswith(".pts")
        joined = len(parts) == 2 and parts[0] not in _NO_CLASSES and file.endswith(".txt")
        if file.startswith(".") or parts[-1].startswith(".") or not (apart or joined):
            continue
        if parts[0] not in classes:
            raise ShapeError(
                f"{tree.file(file).name}: its folder {parts[0]} is missing from {CLASS_FILE}; add a"
                f" line 'CLASS {parts[0]}'"
            )
        yield file


def read_splits(tree: FileTree) -> dict[str, str] | None:
    """Read the split of each FOLDER/NAME; None where there is no list.

    Raises:
        ShapeError: when a list is damaged, or a name is in two.
    """
    found = {split: tree.file(file) for split, file in _SPLIT_FILES.items() if file in tree}
    splits: dict[str, str] = {}
    for split, file in found.items():
        names = file.json()
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ShapeError(f"{file.name}: must be a list of shape_data/FOLDER/NAME")
        for name in names:
            key = "/".join(PurePosixPath(name).parts[-2:])
            if splits.setdefault(key, split) != split:
                raise ShapeError(f"{file.name}: {key[:MAX_TOLD]} is in the {splits[key]} list too")
    return splits if found else None


def cloud_key(file: str) -> str:
    """Return FOLDER/NAME of a file with points."""
    path = PurePosixPath(file)
    return f"{path.parts[0]}/{path.stem}"
