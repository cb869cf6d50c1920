"""Class and split of shapes, read from the paths of their files."""

from pathlib import PurePosixPath
from typing import NamedTuple

from pointmcd.data.shape_names import composed

#: Folder names of splits, and the split each means.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}

_FLAT, _CLASSES, _SPLITS = "NAME", "CLASS/NAME", "CLASS/{train,val,test}/NAME"
_SPLITS_FIRST = "{train,val,test}/CLASS/NAME"
_ALL = f"{_SPLITS}, {_SPLITS_FIRST}, {_CLASSES} and {_FLAT}"


class Place(NamedTuple):
    """Class, split and name read from a path.

    Attributes:
        name: path without wrapping folders and suffix, in composed Unicode.
        label: class or None.
        split: "train", "test", "val" or None.
    """

    name: str
    label: str | None
    split: str | None


def places(files: list[str], root: str | None = None, labelled: bool = True) -> list[Place]:
    """Return class and split of each file, at least one, read from the paths of all, in order.

    Files that lie loose beside the folders of the classes have no class, and none has where the
    folders are not `labelled`: then they may be of any depth.

    `root` is the folder that holds the classes, where it is known ("" for the very top).

    Raises:
        ValueError: when the paths follow no layout, or more than one.
    """
    parts = [PurePosixPath(file).with_suffix("").parts for file in files]
    wrapping = _wrapping(parts) if root is None else len(PurePosixPath(root).parts)
    parts = [part[wrapping:] for part in parts]
    if not labelled:
        return [_place(part, _FLAT) for part in parts]
    layouts = [_layout(part) for part in parts]
    _check(files, layouts)
    return [_place(part, layout) for part, layout in zip(parts, layouts, strict=True)]


def _wrapping(parts: list[tuple[str, ...]]) -> int:
    """Count the folders that hold everything, but for the class and split of a lone class."""
    count = 0
    while all(len(part) > count + 1 and part[count] == parts[0][count] for part in parts):
        count += 1
    # All in CLASS/train/: the split is at count - 1. In CLASS/train/ and CLASS/test/: at count.
    for split_at in (count - 1, count):
        if split_at >= 1 and all(_is_split(part, split_at) for part in parts):
            return split_at - 1
    return count


def _layout(part: tuple[str, ...]) -> str | None:
    """Return the layout that a path follows below wrapping folders."""
    if _is_split(part, 1):
        return _SPLITS
    if len(part) == 3 and part[0].lower() in SPLITS:
        return _SPLITS_FIRST
    return {1: _FLAT, 2: _CLASSES}.get(len(part))


def _is_split(part: tuple[str, ...], index: int) -> bool:
    """Return whether the folder right above the file is at `index` and named as a split."""
    return len(part) == index + 2 and part[index].lower() in SPLITS


def _check(files: list[str], layouts: list[str | None]) -> None:
    if None in layouts:
        file, more = files[layouts.index(None)], layouts.count(None) - 1
        others = f" (and {more} more)" if more else ""
        raise ValueError(
            f"{file}{others} is too deep; move it into the folder of its class (the layouts are"
            f" {_ALL}), or add ,labels=none to the path: then no shape has a label"
        )
    if len(with_classes := dict.fromkeys(kind for kind in layouts if kind != _FLAT)) > 1:
        kinds = [f"{files[layouts.index(kind)]} ({kind})" for kind in with_classes]
        raise ValueError(f"mixes layouts: {' and '.join(kinds)}; keep to one")
    below = [file for file, kind in zip(files, layouts, strict=True) if kind == _CLASSES]
    tops = {PurePosixPath(file).parent.name.lower() for file in below}
    if below and tops <= set(SPLITS):
        raise ValueError(f"{below[0]} has a split but no class; the layout is {_SPLITS}")


def _place(part: tuple[str, ...], layout: str | None) -> Place:
    # A name that is not valid Unicode could not be written to JSON later.
    name = composed("/".join(part)).encode("utf-8", "replace").decode("utf-8")
    words = name.split("/")
    if layout == _SPLITS_FIRST:
        return Place(name, words[1], SPLITS[part[0].lower()])
    label = None if layout == _FLAT else words[0]
    return Place(name, label, SPLITS[part[1].lower()] if layout == _SPLITS else None)
