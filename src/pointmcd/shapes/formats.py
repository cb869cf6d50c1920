"""Types of the files that are read, and the bound of their size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimesh.exchange.load import mesh_formats

from pointmcd.errors import PointMCDError, ShapeError, first_line

#: Point cloud files, which are read besides the mesh types; a `.ply` may hold either.
CLOUD_SUFFIXES = frozenset({"xyz", "txt", "csv", "npy", "pts", "pcd", "las", "laz", "ply"})

#: Loaders of trimesh for other than mesh files: clouds, and names of data in memory.
_NOT_MESH_FILES = frozenset({"xyz", "stl_ascii", "dict", "dict64", "json", "msgpack"})

#: Bytes above which one file is refused: nothing is unpacked or read without a bound.
MAX_BYTES = 1 << 30

#: Characters of a reason that are repeated: some tell names, which may be all of a file.
_MAX_TOLD = 160


def mesh_suffixes() -> frozenset[str]:
    """Return the mesh suffixes trimesh can read as installed, lower case, without the dot.

    A type that needs an absent package (`3mf`, `dae`, ...) is not among them.
    """
    return frozenset(mesh_formats()) - _NOT_MESH_FILES


@contextmanager
def reading(name: object, kind: str = "") -> Iterator[None]:
    """Raise any fault as a ShapeError: `NAME: cannot be read KIND: REASON`, in one line.

    Damaged files make every library fail in many ways of its own.
    """
    try:
        yield
    except PointMCDError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        text = f"{name}: cannot be read {kind}".rstrip()
        raise ShapeError(f"{text}: {reason[:_MAX_TOLD]}") from error


def read_file(path: Path, name: str) -> bytes:
    """Return the content of a file that error texts call `name`.

    Raises:
        ShapeError: when it cannot be read or is larger than 1 GiB.
    """
    with reading(name):
        if path.stat().st_size > MAX_BYTES:
            raise ShapeError(f"{name}: is larger than 1 GiB; simplify it")
        return path.read_bytes()
