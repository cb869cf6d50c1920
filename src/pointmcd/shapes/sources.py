"""Folders and zips of meshes: which shapes are there, with which class and split."""

import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pointmcd.errors import ShapeError
from pointmcd.shapes.formats import MAX_BYTES, mesh_suffixes, read_file, suffix_of
from pointmcd.shapes.layout import Place, places

_ENCRYPTED = 0x1


@dataclass(frozen=True)
class ShapeSource:
    """A mesh file that can be read when its turn comes, in any process.

    Attributes:
        name: Unique id without suffix, like `bed/train/bed_0006`.
        label: Class, or None where the shapes have none.
        split: "train", "test", "val", or None where the layout has no splits.
        location: The file as error texts call it, like `shapes.zip/bed/train/bed_0006.off`.
        suffix: Lower-case suffix without the dot: the `file_type` of `read_mesh`.
        path: The file, or the zip it is in.
        member: Its name in the zip, or None.
        fault: Why it must be skipped (two shapes of one name), or None.
    """

    name: str
    label: str | None
    split: str | None
    location: str
    suffix: str
    path: Path
    member: str | None = None
    fault: str | None = None

    def read(self) -> bytes:
        """Return the content of the file.

        Raises:
            ShapeError: when it cannot be read or is larger than 1 GiB.
        """
        try:
            if self.member is not None:
                return _opened(self.path, self.path.stat().st_mtime_ns, os.getpid()).read(
                    self.member
                )
            return read_file(self.path, self.location)
        except _ZIP_ERRORS as error:
            reason = getattr(error, "strerror", None) or error
            raise ShapeError(f"{self.location}: cannot be read: {reason}") from error


#: What zipfile raises for damaged, encrypted or exotic members.
_ZIP_ERRORS = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    KeyError,
    ValueError,
)


def list_shapes(source: Path) -> list[ShapeSource]:
    """List the shapes of a folder or zip, sorted by name; nothing is read yet or ever extracted.

    The layouts are `CLASS/{train,test}/NAME.off` (also val or valid), `CLASS/NAME.off` and flat
    `NAME.off`, in any number of single wrapping folders. A folder that is the only one counts as
    wrapping, so a lone class without splits is unlabelled. Hidden files, `__MACOSX` and files of
    other types are passed over. Of two files of one name the second carries a `fault`.

    Raises:
        ShapeError: when the source is absent, damaged, encrypted, without meshes, or mixes layouts.
    """
    files = sorted(path for path in _files(source) if _wanted(path))
    if not files:
        suffixes = ", ".join(f".{suffix}" for suffix in sorted(mesh_suffixes()))
        raise ShapeError(f"{source}: holds no mesh; files that end in {suffixes} are read")
    try:
        placed = places(files)
    except ValueError as error:
        raise ShapeError(f"{source}: {error}") from error
    order = sorted(zip(placed, files, strict=True), key=lambda item: (item[0].name, item[1]))
    return list(_sources(source, order))


def _sources(source: Path, order: list[tuple[Place, str]]) -> Iterator[ShapeSource]:
    zipped = source.is_file()
    first: dict[str, str] = {}
    for place, file in order:
        twin = first.get(place.name)
        first.setdefault(place.name, file)
        yield ShapeSource(
            name=place.name,
            label=place.label,
            split=place.split,
            location=f"{source}/{file}",
            suffix=suffix_of(file),
            path=source.absolute() if zipped else source.absolute() / file,
            member=file if zipped else None,
            fault=None if twin is None else f"same name as {twin}",
        )


def _wanted(file: str) -> bool:
    parts = PurePosixPath(file).parts
    visible = not any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return visible and suffix_of(parts[-1]) in mesh_suffixes()


def _files(source: Path) -> list[str]:
    """Return the files below a folder or in a zip, as relative paths with slashes."""
    if source.is_dir():
        return list(_walk(source))
    if not source.exists():
        raise ShapeError(f"{source}: does not exist; give a folder or a zip of meshes")
    try:
        with zipfile.ZipFile(source) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except _ZIP_ERRORS as error:
        raise ShapeError(f"{source}: is neither a folder nor an intact zip: {error}") from error
    for info in members:
        _check_member(source, info)
    return [info.filename for info in members]


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
