"""Files of a folder or zip, listed and read with bounds; nothing is ever extracted."""

import os
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pointmcd.errors import ShapeError
from pointmcd.shapes.formats import MAX_BYTES, read_file

_ENCRYPTED = 0x1


def list_files(source: Path) -> list[str]:
    """Return the files below a folder or in a zip, as relative paths with slashes.

    Raises:
        ShapeError: when the source is absent, damaged, encrypted, or holds too large a file.
    """
    if source.is_dir():
        return list(_walk(source))
    if not source.exists():
        raise ShapeError(f"{source}: does not exist; give a folder or a zip of meshes")
    try:
        with zipfile.ZipFile(source) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except Exception as error:  # zipfile has a dozen ways to fail at a damaged directory
        raise ShapeError(f"{source}: is neither a folder nor an intact zip: {error}") from error
    for info in members:
        _check_member(source, info)
    names = [info.filename for info in members]
    if any("/" in name for name in names):
        return names
    # Some programs of Windows part folders by backslashes.
    return [name.replace("\\", "/") for name in names]


def _check_member(source: Path, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise ShapeError(
            f"{source}: {info.filename} is encrypted; unpack the zip with its password"
        )
    if info.file_size > MAX_BYTES:
        raise ShapeError(f"{source}: {info.filename} is larger than 1 GiB; simplify or remove it")


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
def _opened(path: Path, modified: int, process: int) -> zipfile.ZipFile:
    """Open a zip once a process: its directory is long, and a forked handle shares its position."""
    return zipfile.ZipFile(path)


def locate(source: Path, file: str) -> tuple[Path, str | None]:
    """Say where a listed file is read: its path, or that of the zip and its name in it."""
    absolute = source.absolute()
    return (absolute, file) if absolute.is_file() else (absolute / file, None)


def read_member(path: Path, member: str | None, location: str) -> bytes:
    """Return the content of a file, or of a member of a zip; error texts call it `location`.

    Raises:
        ShapeError: when it cannot be read or is larger than 1 GiB.
    """
    try:
        if member is not None:
            archive = _opened(path, path.stat().st_mtime_ns, os.getpid())
            there = member in archive.NameToInfo
            return archive.read(member if there else member.replace("/", "\\"))
        return read_file(path, location)
    except ShapeError:
        raise
    except Exception as error:  # damaged, encrypted or exotic members: as many ways again
        reason = getattr(error, "strerror", None) or error
        raise ShapeError(f"{location}: cannot be read: {reason}") from error
