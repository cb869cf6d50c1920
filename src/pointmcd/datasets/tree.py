"""Files of a folder or a zip: listed and read with bounds; nothing is ever extracted."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

from pointmcd.errors import ShapeError, first_line
from pointmcd.shapes.formats import MAX_BYTES, read_file, suffix_of

_ENCRYPTED = 0x1
#: Characters of an error that are repeated: zipfile tells names, which may be all of a file.
_MAX_TOLD = 200
#: Single files that are a data set of their own.
_ARRAYS = (".npy", ".h5")


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
        return suffix_of(PurePosixPath(self.member or self.path.as_posix()).name)

    def read(self) -> bytes:
        """Return the content.

        Raises:
            ShapeError: when it cannot be read or is larger than 1 GiB.
        """
        if self.member is None:
            return read_file(self.path, self.name)
        try:
            archive = _open_zip(self.path, self.path.stat().st_mtime_ns, os.getpid())
            there = self.member in archive.NameToInfo
            return archive.read(self.member if there else self.member.replace("/", "\\"))
        except Exception as error:  # damaged, encrypted or exotic members fail in many ways
            reason = getattr(error, "strerror", None) or first_line(error)[:_MAX_TOLD]
            raise ShapeError(f"{self.name}: cannot be read: {reason}") from error

    def text(self) -> str:
        """Return the content as text, without a byte order mark; raises ShapeError as `read`."""
        return self.read().decode("utf-8-sig", "replace")

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
        """Return whether `files` has it."""
        return file in self._known

    def file(self, file: str) -> TreeFile:
        """Return one of `files`."""
        inside, name = self.root + file, f"{self.name}/{self.root}{file}"
        if self.is_zip:
            return TreeFile(self.path, name, inside)
        return TreeFile(self.path / inside, name)

    def find(self, name: str) -> str | None:
        """Return the file of that name, in any case, nearest to the top; None without one."""
        found = [file for file in self.files if file.rpartition("/")[2].lower() == name.lower()]
        found = [file for file in found if "__MACOSX" not in file]
        return min(found, key=lambda file: (file.count("/"), file), default=None)

    def below(self, root: str) -> "FileTree":
        """Return the files in a folder (with its slash, or ""), named from there."""
        files = (file.removeprefix(root) for file in self.files if file.startswith(root))
        return replace(self, files=tuple(files), root=self.root + root)

    def check_unpacked(self, kind: str) -> None:
        """Check that this is no zip.

        Raises:
            ShapeError: when it is, saying that `kind` are not read there.
        """
        if self.is_zip:
            raise ShapeError(f"{self.name}: unpack it first; {kind} are not read inside a zip")


def open_tree(source: FileTree | Path | str) -> FileTree:
    """List a folder or zip; a lone .npy or .h5 file stands for the folder it is in.

    Raises:
        ShapeError: when the source is absent, damaged, encrypted, or holds too large a file.
    """
    if isinstance(source, FileTree):
        return source
    path = Path(source)
    if path.is_file() and path.suffix.lower() in _ARRAYS:
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
        reason = first_line(error)[:_MAX_TOLD]
        raise ShapeError(f"{path}: is neither a folder nor an intact zip: {reason}") from error
    for info in members:
        if info.flag_bits & _ENCRYPTED:
            raise ShapeError(
                f"{path}: {info.filename} is encrypted; unpack the zip with its password"
            )
        if info.file_size > MAX_BYTES:
            raise ShapeError(f"{path}: {info.filename} is larger than 1 GiB; simplify or remove it")
    names = [info.filename for info in members]
    if any("/" in name for name in names):
        return names
    # Some Windows programs separate folders by backslashes.
    return [name.replace("\\", "/") for name in names]


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
        for file in files:
            yield (Path(root) / file).relative_to(folder).as_posix()


@lru_cache(maxsize=4)
def _open_zip(path: Path, modified: int, process: int) -> zipfile.ZipFile:
    """Open a zip once a process: its directory is long, and a forked handle shares its position."""
    return zipfile.ZipFile(path)
