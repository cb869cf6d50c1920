"""What a store shall hold, settled before the first shape: it makes preparation resumable."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pointmcd import __version__
from pointmcd.data.splits import assign_test
from pointmcd.data.store import STORE_FORMAT
from pointmcd.datasets.sources import CloudSource, ShapeSource
from pointmcd.errors import ConfigError, PointMCDError, StoreError
from pointmcd.files import is_temporary, read_json, remove_stale, write_json
from pointmcd.views import splats
from pointmcd.views.render import RENDERER
from pointmcd.views.rig import Rig

#: What pointmcd puts into a store; `--overwrite` removes nothing else, and the plan last, so that
#: a store whose removal was killed is still known as a store.
_CONTENT = ("store.json", "teachers", "features", "shards", "plan.json")


@dataclass(frozen=True)
class PlanItem:
    """One shape to prepare: its name, class (None: unlabelled) and split before validation."""

    name: str
    label: str | None
    split: str


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a store holds, in the words of `prepare`."""

    source: str
    points: int
    seed: int
    rig: Rig
    val_fraction: float
    test_fraction: float
    shard_size: int
    items: tuple[PlanItem, ...]
    #: Names of each class's parts, by class; None for a set without part labels.
    parts: dict[str, tuple[str, ...]] | None = None
    #: What draws the views; of a set with some meshes missing, both names.
    renderer: str = RENDERER

    def __post_init__(self) -> None:
        _check_range("points", self.points, 1, 1_000_000)
        _check_range("shard-size", self.shard_size, 1, 1024)
        _check_range("seed", self.seed, 0, 2**63 - 1)
        for option in ("val-fraction", "test-fraction"):
            value = getattr(self, option.replace("-", "_"))
            if not 0 <= value < 1:
                raise ConfigError(f"--{option} {value}: must be 0 or more, and below 1")

    def to_json(self) -> dict[str, Any]:
        """Return the content of plan.json."""
        return {
            **asdict(self),
            "format": STORE_FORMAT,
            "pointmcd": __version__,
            "rig": self.rig.to_json(),
            "items": [[item.name, item.label, item.split] for item in self.items],
            "parts": self.parts and {label: list(names) for label, names in self.parts.items()},
        }

    def shards(self) -> Iterator[tuple[str, range]]:
        """Yield the name of each shard and which items it holds."""
        for number, start in enumerate(range(0, len(self.items), self.shard_size)):
            stop = min(start + self.shard_size, len(self.items))
            yield f"{number:05d}", range(start, stop)


def _check_range(option: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"--{option} {value}: must be within {low}..{high}")


def plan_items(sources: Sequence[ShapeSource], fraction: float, seed: int) -> tuple[PlanItem, ...]:
    """List what to prepare, test split settled; validation is chosen among those that survive."""
    names = [source.name for source in sources]
    labels = [source.label for source in sources]
    splits = assign_test(names, labels, [source.split for source in sources], fraction, seed)
    return tuple(PlanItem(*item) for item in zip(names, labels, splits, strict=True))


def plan_parts(sources: Sequence[ShapeSource]) -> dict[str, tuple[str, ...]] | None:
    """Names of the parts of each class that occurs; None where no shape has any."""
    parts = {str(source.label): source.parts for source in sources if source.parts is not None}
    return dict(sorted(parts.items())) or None


def plan_renderer(sources: Sequence[ShapeSource]) -> str:
    """Name what draws the views: meshes are ray-cast, clouds without a mesh splatted."""
    bare = [isinstance(source, CloudSource) and source.mesh is None for source in sources]
    return "+".join(sorted({splats.RENDERER if one else RENDERER for one in bare}))


def open_store(store: Path, plan: Plan, overwrite: bool) -> None:
    """Make `store` a folder that holds `plan` and nothing that contradicts it.

    Raises:
        StoreError: when the folder holds other files, or a store of another plan or version.
    """
    if store.exists() and not store.is_dir():
        raise StoreError(f"{store}: is a file; a store is a folder, choose another name")
    for folder in (store, store / "shards"):
        remove_stale(folder)
    if (store / "plan.json").exists():
        if not overwrite:
            _check_same(store, plan)
            return
        _empty(store)
    elif store.is_dir() and not all(map(is_temporary, store.iterdir())):
        raise StoreError(f"{store}: holds other files and is no store; choose another folder")
    write_json(store / "plan.json", plan.to_json())


def _empty(store: Path) -> None:
    for name in _CONTENT:
        _remove(store / name)


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be removed: {error.strerror or error}") from error


def _check_same(store: Path, plan: Plan) -> None:
    remedy = "choose another folder, or --overwrite"
    for name in ("plan.json", "store.json"):
        found = _read_format(store / name, remedy)
        if found != STORE_FORMAT:
            raise StoreError(
                f"{store / name}: store format {found}, this version of pointmcd writes"
                f" {STORE_FORMAT}; {remedy}"
            )
    for field, old, new in _differences("", read_json(store / "plan.json"), plan.to_json()):
        raise StoreError(f"{store}: was begun with {field} {old}, not {new}; {remedy}")


def _read_format(path: Path, remedy: str) -> Any:
    if not path.exists():
        return STORE_FORMAT
    try:
        content = read_json(path)
    except PointMCDError as error:
        raise StoreError(f"{error}; {remedy}") from error
    return content.get("format") if isinstance(content, dict) else None


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
