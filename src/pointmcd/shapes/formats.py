"""Types of the files that are read, and the bound of their size."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trimesh.exchange.load import mesh_formats, mesh_loaders

from pointmcd.errors import FormatError, PointMCDError, ShapeError, own_text

#: Point cloud files, which are read besides the mesh types; a `.ply` may hold either.
CLOUD_SUFFIXES = frozenset({"xyz", "asc", "txt", "csv", "npy", "pts", "pcd", "las", "laz", "ply"})

#: Loaders of trimesh for other than mesh files: clouds, and names of data in memory.
_NOT_MESH_FILES = frozenset({"xyz", "stl_ascii", "dict", "dict64", "json", "msgpack"})

#: Loaders that leave out cells other than triangles, or fill polygons over their dents.
_PARTIAL_LOADERS = frozenset({"load_meshio", "load_collada", "load_zae"})

#: Reads a file named from the folder of another one; None where it is not there.
Beside = Callable[[str], bytes | None]

#: Bytes above which one file is refused: nothing is unpacked or read without a bound.
MAX_BYTES = 1 << 30

#: The reason where a library fails: what is known of it by the error's type.
_UNKNOWN = "the file is damaged, or not of this type"
_KNOWN = {
    MemoryError: "it takes more memory than there is",
    LookupError: "an index in it is out of range, or something is missing",
}

#: Characters of a reason that are repeated: some tell names, which may be all of a file.
_MAX_TOLD = 160


def mesh_suffixes() -> frozenset[str]:
    """Return the mesh suffixes trimesh can read as installed, lower case, without the dot.

    A type that needs an absent package (`3mf`, `step`, ...) is not among them, nor is one that
    trimesh would read in part.
    """
    kinds = mesh_formats() - _NOT_MESH_FILES
    return frozenset(kind for kind in kinds if mesh_loaders[kind].__name__ not in _PARTIAL_LOADERS)


@contextmanager
def reading(name: object, as_kind: str = "") -> Iterator[None]:
    """Raise any fault as a ShapeError of one line, `NAME: cannot be read as KIND: REASON`.

    A FormatError is the reason, and alone where no kind is given. Damaged files make every library
    fail in many ways of its own: their texts are kept as the cause, and not repeated.
    """
    try:
        yield
    except PointMCDError:
        raise
    except Exception as error:
        known = next((text for kind, text in _KNOWN.items() if isinstance(error, kind)), _UNKNOWN)
        reason = own_text(error, getattr(error, "strerror", None) or known)
        plain = isinstance(error, FormatError) and not as_kind
        read = "" if plain else f"cannot be read as {as_kind}: " if as_kind else "cannot be read: "
        raise ShapeError(f"{name}: {read}{reason[:_MAX_TOLD]}") from error


def read_file(path: Path, name: str) -> bytes:
    """Return the content of a file that error texts call `name`.

    Raises:
        ShapeError: when it cannot be read or is larger than 1 GiB.
    """
    with reading(name):
        if path.stat().st_size > MAX_BYTES:
            raise ShapeError(f"{name}: is larger than 1 GiB; simplify it")
        return path.read_bytes()


def files_beside(path: Path) -> Beside:
    """Return a reader of the files beside one, which raises ShapeError as `read_file`."""

    def read(name: str) -> bytes | None:
        found = path.parent / name
        return read_file(found, str(found)) if found.is_file() else None

    return read
