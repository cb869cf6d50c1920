"""Data sets as plugs: known facts, layouts, options, and how the shapes are listed.

A data set of your own is one class in one file, `my_sets.py`:

    @register_dataset("scans")
    class Scans(DataSet):
        title = "Scans of our workshop"
        licence = "CC-BY-4.0"
        layouts = (Layout("stl", list_scans, splits={"train": 90, "test": 10}, up="z"),)

`list_scans` takes a `FileTree` and returns a `Listing`. `pointmcd prepare my_sets:Scans:PATH STORE`
reads it; so does `scans:PATH` where an installed package offers it under the entry point group
`pointmcd.datasets`.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from pointmcd.datasets.sources import Listing, Note, ShapeSource
from pointmcd.datasets.tree import FileTree
from pointmcd.errors import ConfigError, ShapeError, first_line
from pointmcd.plugs import Plugs


@dataclass(frozen=True)
class Archive:
    """A file that may be fetched without asking anyone.

    Attributes:
        name: the file.
        urls: where it is, in the order to try.
        sha256: of its content, where somebody trustworthy has published it, or None.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None


@dataclass(frozen=True)
class Layout:
    """One form in which a data set is distributed.

    Attributes:
        name: like "off" or "hdf5".
        list_shapes: lists the shapes of a folder or zip; reads none of them.
        matches: whether a folder or zip has this form.
        splits: how many shapes the official splits have; empty where that is not known for sure.
        up: the axis that points up, "x", "y" or "z"; None where the set does not say.
        archive: the file that `pointmcd download` fetches, or None.
    """

    name: str
    list_shapes: Callable[[FileTree], Listing]
    matches: Callable[[FileTree], bool] = lambda tree: True
    splits: Mapping[str, int] = field(default_factory=dict)
    up: str | None = "y"
    archive: Archive | None = None


@dataclass
class DataSet:
    """Base of data sets; a subclass that is a dataclass has its fields as options.

    An option's value comes as text from the command line; `__post_init__` may convert it.

    Attributes:
        name: what `prepare NAME:PATH` knows it by, once registered; else the name of the class.
        title: what it is, in a line.
        licence: the terms, in short; those of its makers count.
        layouts: the forms that are read; the first that matches is taken.
        classes: how many it has; None where that is not known.
        home: its page; None for files of a user's own.
        obtain: how to get it by hand.
        unchecked: what is said here from memory, and was not compared with the set itself.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    layouts: ClassVar[tuple[Layout, ...]] = ()
    classes: ClassVar[int | None] = None
    home: ClassVar[str | None] = None
    obtain: ClassVar[str] = ""
    unchecked: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__

    @classmethod
    def recognises(cls, tree: FileTree) -> bool:
        """Return whether a path without a name is this data set beyond doubt."""
        return False

    @classmethod
    def create(cls, options: Mapping[str, Any]) -> "DataSet":
        """Return the data set with these options.

        Raises:
            ConfigError: for an option that it does not have or lacks, or a value that it refuses.
        """
        known = [option.name for option in fields(cls)]
        have = f"use {', '.join(known)}" if known else "it has none"
        if unknown := [option for option in options if option not in known]:
            raise ConfigError(f"data set {cls.name}: option {unknown[0]} is unknown; {have}")
        needed = (f.name for f in fields(cls) if f.default is f.default_factory is MISSING)
        if lacking := [option for option in needed if option not in options]:
            raise ConfigError(f"data set {cls.name}: lacks the option {lacking[0]}; {have}")
        try:
            return cls(**options)
        except (TypeError, ValueError) as error:  # the text of who wrote the data set
            raise ConfigError(f"data set {cls.name}: {first_line(error)}") from error

    def options_text(self) -> str:
        """Return the options that differ from their defaults, as `prepare` is given them."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return "".join(f",{f.name}={value}" for f, value in values if value != f.default)

    def layout(self, tree: FileTree) -> Layout:
        """Return the layout of a folder or zip; a ShapeError for none says how to get the set."""
        if found := next((one for one in self.layouts if one.matches(tree)), None):
            return found
        names = ", ".join(layout.name for layout in self.layouts)
        raise ShapeError(
            f"{tree.name}: holds nothing of {self.name} in a known layout ({names}); {self.obtain}"
        )

    def list_shapes(self, tree: FileTree, layout: Layout) -> Listing:
        """List the shapes; override it where options have a say.

        Raises:
            ShapeError: when the files do not fit together.
        """
        return layout.list_shapes(tree)

    def official_notes(self, layout: Layout, sources: Sequence[ShapeSource]) -> list[Note]:
        """Note where splits and classes are not as large as the official ones."""
        found = Counter(source.split for source in sources)
        counts = [(f"{split} shapes", found[split], n) for split, n in layout.splits.items()]
        if self.classes is not None:
            classes = {source.label for source in sources if source.label is not None}
            counts.append(("classes", len(classes), self.classes))
        return [
            {"name": self.name, "note": f"{here} {what} found, officially ({layout.name}) {there}"}
            for what, here, there in counts
            if here != there
        ]


Registered = TypeVar("Registered", bound=type[DataSet])

DATA_SETS: Plugs[type[DataSet]] = Plugs("data set", "pointmcd.datasets")


def register_dataset(name: str) -> Callable[[Registered], Registered]:
    """Return a decorator that makes a data set known as `prepare NAME:PATH`.

    Raises:
        ConfigError: when another data set has that name, or it is not of two or more lower-case
            letters, digits and "-" (`C:` is a drive).
    """

    def keep(data_set: Registered) -> Registered:
        if not re.fullmatch("[a-z][a-z0-9-]+", name):
            raise ConfigError(f"data set {name}: the name must be lower case, like my-scans")
        DATA_SETS.register(name)(data_set).name = name
        return data_set

    return keep
