"""Files of a folder or a zip: listed and read with bounds; nothing is ever extracted."""

import json
import os
import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from pointmcd.errors import ShapeError
from pointmcd.files import json_fault
from pointmcd.shapes.formats import MAX_BYTES, files_beside, read_file, reading
from pointmcd.shapes.text import decode

_ENCRYPTED = 0x1
#: Characters of a name in a file that an error repeats: a damaged one may be one long line.
MAX_TOLD = 100


@dataclass(frozen=True)
class TreeFile:
    """A file of a folder or zip that can be read later, in any process.

    Attributes:
        path: absolute path of the file, or of the zip that it is in.
        name: the file as error texts call it, like `shapes.zip/bed/train/bed_0006.off`.
        member: its name in the zip, or None.
    """

    path: Path
    name: str
    member: str | None = None

    @property
    def suffix(self) -> str:
        """Lower-case suffix without the dot; "" without one."""
        return PurePosixPath(self.member or self.path.as_posix()).suffix[1:].lower()

    def read(self) -> bytes:
        """Return the content.

        Raises:
            ShapeError: when it cannot be read or is larger than 1 GiB.
        """
        if self.member is None:
            return read_file(self.path, self.name)
        found = self._from_zip(self.member)
        if found is None:
            raise ShapeError(f"{self.name}: is no longer in the zip")
        return found

    def beside(self, name: str) -> bytes | None:
        """Return the content of a file named from the folder of this one; None without it.

        Raises:
            ShapeError: as `read`.
        """
        if self.member is None:
            return files_beside(self.path)(name)
        return self._from_zip(posixpath.join(posixpath.dirname(self.member), name))

    def _from_zip(self, member: str) -> bytes | None:
        with reading(self.name):
            archive = _open_zip(self.path, self.path.stat().st_mtime_ns, os.getpid())
            for spelling in (member, member.replace("/", "\\")):
                if spelling in archive.NameToInfo:
                    return archive.read(spelling)
            return None

    def text(self) -> str:
        """Return the content as text, without a byte order mark; raises ShapeError as `read`."""
        return decode(self.read())

    def json(self) -> Any:
        """Return the content of a JSON file; raises ShapeError as `read`, or when it is none."""
        try:
            return json.loads(self.read().decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ShapeError(f"{self.name}: is not JSON: {json_fault(error)}") from error

    def lines(self) -> list[str]:
        """Return the lines that are not blank, stripped, with slashes for backslashes."""
        lines = (line.strip().replace("\\", "/") for line in self.text().splitlines())
        return [line for line in lines if line]


@dataclass(frozen=True, eq=False)
class FileTree:
    """The files of a folder or a zip, or of a folder inside one.

    Attributes:
        path: absolute path of the folder or zip.
        name: the folder or zip as error texts call it.
        files: relative paths with slashes.
        root: the folder in it that `files` are relative to, with its slash, or "".
    """

    path: Path
    name: str
    files: tuple[str, ...]
    root: str = ""

    @cached_property
    def is_zip(self) -> bool:
        """True for a zip."""
        return self.path.is_file()

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.files)

    def __contains__(self, file: str) -> bool:
        return file in self._known

    def file(self, file: str) -> TreeFile:
        """Return one of `files`."""
        inside, name = self.root + file, f"{self.name}/{self.root}{file}"
        if self.is_zip:
            return TreeFile(self.path, name, inside)
        return TreeFile(self.path / inside, name)

    def find(self, name: str) -> str | None:
        """Return the file of that name, in any case, nearest to the top; None without one."""
        visible = (file for file in self.files if "__MACOSX" not in file)
        found = (file for file in visible if PurePosixPath(file).name.lower() == name.lower())
        return min(found, key=lambda file: (file.count("/"), file), default=None)

    def below(self, root: str) -> "FileTree":
        """Return the files in a folder (with its slash, or ""), named from there."""
        files = (file.removeprefix(root) for file in self.files if file.startswith(root))
        return replace(self, files=tuple(files), root=self.root + root)

    def check_unpacked(self, kind: str) -> None:
        """Raise a ShapeError when this is a zip, saying that `kind` are not read there."""
        if self.is_zip:
            raise ShapeError(f"{self.name}: unpack it first; {kind} are not read inside a zip")


def open_tree(source: FileTree | Path | str) -> FileTree:
    """List a folder or zip; a single .npy or .h5 file counts as a folder with that file.

    Raises:
        ShapeError: when the source is absent, damaged, encrypted, or holds too large a file.
    """
    if isinstance(source, FileTree):
        return source
    path = Path(source)
    if path.is_file() and path.suffix.lower() in (".npy", ".h5"):
        return FileTree(path.parent.absolute(), str(path.parent), (path.name,))
    files = _walk(path) if path.is_dir() else _members(path)
    return FileTree(path.absolute(), str(path), tuple(files))


def _members(path: Path) -> list[str]:
    if not path.exists():
        raise ShapeError(f"{path}: does not exist; give a folder or a zip of meshes")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except Exception as error:  # zipfile has a dozen ways to fail at a damaged directory
        reason = f": {error.strerror}" if isinstance(error, OSError) else ""
        told = f"is neither a folder nor an intact zip{reason}; give one of these"
        raise ShapeError(f"{path}: {told}") from error
    for info in members:
        what = f"{path}: {info.filename}"
        if info.flag_bits & _ENCRYPTED:
            raise ShapeError(f"{what} is encrypted; unpack the zip with its password")
        if info.file_size > MAX_BYTES:
            raise ShapeError(f"{what} is larger than 1 GiB; simplify or remove it")
    # Some Windows programs separate folders by backslashes.
    names = [info.filename for info in members]
    return [name if "/" in name else name.replace("\\", "/") for name in names]


def _walk(folder: Path) -> Iterator[str]:
    """Walk a folder, through links too, but into no folder twice (links may form a circle)."""
    seen: set[Path] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = Path(root).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from ((Path(root) / file).relative_to(folder).as_posix() for file in files)


@lru_cache(maxsize=4)
def _open_zip(path: Path, modified: int, process: int) -> zipfile.ZipFile:
    """Open a zip once a process: its directory is long, and a forked handle shares its position."""
    return zipfile.ZipFile(path)
