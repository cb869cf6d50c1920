"""Data sets by name, and `NAME:PATH`: the source that `prepare` is given."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from pointmcd.datasets.base import DATA_SETS, DataSet, Layout
from pointmcd.datasets.cloud_folder import Clouds, FileCloud, holds_clouds
from pointmcd.datasets.folder import Meshes
from pointmcd.datasets.furniture import furniture10
from pointmcd.datasets.other_files import count_kinds, kinds_text
from pointmcd.datasets.sources import Listing
from pointmcd.datasets.tree import FileTree, open_tree
from pointmcd.errors import ConfigError, ShapeError
from pointmcd.shapes.formats import CLOUD_SUFFIXES, mesh_suffixes

#: NAME:PATH, where a name of one letter is a drive, and module:Name:PATH.
_NAMED = re.compile(r"([A-Za-z][\w-]+):(.*)", re.DOTALL)
_PACKED = ("zip", "gz", "tgz", "tar", "rar", "7z", "bz2", "xz")
#: The place of one's own is a module or a file, which may begin with a drive.
_OWN = re.compile(r"((?:[A-Za-z_][\w.]+|(?:[A-Za-z]:)?[^:]+\.py):[A-Za-z_]\w+):(.*)", re.DOTALL)


@dataclass(frozen=True)
class Found:
    """The content of a source.

    Attributes:
        text: the source with its absolute path, as a store records it.
        listing: its shapes and notes.
        up: the axis that points up, where the data set says so.
    """

    text: str
    listing: Listing
    up: str | None = None


def list_data_sets() -> list[str]:
    """Return the names of all public data sets, sorted."""
    return [name for name in DATA_SETS.names() if get_data_set(name).home]


def get_data_set(name: str) -> type[DataSet]:
    """Return a data set by its name in any case, or by `package.module:Name`.

    Raises:
        ConfigError: when there is none, or it is not a data set.
    """
    data_set = DATA_SETS.get(name if ":" in name else name.lower())
    if not (isinstance(data_set, type) and issubclass(data_set, DataSet)):
        raise ConfigError(f"data set {name}: is not a subclass of pointmcd.datasets.base.DataSet")
    return data_set


def find_shapes(source: Path | str, columns: str | None = None) -> Found:
    """List the shapes of a source: `NAME:PATH`, `package.module:Name:PATH` or a path alone.

    A data set of one's own may also be in a file, `FILE.py:Name:PATH`.

    A path alone is a set that a registered data set recognises (ShapeNetPart's layout), or a
    folder or zip of meshes, or of point clouds; `clouds:PATH` says that it is clouds. Where no path
    has that name, `furniture10` is the set inside the package. Options of the data set follow the
    path: `shapenetpart:PATH,shapenetcore=FOLDER`. `columns` says which columns of text tables and
    arrays are x, y and z.

    Raises:
        ConfigError: for an unknown name or option, or for columns of files that have none.
        ShapeError: when the source is absent, damaged, or of another layout.
    """
    name, path, options = _parse(str(source))
    named = get_data_set(name) if name else None  # an unknown name is told before an absent path
    tree = open_tree(path)
    chosen = (named or _recognised(tree)).create(options)
    layout = chosen.layout(tree)
    if named is None:
        listing = _list_own(tree, path, chosen, layout)
    else:
        listing = chosen.list_shapes(tree, layout)
    listing = _with_columns(listing, columns)
    if named is None:
        return Found(f"{path}{chosen.options_text()}", listing)
    if not listing.sources:
        raise ShapeError(f"{path}: holds no shape of {chosen.name} ({layout.name})")
    notes = [*listing.notes, *chosen.official_notes(layout, listing.sources)]
    text = f"{name}:{path}{chosen.options_text()}"
    return Found(text, Listing(listing.sources, notes), layout.up)


def _list_own(tree: FileTree, path: Path, taken: DataSet, layout: Layout) -> Listing:
    """List the shapes of a path without a name.

    Raises:
        ShapeError: saying what to give instead, where that is known.
    """
    known = _look_alike(tree)
    instead = f"looks like {' or '.join(known)}; give {known[0]}:{path}" if known else ""
    kinds = count_kinds(tree)
    ends = {kind[1:] for kind in kinds}
    if isinstance(taken, Meshes) and ends & mesh_suffixes():
        try:
            return taken.list_shapes(tree, layout)
        except ShapeError as error:
            if known:
                raise ShapeError(f"{error}; it {instead}") from error
            raise
    if known and isinstance(taken, Clouds | Meshes):
        raise ShapeError(f"{path}: {instead}")
    if isinstance(taken, Meshes) and ends & CLOUD_SUFFIXES:
        tables = " and ".join(f".{end}" for end in sorted(ends & CLOUD_SUFFIXES))
        told = f"holds no mesh; if its {tables} files are point clouds, give clouds:{path}"
        raise ShapeError(f"{path}: {told}")
    if isinstance(taken, Meshes) and kinds:
        told = f"holds no mesh or point cloud, but {kinds_text(kinds)}"
        advice = "data sets that `pointmcd download` lists are read as NAME:PATH"
        if not ends.isdisjoint(_PACKED):
            advice = "unpack what is packed"
        raise ShapeError(f"{path}: {told}; {advice}")
    return taken.list_shapes(tree, layout)


def _look_alike(tree: FileTree) -> list[str]:
    """Return the public sets that a folder or zip looks like."""
    # What a layout takes a user's own files for says nothing.
    found = []
    own = replace(tree, files=("chair/train/a.off", "chair/a.obj", "chair/a.txt", "chair/a.npy"))
    for name in (name for name in DATA_SETS.names() if name in DATA_SETS):  # imports no plugin
        layouts = get_data_set(name).layouts if get_data_set(name).home else ()
        if any(layout.matches(tree) and not layout.matches(own) for layout in layouts):
            found.append(name)
    return found


def _with_columns(listing: Listing, columns: str | None) -> Listing:
    if columns is None:
        return listing
    if not any(isinstance(source, FileCloud) for source in listing.sources):
        raise ConfigError(
            f"--columns {columns}: the source holds no tables of points; leave it out"
        )
    sources = (
        replace(source, columns=columns) if isinstance(source, FileCloud) else source
        for source in listing.sources
    )
    return replace(listing, sources=list(sources))


def _parse(source: str) -> tuple[str | None, Path, dict[str, str]]:
    """Split a source into name, path and options; what exists as a path is one."""
    text, *pairs = [source] if Path(source).exists() else re.split(r",(?=[A-Za-z_]\w*=)", source)
    options = dict(pair.split("=", 1) for pair in pairs)
    if text == furniture10.__name__ and not Path(text).exists():
        return None, furniture10(), options
    named, own = _NAMED.fullmatch(text), _OWN.fullmatch(text)
    if own and not (named and named[1].lower() in DATA_SETS.names()):
        named = own
    if named is None or Path(text).exists():
        return None, Path(text).resolve(), options
    name = named[1] if ":" in named[1] else named[1].lower()
    return name, Path(named[2]).expanduser().resolve(), options


def _recognised(tree: FileTree) -> type[DataSet]:
    """Return the data set that a path without a name is taken for; no plugin is imported."""
    registered = (DATA_SETS.get(name) for name in DATA_SETS.names() if name in DATA_SETS)
    found = (data_set for data_set in registered if data_set.recognises(tree))
    return next(found, None) or (Clouds if holds_clouds(tree) else Meshes)
