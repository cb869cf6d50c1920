"""Names of shapes, and which of them a path in a label file means."""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import dropwhile
from pathlib import Path, PurePosixPath

#: What a path from elsewhere may begin with.
_LEADING = ("/", "//", "..")


def composed(text: str) -> str:
    """Return a text in composed Unicode (NFC): file names of macOS have "ü" as "u" and dots."""
    return unicodedata.normalize("NFC", text)


def path_parts(text: str) -> tuple[str, ...]:
    """Return the folders and the file in a path, composed; a zip counts as the folder it holds."""
    *folders, file = PurePosixPath(composed(text).replace("\\", "/")).parts or ("",)
    return *(folder.removesuffix(".zip") for folder in folders), file


def row_parts(text: str) -> tuple[str, ...]:
    """Return the parts of a path in a label file, without the root and steps up before them."""
    return tuple(dropwhile(_LEADING.__contains__, path_parts(text.strip()))) or ("",)


def bare(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parts of a path without the file's suffix."""
    return *parts[:-1], PurePosixPath(parts[-1]).stem


def plain(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parts of a path with the file's suffix in small letters."""
    file = PurePosixPath(parts[-1])
    return *parts[:-1], file.stem + file.suffix.lower()


def name_in_source(file: str | None, name: str) -> tuple[str, ...] | None:
    """Return the parts of a shape's file; None where it is not known, or not called like the shape.

    Rows of an array, and models in folders that have their name, have no file of their own.
    """
    if file is None:
        return None
    parts, own = path_parts(file), path_parts(name)
    return parts if bare(parts)[-len(own) :] == own else None


def name_and_folder(file: str | None, name: str) -> str | None:
    """Return the end of a shape's file that its name is, with the folder before it, for pages."""
    parts = name_in_source(file, name)
    return None if parts is None else "/".join(parts[-len(path_parts(name)) - 1 :])


class ShapeNames:
    """The shapes of a store or source, to be found by the paths in a label file.

    A path is the name of a shape, or its file's, with or without the suffix. Where the file is
    known, the suffix must be its own, and the folder before the name that of the source: those
    above may be another machine's.

    Args:
        names: of the shapes; the first counts where some are the same.
        where: the store or source, for errors.
        file_of: returns the file of a shape, or None where it is not known.
    """

    def __init__(
        self,
        names: Sequence[str],
        where: Path,
        file_of: Callable[[int], str | None] = lambda index: None,
    ) -> None:
        self._names, self._where, self._file_of = names, where, file_of
        self._places = {composed(names[i]): i for i in reversed(range(len(names)))}

    def find(self, text: str) -> int | None:
        """Return the index of the shape that a path means; None where it means none."""
        if (exact := self._places.get(composed(text))) is not None:
            return exact
        found = (i for i in self._called(text) if self._fits(text, i, unknown=True))
        if (index := next(found, None)) is None and Path(text).is_absolute():
            with suppress(OSError, ValueError):  # of what can be no path
                real = os.path.realpath(text)  # in a source's path links are resolved
                index = next((i for i in self._called(real) if self._fits(real, i)), None)
        return index

    def _fits(self, path: str, index: int, unknown: bool = False) -> bool:
        """Return whether a path ends as that of a shape's file does, as far as both go."""
        name = self._names[index]
        file = name_in_source(self._file_of(index), name)
        if file is None:
            return unknown
        row = row_parts(path)
        # The folder of the source is compared, those above are of one machine.
        count = min(len(row), len(file), len(path_parts(name)) + 1)
        row, file = row[-count:], file[-count:]
        return row == bare(file) or plain(row) == plain(file)

    def unknown(self, text: str) -> str:
        """Say that a path means no shape, and what comes nearest."""
        near = next((i for i in self._called(text) if self._file_of(i)), None)
        told = f"its names look like {self._names[0]}"
        if near is not None:
            told = f"{self._names[near]} comes from {self._file_of(near)}: correct the path"
        return f"no shape {text} in {self._where}; {told}"

    def _called(self, path: str) -> Iterator[int]:
        """Yield the shapes whose names a path ends in, the longest first."""
        parts = row_parts(path)
        for above in range(len(parts)):
            for below in (parts[above:], bare(parts[above:])):
                if (index := self._places.get("/".join(below))) is not None:
                    yield index
