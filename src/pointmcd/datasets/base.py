"""What is known of a public data set, and whether the files at hand are all of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pointmcd.datasets.folder import ShapeSource
from pointmcd.datasets.listing import Listing
from pointmcd.datasets.tree import locate, read_member

#: Lists the shapes of a folder or zip, given its files and where meshes may be looked for.
Lister = Callable[[Path, list[str], Path | None], Listing]


@dataclass(frozen=True)
class Archive:
    """A file that may be fetched without asking anyone.

    Attributes:
        name: The file.
        urls: Where it is, in the order to try.
        sha256: Of its content, where somebody trustworthy has published it, or None.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None


@dataclass(frozen=True)
class Layout:
    """One form in which a data set is handed round.

    Attributes:
        name: Like "off" or "hdf5".
        matches: Whether files, as `list_files` names them, are of this form.
        list_shapes: The reader.
        splits: How many shapes the official splits have; empty where that is not known for sure.
        up: The axis that points up, "x", "y" or "z".
        archive: The file that `pointmcd download` fetches, or None.
    """

    name: str
    matches: Callable[[Sequence[str]], bool]
    list_shapes: Lister
    splits: Mapping[str, int] = field(default_factory=dict)
    up: str = "y"
    archive: Archive | None = None


@dataclass(frozen=True)
class DataSet:
    """A public data set.

    Attributes:
        name: What `pointmcd prepare NAME:PATH` calls it.
        title: What it is, in a line.
        classes: How many it has.
        licence: The terms, in short; those of its makers count.
        home: Its page.
        obtain: How to get it by hand.
        layouts: The forms that are read, the first that matches is taken.
        unchecked: What is said here from memory, and was not held against the set itself.
        takes_meshes: Whether a folder of meshes may be given beside it.
    """

    name: str
    title: str
    classes: int
    licence: str
    home: str
    obtain: str
    layouts: tuple[Layout, ...]
    unchecked: str | None = None
    takes_meshes: bool = False


def official_notes(
    data_set: DataSet, layout: Layout, sources: Sequence[ShapeSource]
) -> list[dict[str, str]]:
    """Note where the shapes listed are not as many as the official splits and classes have."""
    found = Counter(source.split for source in sources)
    counts = [(f"{split} shapes", found[split], n) for split, n in layout.splits.items()]
    classes = {source.label for source in sources if source.label is not None}
    counts.append(("classes", len(classes), data_set.classes))
    return [
        {"name": data_set.name, "note": f"{here} {what} found, officially ({layout.name}) {there}"}
        for what, here, there in counts
        if here != there
    ]


def read_text(source: Path, file: str) -> str:
    """Return the text of a listed file; raises ShapeError when it cannot be read."""
    return read_member(*locate(source, file), f"{source}/{file}").decode("utf-8-sig", "replace")


def read_lines(source: Path, file: str) -> list[str]:
    """Return the lines of a listed file that are not blank, stripped, slashes for backslashes."""
    lines = (line.strip().replace("\\", "/") for line in read_text(source, file).splitlines())
    return [line for line in lines if line]


def named(files: Sequence[str], name: str) -> str | None:
    """The file of that name, in any case, nearest to the top; None where there is none."""
    found = [file for file in files if file.rpartition("/")[2].lower() == name.lower()]
    found = [file for file in found if "__MACOSX" not in file]
    return min(found, key=lambda file: (file.count("/"), file), default=None)
