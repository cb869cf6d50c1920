"""Plan of a store, settled before the first shape: it makes preparation resumable."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pointmcd import __version__
from pointmcd.data.labels import match_labels
from pointmcd.data.splits import assign_test
from pointmcd.data.store import STORE_FORMAT
from pointmcd.datasets.registry import Found
from pointmcd.datasets.sources import CloudSource, ShapeSource
from pointmcd.errors import ConfigError, PointMCDError, StoreError
from pointmcd.files import is_temporary, read_json, remove_stale, write_json
from pointmcd.preparation.config import PrepareConfig
from pointmcd.progress import note
from pointmcd.settings import option
from pointmcd.tables import first_few
from pointmcd.views import splats
from pointmcd.views.render import RENDERER
from pointmcd.views.rig import Rig, get_rig, list_rigs

#: Content of a store; `--overwrite` removes nothing else, and the plan last, so that
#: a store whose removal was killed is still known as a store.
_CONTENT = ("store.json", "teachers", "features", "shards", "plan.json")
#: Settings that decide what a store holds, the rig aside.
_DECISIVE = (
    *("points", "variants", "seed", "shard_size", "val_fraction", "test_fraction"),
    *("columns", "twins"),
)
#: What a plan has of the settings, by their names there.
_TOLD = {*_DECISIVE, "features", "rig.up"}


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a store holds: the settings, and what they were found to mean.

    Attributes:
        config: the settings.
        source: the source with its absolute path.
        rig: the cameras.
        items: the shapes in the store's order, each with its split; validation is chosen later,
            among the shapes that survive. Then the variants of those of train.
        parts: names of each class's parts; None for a set without part labels.
        renderer: name of the renderer; of a set with some meshes missing, both names.
    """

    config: PrepareConfig
    source: str
    rig: Rig
    items: tuple[ShapeSource, ...]
    parts: dict[str, tuple[str, ...]] | None = None
    renderer: str = RENDERER

    def to_json(self) -> dict[str, Any]:
        """Return the content of plan.json."""
        return {
            **{name: getattr(self.config, name) for name in _DECISIVE},
            **({"features": " ".join(self.config.features)} if self.config.features else {}),
            "format": STORE_FORMAT,
            "pointmcd": __version__,
            "source": self.source,
            "rig": self.rig.to_json(),
            "items": [[i.name, i.label, i.split] for i in self.items if not i.variant],
            "files": self.files(),
            "parts": self.parts and {label: list(names) for label, names in self.parts.items()},
            "renderer": self.renderer,
        }

    def files(self) -> dict[str, list[int] | None]:
        """Return size and time of change, in nanoseconds, of each shape's file; None without."""
        found: dict[str, list[int] | None] = {}
        for item in self.items:
            if item.name not in found:  # a variant, or of two shapes of one name the second
                found[item.name] = None
                with suppress(OSError):
                    state = item.file.path.stat()
                    found[item.name] = [state.st_size, state.st_mtime_ns]
        return found

    def shards(self) -> Iterator[tuple[str, slice]]:
        """Yield the name of each shard and which items it holds."""
        size = self.config.shard_size
        for number, start in enumerate(range(0, len(self.items), size)):
            yield f"{number:05d}", slice(start, start + size)


def make_plan(config: PrepareConfig, found: Found) -> Plan:
    """Settle rig, splits, parts and renderer.

    Raises:
        ConfigError: when the rig is unknown or cannot be read, or the label file does not fit.
    """
    sources = tuple(replace(item, features=config.features) for item in found.listing.sources)
    if config.labels is not None:
        sources = _with_labels(sources, config.labels, Path(found.text))
    # Names of the parts of each class that occurs.
    parts = {str(source.label): source.parts for source in sources if source.parts is not None}
    # Meshes are ray-cast, clouds without a mesh splatted.
    bare = {isinstance(source, CloudSource) and source.mesh is None for source in sources}
    return Plan(
        config=config,
        source=found.text,
        # A data set's own axis turns the named rigs; other rigs say themselves what is up.
        rig=get_rig(config.rig, config.up or (found.up if config.rig in list_rigs() else None)),
        items=with_variants(
            with_splits(sources, config.test_fraction, config.seed), config.variants
        ),
        parts=dict(sorted(parts.items())) or None,
        renderer="+".join(sorted(splats.RENDERER if one else RENDERER for one in bare)),
    )


def _with_labels(
    sources: Sequence[ShapeSource], file: Path, where: Path
) -> tuple[ShapeSource, ...]:
    """Give each shape the class and the split that a label file names.

    Raises:
        ConfigError: when the file does not fit, or the shapes have labels of parts.
    """
    if any(source.parts is not None for source in sources):
        raise ConfigError(f"--labels {file}: {where} has labels of parts, which need its classes")
    names = [source.name for source in sources]
    found = match_labels(names, file, where, file_of=lambda index: sources[index].location)
    # By name: files that differ in their ending alone have one, and only the first is taken.
    rows = {names[index]: row for index, row in found.items()}
    return tuple(
        replace(source, label=row.label, split=row.split or source.split)
        if (row := rows.get(source.name))
        else replace(source, label=None)
        for source in sources
    )


def with_splits(
    sources: Sequence[ShapeSource], fraction: float, seed: int
) -> tuple[ShapeSource, ...]:
    """Give each shape a split: that fraction of the labelled ones without is for the test."""
    names = [source.name for source in sources]
    labels = [None if source.unlabelled else source.label for source in sources]
    splits = assign_test(names, labels, [source.split for source in sources], fraction, seed)
    return tuple(replace(s, split=split) for s, split in zip(sources, splits, strict=True))


def with_variants(items: tuple[ShapeSource, ...], count: int) -> tuple[ShapeSource, ...]:
    """Add that many variants of each train shape at the end.

    Shapes that validation will take have some too: it is chosen among those that can be read.
    """
    varied = (item for item in items if item.split == "train" and item.fault is None)
    numbers = range(1, count + 1)
    return items + tuple(replace(item, variant=number) for item in varied for number in numbers)


def open_store(store: Path, plan: Plan) -> None:
    """Make `store` a folder that holds `plan` and nothing that contradicts it.

    Raises:
        StoreError: when the folder holds other files, or a store of another plan or version.
    """
    if store.exists() and not store.is_dir():
        raise StoreError(f"{store}: is a file; a store is a folder, choose another name")
    for folder in (store, store / "shards"):
        remove_stale(folder)
    if (store / "plan.json").exists():
        if not plan.config.overwrite:
            _check_same(store, plan)
            return
        if teachers := _teachers(store):
            note(f"{store}: its teachers are removed with all that it held: {first_few(teachers)}")
        for name in _CONTENT:
            _remove(store / name)
    elif store.is_dir() and not all(map(is_temporary, store.iterdir())):
        raise StoreError(f"{store}: holds other files and is not a store; choose another folder")
    write_json(store / "plan.json", plan.to_json())


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be removed: {error.strerror or error}") from error


def _teachers(store: Path) -> list[str]:
    return sorted(path.parent.name for path in store.glob("teachers/*/teacher.json"))


def _check_same(store: Path, plan: Plan) -> None:
    """Refuse a store of another plan, and note files that have changed since it was made."""
    remedy = "choose another folder, or --overwrite"
    if teachers := _teachers(store):
        remedy += f", which removes its teachers, too ({first_few(teachers)})"
    for path in filter(Path.exists, (store / "plan.json", store / "store.json")):
        try:
            content = read_json(path)
        except PointMCDError as error:
            raise StoreError(f"{error}; {remedy}") from error
        found = content.get("format") if isinstance(content, dict) else None
        if found != STORE_FORMAT:
            raise StoreError(
                f"{path}: store format {found}, this version of pointmcd writes"
                f" {STORE_FORMAT}; {remedy}"
            )
    # Older plans do not name them.
    older = {"twins": "warn", "variants": 0, "features": "none"}
    begun = {**older, **read_json(store / "plan.json")}
    wanted = {"features": "none", **plan.to_json()}
    shapes, others = begun.pop("items", []), wanted.pop("items")
    before, now = begun.pop("files", {}), wanted.pop("files")
    if any(now.values()) and before == now:  # the same files, under a path that has moved
        begun["source"] = wanted["source"]
    for field, old, new in _differences("", begun, wanted):
        told = option(field.removeprefix("rig.")) if field in _TOLD else field
        raise StoreError(f"{store}: was made with {told} {old}, not {new}; {remedy}")
    if shapes != others:
        raise StoreError(f"{store}: {_told_change(shapes, others)}; {remedy}")
    if changed := [name for name, state in now.items() if before.get(name, state) != state]:
        has = "the file of 1 shape has" if len(changed) == 1 else f"{len(changed):,} files have"
        note(
            f"{store}: {has} changed in size or date since it was made ({first_few(changed)}), and"
            f" shapes that it holds are not read again; for that, {remedy}"
        )


def _told_change(before: Sequence[list[Any]], now: Sequence[list[Any]]) -> str:
    """Say how shapes, each a name, a class and a split, differ from those of a store."""
    old, new = ({name: rest for name, *rest in rows} for rows in (before, now))
    added, gone = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    told = [
        f"{len(names):,} {'is' if len(names) == 1 else 'are'} {word} ({first_few(names)})"
        for names, word in ((added, "new"), (gone, "gone"))
        if names
    ]
    if told:
        return f"of the shapes, {' and '.join(told)}"
    for name, (label, split) in new.items():
        if [label, split] != old[name]:
            return f"shape {name} had class and split {old[name]}, now {[label, split]}"
    return "its shapes came in another order"


def _differences(field: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (field, old value, new value) wherever two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(f"{field}.{key}".lstrip("."), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        for number, (before, after) in enumerate(zip_longest(old, new)):
            yield from _differences(f"{field}[{number}]", before, after)
    elif old != new:
        yield field, old, new
