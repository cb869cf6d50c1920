"""Data sets by name, and `NAME:PATH`: what `prepare` is given."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pointmcd.datasets.base import DataSet, Layout, official_notes
from pointmcd.datasets.cloud_folder import holds_clouds, list_clouds
from pointmcd.datasets.folder import list_shapes
from pointmcd.datasets.listing import Listing
from pointmcd.datasets.modelnet import MODELNET10, MODELNET40
from pointmcd.datasets.modelnet40c import MODELNET40C
from pointmcd.datasets.scanobjectnn import SCANOBJECTNN
from pointmcd.datasets.shapenetcore import SHAPENETCORE
from pointmcd.datasets.shapenetpart.dataset import SHAPENETPART
from pointmcd.datasets.shapenetpart.source import is_shapenetpart, list_labelled_clouds
from pointmcd.datasets.tree import list_files
from pointmcd.errors import ConfigError, ShapeError

_ALL = (MODELNET10, MODELNET40, MODELNET40C, *SCANOBJECTNN, SHAPENETCORE, SHAPENETPART)
_DATA_SETS = {data_set.name: data_set for data_set in _ALL}

#: What stands before the colon of a set that is a person's own: clouds, whatever their suffix.
CLOUDS = "clouds"
#: A name of two letters or more: `C:` is a drive.
_NAMED = re.compile(r"([A-Za-z][\w-]+):(.*)", re.DOTALL)
#: Single files that are a set of their own.
_ARRAYS = (".npy", ".h5")


@dataclass(frozen=True)
class Found:
    """What a source holds.

    Attributes:
        text: The source with its absolute path, as a store records it.
        listing: Its shapes and notes.
        up: The axis that points up, where the data set says so.
    """

    text: str
    listing: Listing
    up: str | None = None


def list_data_sets() -> list[str]:
    """Return the names of all data sets, sorted."""
    return sorted(_DATA_SETS)


def get_data_set(name: str) -> DataSet:
    """Return a data set.

    Raises:
        ConfigError: for an unknown name.
    """
    if name.lower() not in _DATA_SETS:
        near = [known for known in list_data_sets() if known.startswith(name.lower())]
        near = near or get_close_matches(name.lower(), list_data_sets())
        raise ConfigError(
            f"data set {name}: unknown; use {', '.join(near or list_data_sets())}, or a path alone"
        )
    return _DATA_SETS[name.lower()]


def find_shapes(source: Path | str, shapenetcore: Path | None = None) -> Found:
    """List the shapes of a source, `NAME:PATH` of a data set or a path alone.

    A path alone is a set in ShapeNetPart's layout, a folder or zip of meshes, or of point clouds;
    `clouds:PATH` says that it is clouds.

    Args:
        source: The source.
        shapenetcore: For ShapeNetPart, the folder of its meshes; None: looked for beside it.

    Raises:
        ConfigError: for an unknown name, or `shapenetcore` with another set.
        ShapeError: when the source is absent, damaged, or of another layout.
    """
    name, path = _split(str(source))
    root, files = _files(path)
    if name is None or name == CLOUDS:
        return Found(str(path), _own(root, files, shapenetcore, name == CLOUDS))
    data_set = get_data_set(name)
    if shapenetcore is not None and not data_set.takes_meshes:
        raise ConfigError(f"--shapenetcore: is not for {data_set.name}; leave it out")
    layout = _layout(data_set, path, files)
    listing = layout.list_shapes(root, files, shapenetcore)
    if not listing.sources:
        raise ShapeError(f"{path}: holds no shape of {data_set.name} ({layout.name})")
    notes = [*listing.notes, *official_notes(data_set, layout, listing.sources)]
    return Found(f"{data_set.name}:{path}", Listing(listing.sources, notes), layout.up)


def _split(source: str) -> tuple[str | None, Path]:
    match = None if Path(source).exists() else _NAMED.fullmatch(source)
    if match is None:
        return None, Path(source).resolve()
    name = match[1].lower()
    if name != CLOUDS:
        get_data_set(name)  # an unknown name is told before an absent path
    return name, Path(match[2]).expanduser().resolve()


def _files(path: Path) -> tuple[Path, list[str]]:
    """Return the folder or zip, and its files; a lone array stands for the folder it is in."""
    if path.is_file() and path.suffix.lower() in _ARRAYS:
        return path.parent, [path.name]
    return path, list_files(path)


def _layout(data_set: DataSet, path: Path, files: Sequence[str]) -> Layout:
    for layout in data_set.layouts:
        if layout.matches(files):
            return layout
    names = ", ".join(layout.name for layout in data_set.layouts)
    raise ShapeError(
        f"{path}: holds nothing of {data_set.name} in a known layout ({names}); {data_set.obtain}"
    )


def _own(root: Path, files: list[str], shapenetcore: Path | None, clouds: bool) -> Listing:
    """List a set that is given without a data set's name."""
    if is_shapenetpart(files) and not clouds:
        return list_labelled_clouds(root, shapenetcore, files)
    if shapenetcore is not None:
        raise ConfigError("--shapenetcore: is for sets in ShapeNetPart's layout only; leave it out")
    if clouds or holds_clouds(root, files):
        return Listing(list_clouds(root, files))
    return Listing(list_shapes(root, files))
