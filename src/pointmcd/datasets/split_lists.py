"""Lists of splits among the files of a set: `train.txt`, `splits/Test.txt`, `mine_train.txt`."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from pointmcd.data.shape_names import composed
from pointmcd.datasets.layout import SPLITS
from pointmcd.datasets.tree import MAX_TOLD, FileTree
from pointmcd.errors import ShapeError

#: Folders beside those of the classes that hold lists.
_FOLDERS = ("split", "splits", "list", "lists")
_READ = (".txt", ".lst", ".list")
_SUFFIXES = (*_READ, "", ".csv", ".tsv", ".json", ".yaml", ".yml")
_BOTH = "trainval"
_OTHERS = ("dev", "eval", "evaluation", "holdout", "folds?", "splits?")
_WORD = re.compile(f"(?<![a-z])(?:{'|'.join((*SPLITS, _BOTH, *_OTHERS))})(?![a-z])")


class SplitList(NamedTuple):
    """A file that a split is named after.

    Attributes:
        file: its path.
        root: the folder that it is for, with its slash, or "".
        form: path without the word for the split, "*" for `train.txt`: lists of one form belong
            together.
        split: "train", "test", "val", or "trainval" for both.
    """

    file: str
    root: str
    form: str
    split: str


@dataclass(frozen=True)
class Splits:
    """Splits as lists give them.

    Attributes:
        of: split of each shape that is listed.
        files: the lists.
    """

    of: dict[str, str]
    files: tuple[str, ...]


def find_split_lists(files: Collection[str]) -> list[SplitList]:
    """Return the files (`.txt`, `.lst`, `.list`) that are lists by their names and places, sorted.

    A plain name like `train.txt` is one anywhere; `mine_train.txt` only above other folders or in
    a folder `splits`, for it may be a shape.
    """
    named = [file for file in files if _suffix(file) in _READ and _words(file)]
    above: set[str] = set()
    if named:
        folders = {file.rpartition("/")[0] for file in files}
        above = {str(parent) for folder in folders for parent in PurePosixPath(folder).parents}
    found = []
    for file in sorted(named):
        path, split = PurePosixPath(file), _split(file)
        aside = path.parent.name.lower() in _FOLDERS
        root = path.parent.parent if aside else path.parent
        plain = re.sub("[_-]", "", path.stem.lower()) in (*SPLITS, _BOTH)
        if split and (plain or str(root) in above):
            form = "*" if plain else _WORD.sub("*", path.stem.lower())
            form = f"{path.parent.name}/{form}" if aside else form
            found.append(SplitList(file, "" if str(root) == "." else f"{root}/", form, split))
    return found


def resembling_lists(files: Collection[str]) -> list[str]:
    """Return the files that may be lists of splits by their names, of any type, sorted."""
    return sorted(file for file in files if _suffix(file) in _SUFFIXES and _words(file))


def read_split_lists(tree: FileTree, shapes: Collection[str]) -> Splits | None:
    """Read the lists of a folder, one shape a line: `chair/103`, also with suffix or without class.

    `train.txt`, `test.txt` and `val.txt` come first, then those in `splits/`, in any case and form
    of the words; others only if no second group of lists fits, and each names shapes alone.
    `trainval.txt` is train, but for what a list for validation names.

    Returns:
        The splits, or None where there is no list that is used.

    Raises:
        ShapeError: when a shape is in two lists, or a line names none of `shapes`.
    """
    groups: dict[str, list[SplitList]] = {}
    for found in find_split_lists(tree.files):
        if not found.root:
            groups.setdefault(found.form, []).append(found)
    names = _Names(shapes)
    for form in sorted(groups, key=len):
        if form.rpartition("/")[2] == "*":
            return _read(tree, groups[form], names)
    fitting = []
    for lists in groups.values():
        try:
            splits = _read(tree, lists, names)
        except ShapeError:
            continue
        if len(splits.of) == len(shapes):
            fitting.append(splits)
    return fitting[0] if len(fitting) == 1 else None


def _read(tree: FileTree, lists: list[SplitList], names: "_Names") -> Splits:
    splits: dict[str, str] = {}
    both: list[str] = []
    for found in lists:
        file = tree.file(found.file)
        for line in file.lines():
            name = names.find(line)
            if name is None:
                told = f"{line[:MAX_TOLD]}: no shape of that name, or several; correct the list"
                raise ShapeError(f"{file.name}: {told}")
            if found.split == _BOTH:
                both.append(name)
            elif splits.setdefault(name, found.split) != found.split:
                raise ShapeError(f"{file.name}: {name} is in the {splits[name]} list too; keep one")
    for name in both:
        if splits.setdefault(name, "train") == "test":
            raise ShapeError(f"{tree.name}: {name} is in the lists for {_BOTH} and test; keep one")
    return Splits(splits, tuple(found.file for found in lists))


class _Names:
    """Shapes by what a line of a list may call them."""

    def __init__(self, shapes: Collection[str]) -> None:
        self._exact = frozenset(shapes)
        self._deepest = max(shape.count("/") for shape in shapes) + 1
        self._folded: dict[str, str | None] = {}
        self._last: dict[str, str | None] = {}
        for shape in shapes:
            folded = shape.casefold()
            for index, key in ((self._folded, folded), (self._last, folded.rpartition("/")[2])):
                index[key] = None if key in index else shape

    def find(self, line: str) -> str | None:
        """Return the shape, or None where there is none or more than one."""
        line = composed(line)
        bare = line.strip("\"'")
        stem, dot, suffix = bare.rpartition(".")
        for whole in (line, bare, stem if dot and suffix.isalnum() else bare):
            if whole in self._exact:
                return whole
            *folders, name = whole.casefold().rsplit("/", self._deepest)[-self._deepest :]
            for first in range(len(folders) + 1):
                if shape := self._folded.get("/".join((*folders[first:], name))):
                    return shape
            if not folders and (shape := self._last.get(name)):
                return shape
        return None


def _suffix(file: str) -> str:
    return PurePosixPath(file).suffix.lower()


def _words(file: str) -> list[str]:
    """Return the words for splits in a file's name; none for hidden files."""
    path = PurePosixPath(file)
    hidden = path.name.startswith(".") or "__MACOSX" in path.parts
    return [] if hidden else _WORD.findall(path.stem.lower())


def _split(file: str) -> str | None:
    """Return the split that a name says; None where it says several, or none."""
    words = {SPLITS.get(word, word) for word in _words(file)}
    if words in ({"train", "val"}, {_BOTH}):
        return _BOTH
    return words.pop() if len(words) == 1 and words <= set(SPLITS.values()) else None
