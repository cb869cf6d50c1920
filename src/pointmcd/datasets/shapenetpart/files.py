"""What stands beside the clouds of ShapeNetPart: classes, parts and lists of splits."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pointmcd.datasets.annotations import MAX_TOLD, read_part_names
from pointmcd.datasets.tree import locate, read_member
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


class CloudTree:
    """Files of a set, named from its root: the folder with the class file.

    Raises:
        ShapeError: when no folder has one.
    """

    def __init__(self, source: Path, files: list[str]) -> None:
        self.source = source
        roots = [file.removesuffix(CLASS_FILE) for file in files if _is_class_file(file)]
        if not roots:
            raise ShapeError(f"{source}: lacks {CLASS_FILE}, with class and folder in each line")
        self.root = min(roots, key=len)
        self.files = sorted(f.removeprefix(self.root) for f in files if f.startswith(self.root))
        self.known = set(self.files)

    def path(self, file: str) -> tuple[Path, str | None]:
        """The path to read, and the member where it is a zip."""
        return locate(self.source, self.root + file)

    def where(self, file: str) -> str:
        """What error texts call a file."""
        return f"{self.source}/{self.root}{file}"

    def read(self, file: str) -> bytes:
        """Return the content of a file; raises ShapeError when it cannot be read."""
        return read_member(*self.path(file), self.where(file))


def _is_class_file(file: str) -> bool:
    return PurePosixPath(file).name == CLASS_FILE and "__MACOSX" not in file


def read_classes(tree: CloudTree) -> dict[str, str]:
    """Read the class of each folder.

    Raises:
        ShapeError: for a line that is not a class and a folder, or that repeats one.
    """
    classes: dict[str, str] = {}
    names: set[str] = set()
    lines = tree.read(CLASS_FILE).decode("utf-8-sig", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] in classes or words[0] in names:
            raise ShapeError(
                f"{tree.where(CLASS_FILE)}: line {number} must be a class and its folder, each once"
            )
        classes[words[1]] = words[0]
        names.add(words[0])
    return classes


def read_parts(tree: CloudTree, classes: set[str]) -> Parts:
    """Return the first global label of each class, and its parts' names, from parts.json if there.

    Raises:
        ShapeError: when parts.json is damaged, lacks a class or has another number of parts.
    """
    named = {}
    if "parts.json" in tree.known:
        named = read_part_names(tree.read, "parts.json", tree.where("parts.json"))
    own = sorted(classes - PART_COUNTS.keys())
    if lacking := sorted(set(own) - named.keys()):
        raise ShapeError(
            f"{tree.where(CLASS_FILE)}: {lacking[0][:MAX_TOLD]} is no class of ShapeNetPart; name"
            " its parts in a parts.json beside"
        )
    counts = {name: len(names) for name, names in named.items()} if own else PART_COUNTS
    parts, first = {}, 0
    for name in sorted(counts):
        names = named.get(name, tuple(f"part{i}" for i in range(counts[name])))
        if len(names) != counts[name]:
            raise ShapeError(
                f"{tree.where('parts.json')}: {name} has {counts[name]} parts, {len(names)} named"
            )
        parts[name] = (first, names)
        first += counts[name]
    if lacking := sorted(classes - parts.keys()):
        raise ShapeError(f"{tree.where('parts.json')}: lacks the class {lacking[0][:MAX_TOLD]}")
    return parts


def cloud_files(tree: CloudTree, classes: dict[str, str]) -> Iterator[str]:
    """Yield the files with points: FOLDER/NAME.txt or FOLDER/points/NAME.pts.

    Raises:
        ShapeError: for one whose folder is no class.
    """
    for file in tree.files:
        parts = PurePosixPath(file).parts
        apart = len(parts) == 3 and parts[1] == "points" and file.endswith(".pts")
        joined = len(parts) == 2 and parts[0] not in _NO_CLASSES and file.endswith(".txt")
        if file.startswith(".") or parts[-1].startswith(".") or not (apart or joined):
            continue
        if parts[0] not in classes:
            raise ShapeError(
                f"{tree.where(file)}: its folder {parts[0]} is missing from {CLASS_FILE}; add a"
                f" line 'CLASS {parts[0]}'"
            )
        yield file


def read_splits(tree: CloudTree) -> dict[str, str] | None:
    """Read the split of each FOLDER/NAME; None where there is no list.

    Raises:
        ShapeError: when a list is damaged, or a name is in two.
    """
    found = {split: file for split, file in _SPLIT_FILES.items() if file in tree.known}
    splits: dict[str, str] = {}
    for split, file in found.items():
        try:
            entries = json.loads(tree.read(file).decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ShapeError(f"{tree.where(file)}: is not JSON: {error}") from error
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise ShapeError(f"{tree.where(file)}: must be a list of shape_data/FOLDER/NAME")
        for entry in entries:
            key = "/".join(PurePosixPath(entry).parts[-2:])
            if splits.setdefault(key, split) != split:
                raise ShapeError(
                    f"{tree.where(file)}: {key[:MAX_TOLD]} is in the {splits[key]} list too"
                )
    return splits if found else None


def cloud_key(file: str) -> str:
    """FOLDER/NAME of a file with points."""
    path = PurePosixPath(file)
    return f"{path.parts[0]}/{path.stem}"
