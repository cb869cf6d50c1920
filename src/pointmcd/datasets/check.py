"""Check any data set against the contract, on files of it."""

import pickle
from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any

from pointmcd.checking import attempt, checking
from pointmcd.datasets.base import DataSet, Layout
from pointmcd.datasets.folder import load_shape
from pointmcd.datasets.sources import CloudSource, Listing, ShapeSource
from pointmcd.datasets.tree import FileTree, open_tree
from pointmcd.errors import ConfigError, ShapeError
from pointmcd.shapes.axes import AXES

_SPLITS = (None, "train", "val", "test")


def check_dataset(data_set: DataSet | type[DataSet], source: Path | str) -> None:
    """Check that a data set keeps the contract of data sets, on a folder or zip of it.

    It checks the facts that the class states; that a layout matches; names, classes, splits and
    parts of the shapes listed; that a second listing is the same, which an interrupted `prepare`
    needs, and that shapes can be sent to other processes; and reads one shape of each class.

    Args:
        data_set: the class, or one with options.
        source: a folder or zip as `prepare` takes it, without the name; small ones serve.

    Raises:
        ConfigError: one line that names the first rule broken, and how.
        ShapeError: when the source itself is absent or damaged.
    """
    tree = open_tree(source)
    name = getattr(data_set, "name", None) or repr(data_set)
    with checking(f"data set {name}"):
        made = _make(data_set)
        _check_facts(made)
        layout = _matching(made, tree)
        shapes = _list_shapes(made, tree, layout)
        for shape in shapes:
            _check_shape(shape)
        _check_together(shapes)
        if _list_shapes(made, open_tree(source), layout) != shapes:
            raise ConfigError("a second listing differs; list files in sorted order")
        for shape in {shape.label: shape for shape in reversed(shapes) if not shape.fault}.values():
            attempt(f"reading {shape.name} fails", partial(_read, shape))


def _make(given: Any) -> DataSet:
    if isinstance(given, DataSet):
        return given
    if not (isinstance(given, type) and issubclass(given, DataSet)):
        raise ConfigError("is not a subclass of pointmcd.datasets.base.DataSet")
    required = (o.name for o in fields(given) if o.default is o.default_factory is MISSING)
    if lacking := next(required, None):
        raise ConfigError(f"option {lacking} has no default; give it one")
    return given()


def _check_facts(data_set: DataSet) -> None:
    for fact in ("title", "licence"):
        text = getattr(data_set, fact)
        if not isinstance(text, str) or not text.strip() or "\n" in text:
            raise ConfigError(f"{fact} is {text!r}; make it one line of text")
    layouts = data_set.layouts
    is_tuple = isinstance(layouts, tuple | list)
    if not is_tuple or not layouts or not all(isinstance(one, Layout) for one in layouts):
        raise ConfigError("layouts must be a tuple of one Layout or more, such as (Layout(...),)")
    if len({layout.name for layout in layouts}) < len(layouts):
        raise ConfigError("two layouts have the same name")
    for layout in layouts:
        if unknown := set(layout.splits) - set(_SPLITS):
            raise ConfigError(f"layout {layout.name}: split {unknown.pop()!r}; use {_SPLITS[1:]}")
        if layout.up not in (None, *AXES):
            raise ConfigError(f"layout {layout.name}: up is {layout.up!r}; use x, y, z or None")


def _matching(data_set: DataSet, tree: FileTree) -> Layout:
    try:
        return attempt("matching a layout fails", partial(data_set.layout, tree))
    except ConfigError as error:
        if not isinstance(error.__cause__, ShapeError):
            raise
        names = ", ".join(layout.name for layout in data_set.layouts)
        raise ConfigError(f"none of its layouts ({names}) matches {tree.name}") from error.__cause__


def _list_shapes(data_set: DataSet, tree: FileTree, layout: Layout) -> list[ShapeSource]:
    listing = attempt("list_shapes fails", partial(data_set.list_shapes, tree, layout))
    if not isinstance(listing, Listing):
        raise ConfigError(f"list_shapes returns {type(listing).__name__}, not Listing")
    if not listing.sources:
        raise ConfigError(f"lists no shape in {tree.name}")
    return list(listing.sources)


def _check_shape(shape: Any) -> None:
    if not isinstance(shape, ShapeSource):
        raise ConfigError(f"lists {type(shape).__name__}, not ShapeSource")
    name = shape.name
    if not isinstance(name, str) or not all(name.split("/")) or "\\" in name:
        raise ConfigError(f"shape {name!r}: the name must be like CLASS/NAME, with slashes")
    if shape.label is not None and not (isinstance(shape.label, str) and shape.label):
        raise ConfigError(f"{name}: class {shape.label!r}; make it a text, or None")
    if shape.split not in _SPLITS:
        raise ConfigError(f"{name}: split {shape.split!r}; use one of {_SPLITS}")
    if shape.labels is not None and shape.parts is None:
        raise ConfigError(f"{name}: has part labels but no names of parts")
    if attempt(f"{name}: cannot be pickled", lambda: pickle.loads(pickle.dumps(shape))) != shape:
        raise ConfigError(f"{name}: is not the same once pickled")


def _read(shape: ShapeSource) -> object:
    return shape.read_cloud() if isinstance(shape, CloudSource) else load_shape(shape)


def _check_together(shapes: Sequence[ShapeSource]) -> None:
    names: set[str] = set()
    parts: dict[str | None, tuple[str, ...] | None] = {}
    for shape in shapes:
        if shape.name in names and shape.fault is None:
            raise ConfigError(f"{shape.name}: the name occurs twice, without a fault")
        names.add(shape.name)
        if parts.setdefault(shape.label, shape.parts) != shape.parts:
            raise ConfigError(f"{shape.name}: other parts than the class {shape.label} before")
    missing = [shape.name for shape in shapes if shape.split is None and shape.fault is None]
    if missing and any(shape.split for shape in shapes):
        raise ConfigError(f"{missing[0]}: has no split, though others have one; set a fault")
