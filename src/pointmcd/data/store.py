"""The prepared store, read side: points, visibility and views of many shapes, mapped from disk."""

import hashlib
import json
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import astuple, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from pointmcd.data.known_parts import known_parts
from pointmcd.data.labels import ALIKE, alike, is_part_file, match_labels
from pointmcd.data.records import ShapeRecord
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import read_json
from pointmcd.metrics.part_iou import UNLABELLED
from pointmcd.shapes.axes import turn
from pointmcd.shapes.features import chosen_kinds, chosen_names
from pointmcd.tables import Tabular, result_table
from pointmcd.typing import Array, Bools, Bytes, Doubles, Floats, Indices, Shorts

#: The label of a pixel that shows a part without label.
UNKNOWN_PIXEL = -2
#: The same in the pictures of a store.
_NO_LABEL = 255
#: Raised whenever the layout on disk changes in a way that older code would misread.
STORE_FORMAT = 1


class Store(Tabular):
    """A complete store made by `pointmcd prepare`.

    In a notebook it is shown with the shapes of each class and split; `to_frame` has a row for each
    shape.

    Every method raises a StoreError where a file is absent or damaged, more points are asked for
    than are held, or labels that the store has not.

    Args:
        path: the folder.
        labels: a label file (data/labels.py, data/part_labels.py) that takes the place of the
            store's own labels: its classes, or its parts, alone are known outside the test split,
            and all that is not in test or said to be in val is in train.

    Attributes:
        path: the folder.
        meta: the content of store.json.
        classes: sorted class names; a class id is a position in this list.
        features: names of the features of points that it holds.
        parts: names of each class's parts; None for a store without part labels. A part's global
            id counts through the classes in order.
        shapes: one record per shape, in shard order; an index counts along this list.
        shape_of: of each index, that of its shape, int64: itself, and for the variants (deformed
            copies of train shapes), whose indices come after those of all shapes, what they are
            copies of. No split has variants; what is stored of a shape is stored of them too.
        known_parts: with a part file, of the shapes in it: the part of each stored point, int16
            [P], counted from 0 within the class, -1 where it is not known.
        stored_up: the axis that points up in what is stored; see `with_up`.
        ignored_classes: with a label file, its own classes where the file knows none of them; its
            test shapes that the file does not name are then in no split.
        from_validation: indices of the train shapes that `with_validation` has put there.

    Raises:
        StoreError: when the folder is absent, incomplete, or of another format version.
        ConfigError: when the label file is of no use for these shapes.
    """

    def __init__(self, path: str | Path, labels: str | Path | None = None) -> None:
        self.path = Path(path)
        self.meta = _read_meta(self.path)
        self.classes: list[str] = self.meta["classes"]
        self.features: tuple[str, ...] = tuple(self.meta.get("features", ()))
        self.parts: dict[str, list[str]] | None = self.meta.get("parts")
        self.shapes = [
            ShapeRecord(s["name"], s["class"], s["split"], "unlabelled" in s)
            for s in self.meta["shapes"]
        ]
        self.shards: list[str] = self.meta["shards"]
        self._starts = list(accumulate(self.meta["counts"], initial=0))
        variant_of = np.array(self.meta.get("variant_of", []), dtype=np.int64)
        self.shape_of = np.concatenate([np.arange(len(self.shapes)), variant_of])
        labels = None if labels is None else Path(labels)
        self.known_parts: Mapping[int, Shorts] | None = None
        self.stored_up = self.up
        self.own_fingerprint, self.label_file = self._fingerprint(), labels
        self.own_fingerprints = {self.own_fingerprint, self._fingerprint("coordinates")}
        self.from_validation: frozenset[int] = frozenset()
        self.ignored_classes: tuple[str, ...] = ()
        if labels is not None:
            self._relabel(labels)

    def __repr__(self) -> str:
        counts = Counter(shape.split for shape in self.shapes)
        known = [f"{counts[split]} {split}" for split in ("train", "val", "test") if counts[split]]
        text = ", ".join([f"{len(self.shapes)} shapes", f"{len(self.classes)} classes", *known])
        return f"<Store {self.path}: {text}>"

    def _table(self) -> Table:
        counts = Counter((shape.label, shape.split) for shape in self.shapes)
        splits = [s for s in ("train", "val", "test", "none") if any(k[1] == s for k in counts)]
        labels = sorted({label for label, _ in counts}, key=lambda label: (label is None, label))
        rows = (
            [label or "(no label)", *(str(counts[label, split]) for split in splits)]
            for label in labels
        )
        return result_table(["class", *splits], rows, repr(self))

    def _records(self) -> list[dict[str, Any]]:
        return [{"name": s.name, "class": s.label, "split": s.split} for s in self.shapes]

    def _relabel(self, file: Path) -> None:
        if is_part_file(file):
            self.parts, self.known_parts, self.shapes = known_parts(self, file)
            self.classes = sorted(self.parts)
            # Clusters are of the shapes themselves.
            self.shape_of = self.shape_of[: len(self.shapes)]
            return
        if self.parts is not None:
            raise StoreError(
                f"{self.path}: has labels of parts, which the classes of --labels cannot replace"
            )
        names = [shape.name for shape in self.shapes]
        rows = match_labels(names, file, self.path, file_of=self.file_of)
        # Folders by supplier or place are not classes: their names say nothing of the test split.
        named = {row.label for row in rows.values()}
        if pair := alike(named | {*self.classes}):
            raise ConfigError(
                f"--labels {file}: its classes and those of {self.path}: {pair[0]!a} and"
                f" {pair[1]!a}: {ALIKE}"
            )
        self.ignored_classes = () if named & {*self.classes} else tuple(self.classes)
        for index, (name, label, split, _) in enumerate(map(astuple, self.shapes)):
            split = split if split in ("test", "none") else "train"
            if row := rows.get(index):
                label, split = row.label, row.split or split
            elif split != "test":
                label = None
            elif self.ignored_classes:
                label, split = None, "none"
            self.shapes[index] = ShapeRecord(name, label, split)
        self.classes = sorted({s.label for s in self.shapes if s.label is not None})
        if len(named) < 2:
            raise ConfigError(f"--labels {file}: names one class alone; training needs two")

    def _changed(self, **values: Any) -> "Store":
        """Return a copy of the same fingerprint with other attributes."""
        other = copy(self)
        vars(other).pop("part_ranges", None)  # which is cached
        vars(other).update(values, fingerprint=self.fingerprint)
        return other

    def without_labels(self, classes: Sequence[str]) -> "Store":
        """Return the same store with no label, and with the classes of another."""
        shapes = [replace(shape, label=None) for shape in self.shapes]
        return self._changed(classes=list(classes), shapes=shapes)

    def with_classes_of(self, other: "Store") -> "Store":
        """Return this store with the classes and part names of another, and no part label known.

        Where the other has one class, shapes without a class are of it.

        Raises:
            StoreError: when a shape in train or val is of none of these classes.
        """
        only = other.classes[0] if len(other.classes) == 1 else None
        shapes = []
        for shape in self.shapes:
            label = shape.label or only
            if label not in other.classes:
                if shape.split in ("train", "val"):
                    raise StoreError(
                        f"{self.path}: shape {shape.name} has none of the classes of {other.path}"
                        f" ({', '.join(other.classes)}); put it into a folder named after its class"
                        " and prepare again"
                    )
                label = other.classes[0]  # any: nobody learns from it
            shapes.append(replace(shape, label=label))
        known: dict[int, Any] = {}
        return self._changed(
            classes=other.classes, parts=other.parts, known_parts=known, shapes=shapes
        )

    def with_own_labels(self) -> "Store":
        """Return the same store, of the same fingerprint, with its own labels beside a label file.

        Where the file says nothing of a shape, the store's own class holds, if it is one of
        `classes`. It does not where the two contradict each other: folders are then no classes, or
        other ones. What a file of parts leaves open stays open.
        """
        if self.label_file is None or self.known_parts is not None:
            return self
        own = Store(self.path)
        both = [(a.label, b.label) for a, b in zip(self.shapes, own.shapes, strict=True)]
        if any(None not in pair and pair[0] != pair[1] for pair in both):
            return self
        shapes = [
            replace(ours, label=theirs.label)
            if ours.label is None and theirs.label in self.classes
            else ours
            for ours, theirs in zip(self.shapes, own.shapes, strict=True)
        ]
        return self._changed(shapes=shapes)

    def with_up(self, up: str | None) -> "Store":
        """Return the same store, of the same fingerprint, turned so that this axis is up.

        Points and cameras turn together, so views and visibility stay what they are. None, the axis
        of a model that does not know its own, leaves the store as it is.
        """
        if up is None:
            return self
        turned = copy(self)
        turned.meta = {**self.meta, "rig": {**self.meta["rig"], "up": up}}
        return turned

    def with_validation(self) -> "Store":
        """Return the same store, of the same fingerprint, with its validation split in train.

        Raises:
            StoreError: when it has none.
        """
        held = frozenset(self.indices("val").tolist())
        if not held:
            raise StoreError(f"{self.path}: has no validation split; leave out --fit-on")
        shapes = [replace(s, split="train") if s.split == "val" else s for s in self.shapes]
        return self._changed(from_validation=held, shapes=shapes)

    @cached_property
    def fingerprint(self) -> str:
        """Hash over rig, renderer, seed, points, names, classes, splits and labels of parts.

        Teachers and runs carry it: what was trained on another split could have seen test shapes.
        `own_fingerprint` is that without a label file, for what no label changes;
        `own_fingerprints` also has that of stores made before it took in the coordinates.
        """
        return self._fingerprint()

    def _fingerprint(self, left_out: str = "") -> str:
        shapes = [(s.name, s.label, s.split) for s in self.shapes]
        parts: list[Any] = [] if self.parts is None else [self.parts]
        # Stores made before are known without.
        later = [name for name in ("part_labels", "coordinates") if name != left_out]
        parts += [self.meta[name] for name in later if name in self.meta]
        if self.known_parts is not None:
            parts += [[i, one.tolist()] for i, one in sorted(self.known_parts.items())]
        if bare := [s.name for s in self.shapes if s.unlabelled]:
            parts.append(bare)
        text = json.dumps([self.meta["fingerprint"], shapes, *parts])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def rig(self) -> dict[str, Any]:
        """The rig as JSON."""
        return dict(self.meta["rig"])

    @property
    def renderers(self) -> frozenset[str]:
        """Names of what made the views: rays cast at meshes, or splats of points, or both."""
        return frozenset(self.meta["renderer"].split("+"))

    @property
    def up(self) -> str:
        """The axis of the points that points up."""
        return str(self.meta["rig"]["up"])

    @property
    def num_points(self) -> int:
        """Points per shape."""
        return int(self.meta["points"])

    @property
    def num_views(self) -> int:
        """Views per shape."""
        return len(self.meta["rig"]["cameras"])

    def indices(self, split: str) -> Indices:
        """Indices of the shapes of a split ("train", "val" or "test"), ascending."""
        return np.array([i for i, s in enumerate(self.shapes) if s.split == split], dtype=np.int64)

    def with_variants(self, indices: Indices) -> Indices:
        """Return the indices of shapes, in that order, and then those of their variants."""
        found = np.flatnonzero(np.isin(self.shape_of, indices))
        return np.concatenate([indices, found[found >= len(self.shapes)]])

    @cached_property
    def _variants(self) -> tuple[Indices, Indices]:
        """The indices of all variants, ordered by their shapes, and these."""
        variant_of = self.shape_of[len(self.shapes) :]
        order = np.argsort(variant_of, kind="stable")
        return order + len(self.shapes), variant_of[order]

    def draw_variants(self, indices: Indices, chance: Doubles) -> Indices:
        """Take each shape or one of its variants, all alike: numbers in [0, 1) [n] say which."""
        variants, variant_of = self._variants
        first, stop = (np.searchsorted(variant_of, indices, side) for side in ("left", "right"))
        number = (chance * (stop - first + 1)).astype(np.int64)
        drawn = number > 0
        taken = np.array(indices, dtype=np.int64)
        taken[drawn] = variants[(first + number - 1)[drawn]]
        return taken

    def is_labelled(self, index: int) -> bool:
        """Return whether the class of a shape is known, and with part labels some of its parts."""
        shape, parts = self.shapes[index], self.known_parts
        known = not shape.unlabelled if parts is None else index in parts
        return known and shape.label is not None

    def labels(self, indices: Indices) -> Indices:
        """Class ids [n] of shapes, int64."""
        ids = {name: i for i, name in enumerate(self.classes)}
        records = [self.shapes[self.shape_of[i]] for i in indices]
        if bare := next((record.name for record in records if record.label is None), None):
            raise StoreError(
                f"{self.path}: shape {bare} has no class label; label some shapes (pointmcd label"
                f" {self.path}) and give the file as --labels, or prepare them in folders"
                " CLASS/NAME or CLASS/{train,test}/NAME"
            )
        return np.array([ids[str(record.label)] for record in records], dtype=np.int64)

    @cached_property
    def part_ranges(self) -> Indices:
        """First global part id of each class and the one after its last, int64 [K, 2]."""
        return part_ranges(self._named_parts(), self.classes)

    @property
    def part_names(self) -> list[str]:
        """Names of the global part ids, like `chair/leg`."""
        parts = self._named_parts()
        return [f"{label}/{name}" for label in self.classes for name in parts[label]]

    @property
    def num_parts(self) -> int:
        """Parts of all classes together."""
        return len(self.part_names)

    def _named_parts(self) -> dict[str, list[str]]:
        if self.parts is None:
            raise StoreError(
                f"{self.path}: has no part labels; part segmentation needs a set with parts.json"
                " and a NAME.seg beside its meshes"
            )
        return self.parts

    def shard_ranges(self, variants: bool = False) -> Iterator[tuple[str, Indices]]:
        """Yield each shard's name and the indices of the shapes, or of all rows, in it."""
        last = len(self.shape_of if variants else self.shapes)
        for shard, start, end in zip(self.shards, self._starts[:-1], self._starts[1:], strict=True):
            if start < last:
                yield shard, np.arange(start, min(end, last))

    def locate(self, index: int) -> tuple[str, int]:
        """Return the shard of shape `index`, and its row there."""
        shard = bisect_right(self._starts, index) - 1
        return self.shards[shard], index - self._starts[shard]

    @cached_property
    def _files(self) -> list[str | None]:
        shards = [self.path / "shards" / shard / "shapes.json" for shard, _ in self.shard_ranges()]
        records = [record for file in shards for record in read_json(file)["shapes"]]
        return [record.get("source") for record in records]

    def file_of(self, index: int) -> str | None:
        """The file that shape `index` was read from, as `prepare` called it."""
        return self._files[index]

    def points(self, indices: Indices, count: int, features: Sequence[str] = ()) -> Floats:
        """The first `count` points in farthest-point order, float32 [n, count, 3 + F].

        Behind the coordinates are the F channels of the features that are named.
        """
        points = self._gather("points", indices, count).astype(np.float32, copy=False)
        self.check_features(features)
        kinds = chosen_kinds(features)
        beside = (kind.unpack(self._gather(kind.name, indices, count)) for kind in kinds)
        points = np.concatenate([points, *beside], axis=2) if kinds else points
        return turn(points, self.stored_up, self.up, features)

    def check_features(self, names: Sequence[str]) -> None:
        """Refuse a store that lacks one of these features; the StoreError says what to run."""
        for name in names:
            if name not in self.features:
                every = " ".join(chosen_names([*self.features, *names]))
                raise StoreError(
                    f"{self.path}: holds no {name} of its points; prepare it again with --features"
                    f" {every}, into another folder or with --overwrite"
                )

    def visibility(self, indices: Indices, count: int) -> Bools:
        """Visibility of the first `count` points in each view, bool [n, count, V]."""
        packed = self._gather("visibility", indices, count)
        return np.unpackbits(packed, axis=-1, count=self.num_views).view(np.bool_)

    def part_labels(self, indices: Indices, count: int) -> Indices:
        """Global part ids of the first `count` points, int64 [n, count]; -1: not known."""
        starts = self.part_ranges[self.labels(indices), 0]
        if self.known_parts is None:
            labels = self._gather("parts", indices, count).astype(np.int64)
            return np.where(labels < 0, UNLABELLED, labels + starts[:, None])
        rows = [self._known_part_labels(int(i), count) for i in indices]
        local = np.stack(rows) if rows else np.zeros((0, count), dtype=np.int64)
        return np.asarray(np.where(local < 0, UNLABELLED, local + starts[:, None]))

    def _known_part_labels(self, index: int, count: int) -> Indices:
        """The parts of a shape's points within its class: of the part file, in test also own."""
        assert self.known_parts is not None
        if index in self.known_parts:
            return self.known_parts[index][:count].astype(np.int64)
        if self.shapes[index].split == "test" and self.meta.get("parts"):
            return np.asarray(self._gather("parts", np.array([index]), count)[0], dtype=np.int64)
        return np.full(count, -1, dtype=np.int64)

    def pixel_labels(self, index: int) -> Shorts:
        """Global part ids of the pixels of one shape's views, int16 [V, S, S].

        -1 is background, `UNKNOWN_PIXEL` a part without label.
        """
        start = self.part_ranges[self.labels(np.array([index]))[0], 0]
        local = self._strip("pixels", index).astype(np.int16)
        labels = np.where(local > 0, local - 1 + start, -1)
        return np.where(local == _NO_LABEL, UNKNOWN_PIXEL, labels).astype(np.int16)

    def views(self, index: int) -> Bytes:
        """The grey views of one shape, uint8 [V, S, S]."""
        return self._strip("views", index)

    def _strip(self, kind: str, index: int) -> Bytes:
        """Pictures [V, S, S] that stand side by side in one file."""
        shard, row = self.locate(index)
        path = self.path / "shards" / shard / kind / f"{row:04d}.png"
        try:
            with Image.open(path) as picture:
                strip = np.asarray(picture.convert("L"))
            size = int(self.meta["rig"]["size"])
            views = strip.reshape(size, self.num_views, size).transpose(1, 0, 2)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise StoreError(
                f"{path}: not a strip of {self.num_views} views; run pointmcd prepare again"
            ) from error
        return np.ascontiguousarray(views)

    def _gather(self, kind: str, indices: Indices, count: int) -> Array:
        """Values of the first `count` points of shapes, [n, count, ...]."""
        if not 1 <= count <= self.num_points:
            raise StoreError(
                f"{self.path}: {count} points requested, but the store holds {self.num_points} per"
                f" shape; prepare it with --points {count}"
            )
        start = f"{self.path}/shards/"  # text: a path's parts would be parsed for every shape
        places = [self.locate(int(i)) for i in indices]
        maps = {shard: map_array(f"{start}{shard}/{kind}.npy") for shard in {s for s, _ in places}}
        rows = [maps[shard][row, :count] for shard, row in places]
        if not rows:
            return map_array(f"{start}{self.shards[0]}/{kind}.npy")[:0, :count]
        return np.stack(rows)


def part_ranges(parts: Mapping[str, Sequence[str]], classes: Sequence[str]) -> Indices:
    """As `Store.part_ranges`, of the parts of each class."""
    stops = np.cumsum([len(parts[label]) for label in classes], dtype=np.int64)
    return np.stack([np.concatenate([[0], stops[:-1]]), stops], axis=1)


def map_array(path: Path | str) -> Array:
    """Map one .npy file read-only; kept open for later calls, until the file is another.

    Raises:
        StoreError: when the file is absent or damaged.
    """
    try:
        stat = os.stat(path)  # noqa: PTH116  (once for every shape of every batch)
        return _map(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError, EOFError) as error:
        reason = "absent or damaged; run the command that makes it again"
        raise StoreError(f"{path}: {reason}") from error


def _most_maps() -> int:
    """Half of the files that a process may hold open (often 1,024), as every map holds one."""
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return 4096
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 4096 if allowed == resource.RLIM_INFINITY else max(16, min(allowed // 2, 4096))


@lru_cache(maxsize=_most_maps())
def _map(path: Path | str, *identity: int) -> Array:
    # As a plain array: indexing numpy's own class for maps takes several times longer.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _read_meta(path: Path) -> dict[str, Any]:
    command = f"with: pointmcd prepare SOURCE {path}"
    if not path.is_dir():
        if path.is_file():
            raise StoreError(
                f"{path}: is a file, not a store; make one with: pointmcd prepare FOLDER STORE"
            )
        raise StoreError(f"{path}: no such store; make one {command}")
    if not (path / "store.json").exists():
        if not (path / "plan.json").exists():
            raise StoreError(
                f"{path}: is not a store; make one of your shapes with: pointmcd prepare SOURCE"
                " STORE"
            )
        raise StoreError(f"{path}: not a complete store; finish it {command}")
    meta = read_json(path / "store.json")
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != STORE_FORMAT:
        raise StoreError(
            f"{path}: store format {found}, this version of pointmcd reads {STORE_FORMAT};"
            " prepare it again into another folder"
        )
    return dict(meta)
