"""Files of a folder or zip that are passed over: what to tell of them."""

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from pointmcd.datasets.sources import Note
from pointmcd.datasets.split_lists import resembling_lists
from pointmcd.datasets.tree import FileTree
from pointmcd.shapes.formats import CLOUD_SUFFIXES, mesh_suffixes

#: Lists whose use is worth no word.
_USUAL = frozenset(("train.txt", "test.txt", "val.txt", "valid.txt"))
#: Litter of file systems, companions of meshes, and texts for people.
_EXPECTED_NAMES = frozenset(
    ("thumbs.db", "desktop.ini", "parts.json", "readme", "license", "licence", "citation")
)
_EXPECTED_SUFFIXES = frozenset((".mtl", ".md"))
#: Names that one note tells.
_MAX_TOLD = 5


def other_notes(
    tree: FileTree, shapes: Collection[str], lists: Collection[str], labels: Collection[str]
) -> list[Note]:
    """Return notes on lists of splits, read from elsewhere than usual or not at all, and the rest.

    Args:
        tree: the folder or zip.
        shapes: files that are shapes.
        lists: files that the splits were read from.
        labels: files with part labels that are read, where they are there.
    """
    notes = []
    if any(PurePosixPath(file).name not in _USUAL or "/" in file for file in lists):
        notes.append(f"the splits are those of {_told(sorted(lists))}")
    others = set(tree.files).difference(shapes, lists, labels)
    unread = resembling_lists(others)
    if unread:
        notes.append(f"{_told(unread)}: named like a list of a split, but not read as one")
    kinds = _counted(others.difference(unread), tree)
    if kinds:
        notes.append(f"not read: {kinds_text(kinds)}{_advice(tree, kinds, shapes)}")
    return [{"name": tree.path.name, "note": note} for note in notes]


def kinds_text(kinds: Counter[str]) -> str:
    """Return how many files there are of each kind: "4 .xyz, 1 .jpg"."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))


def count_kinds(tree: FileTree) -> Counter[str]:
    """Count the files of each kind, without hidden ones and litter."""
    return _counted(tree.files, tree)


def _counted(files: Iterable[str], tree: FileTree) -> Counter[str]:
    kinds = Counter(kind for file in files if (kind := kind_of(file)))
    if any(file.lower().endswith(".gltf") for file in tree.files):  # whose buffers they are
        del kinds[".bin"]
    return kinds


def kind_of(file: str) -> str | None:
    """Return the suffix of a file; None for one that nobody misses."""
    path = PurePosixPath(file.lower())
    if any(part.startswith(".") or part == "__macosx" for part in path.parts):
        return None
    expected = path.name in _EXPECTED_NAMES or path.stem in _EXPECTED_NAMES
    if expected or path.suffix in _EXPECTED_SUFFIXES:
        return None
    return path.suffix or "without a suffix"


def _advice(tree: FileTree, kinds: Collection[str], shapes: Collection[str]) -> str:
    """Say how part labels, or the other sort of shapes, are read, where some are beside these."""
    if ".seg" in kinds and "parts.json" not in tree.files:
        return "; part labels need a parts.json beside the classes, which names their parts"
    found = {kind.removeprefix(".") for kind in kinds}
    meshes = any(PurePosixPath(file).suffix[1:].lower() in mesh_suffixes() for file in shapes)
    if meshes and found & CLOUD_SUFFIXES - {"txt", "csv"}:
        return "; clouds:PATH reads point clouds, into another store"
    if not meshes and found & mesh_suffixes():
        return "; meshes:PATH reads meshes, into another store"
    return ""


def _told(names: list[str]) -> str:
    more = len(names) - _MAX_TOLD
    return ", ".join(names[:_MAX_TOLD]) + (f" and {more:,} more" if more > 0 else "")
