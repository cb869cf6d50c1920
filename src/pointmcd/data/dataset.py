"""Batches of prepared shapes for training a student."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pointmcd.data.augment import Augmentation, Move
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.typing import Array, Bools, Floats, Indices

_CHOICES = {"visibility": ("exact", "all"), "pairing": ("true", "wrong", "shuffled")}
#: Takes all stored points [P, 3 + F] of a shape and its name; gives as many, float32.
Transform = Callable[[Floats, str], Floats]
#: A teacher's logit of a part that a point cannot have, or that no view tells; float16's lowest.
NO_LOGIT = -65504.0
#: The output with the logits of a class's own parts at the stored points, [n, N, most parts].
POINT_LOGITS = "point_logits"
#: Shapes per batch of an evaluation.
EVALUATION_BATCH = 64


class Batch(NamedTuple):
    """Points [B, N, 3 + F] and labels [B], -1 if unread; global part ids [B, N] if asked for.

    Behind the coordinates are the F channels of the features that the run takes.

    With a teacher also visibility [B, N, V] and those of its outputs that were asked for, by name:
    [B, V, D] for one of views, [B, D] for one of shapes. Where shapes count differently in the
    task's loss, also their `weights` [B].
    """

    points: Tensor
    labels: Tensor
    parts: Tensor | None = None
    visibility: Tensor | None = None
    teacher: dict[str, Tensor] = {}  # noqa: RUF012 (never written to)
    weights: Tensor | None = None


class Targets(Protocol):
    """A teacher's output for n shapes: an array, or what reads rows of one when asked for them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, V, D) for an output of views, (n, D) for one of shapes."""

    def __getitem__(self, rows: Indices, /) -> Floats:
        """Float32 [len(rows), ...]."""


class Draw(NamedTuple):
    """Random choices of a batch.

    Attributes:
        places: of its shapes among the indices of the data set, [B].
        rows: the shapes or their variants, [B].
        chosen: the stored points that are taken, [B, N]; None: the first.
        moves: how each moves; None: not at all.
    """

    places: Indices
    rows: Indices
    chosen: Indices | None = None
    moves: list[Move] | None = None


class ShapeDataset(Dataset[Batch]):
    """Shapes of one split, gathered a whole batch at a time from the mapped store.

    Args:
        store: the prepared store.
        indices: which shapes.
        points: how many points of each.
        teacher: the teacher's outputs for `rows`, in that order, by name; without it a batch has
            neither views nor visibility.
        visibility: "exact", or the control "all" (every point visible in every view).
        pairing: "true", or a control: "wrong" (each view gets another view's outputs), "shuffled"
            (each shape gets another shape's outputs).
        augmentation: for training; `set_epoch` says which epoch it draws for.
        parts: give the part label of every point too.
        labelled: False: no label is read, every one is -1.
        transform: changes the stored points of a shape before the first `points` are taken.
        repeats: how often a pass goes through the shapes, each time augmented anew.
        features: names of the features that points have behind their coordinates.

    Attributes:
        rows: the indices, then those of the variants that the augmentation draws from.
    """

    def __init__(
        self,
        store: Store,
        indices: Indices,
        points: int,
        teacher: Mapping[str, Targets] | None = None,
        visibility: str = "exact",
        pairing: str = "true",
        augmentation: Augmentation | None = None,
        parts: bool = False,
        labelled: bool = True,
        repeats: int = 1,
        transform: Transform | None = None,
        features: Sequence[str] = (),
    ) -> None:
        self.visibility, self.pairing = visibility, pairing
        for field, choices in _CHOICES.items():
            if (value := getattr(self, field)) not in choices:
                raise ConfigError(f"{field} {value}: use one of {', '.join(choices)}")
        of_views = (o for name, o in (teacher or {}).items() if name != POINT_LOGITS)
        views = [output.shape[1] for output in of_views if len(output.shape) == 3]
        if pairing == "wrong" and min(views, default=2) < 2:
            raise ConfigError("--pairing wrong: needs at least two views; choose another rig")
        self.store, self.indices, self.count, self.labelled = store, indices, points, labelled
        self.labels = store.labels(indices) if labelled else np.full(len(indices), -1)
        self.repeats, self.transform, self.augmentation = repeats, transform, augmentation
        self.teacher, self.parts, self.features, self.epoch = teacher, parts, features, 0
        varied = augmentation is not None and augmentation.variants
        self.rows = store.with_variants(indices) if varied else indices
        self._place = np.zeros(len(store.shape_of), dtype=np.int64)  # in `rows`, by index
        self._place[self.rows] = np.arange(len(self.rows))
        for name, output in (teacher or {}).items():
            if output.shape[0] != len(self.rows):
                raise ValueError(f"{name}: {output.shape[0]} outputs for {len(self.rows)} rows")
        # An impossible count, features or parts that the store lacks, fail here, not in training.
        self._stored(indices[:1], points)
        if parts:
            store.part_labels(indices[:1], points)

    def set_epoch(self, epoch: int) -> None:
        """Draw the augmentation of this epoch from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.repeats * len(self.indices)

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: list[int]) -> Batch:
        """The batch of those shapes."""
        draw = self.draw(items)
        rows, chosen = draw.rows, draw.chosen
        batch = Batch(torch.from_numpy(self._points(draw)), *self.truth(draw))
        if self.teacher is None:
            return batch
        visibility = self._read(self.seen, rows, chosen)
        outputs = {name: self._output(name, rows, chosen) for name in self.teacher}
        return batch._replace(visibility=torch.from_numpy(visibility), teacher=outputs)

    def truth(self, draw: "Draw") -> tuple[Tensor, Tensor | None]:
        """Labels [B], and those of the points' parts [B, N] where they were asked for."""
        labels = torch.from_numpy(self.labels[draw.places])
        if not self.parts:
            return labels, None
        parts = self._read(self.store.part_labels, draw.rows, draw.chosen)
        return labels, torch.from_numpy(parts)

    def draw(self, items: list[int]) -> "Draw":
        """Draw the variants, points and moves of those shapes."""
        rounds, places = np.divmod(np.asarray(items, dtype=np.int64), len(self.indices))
        shapes = self.indices[places]
        generators = self._generators(shapes, rounds)
        rows = self._drawn(shapes, generators)
        augmentation = self.augmentation
        if augmentation is None:
            return Draw(places, rows)
        seen = self.store.visibility(rows, self.held) if augmentation.one_view else None
        choices, moves = [], []
        for number, generator in enumerate(generators):
            part = None if seen is None else augmentation.look(generator, seen[number], self.count)
            some = augmentation.choose(generator, self.held, self.count) if part is None else part
            choices.append(some)
            moves.append(augmentation.draw(generator, normalised=part is not None))
        return Draw(places, rows, np.stack(choices) if augmentation.chooses else None, moves)

    @property
    def held(self) -> int:
        """Stored points of a shape that a batch may take."""
        chooses = self.augmentation is not None and self.augmentation.chooses
        return self.store.num_points if chooses else self.count

    def seen(self, rows: Indices, count: int) -> Bools:
        """Whether each view sees the first points of some rows, or "all", [n, count, V]."""
        if self.visibility == "all":
            return np.ones((len(rows), count, self.store.num_views), dtype=np.bool_)
        return self.store.visibility(rows, count)

    def places_of(self, rows: Indices) -> Indices:
        """Places of some rows in `rows`."""
        places: Indices = self._place[rows]
        return places

    def taught(self, rows: Indices) -> Indices:
        """Places in `rows` of those whose outputs of the teacher some rows get."""
        if self.pairing == "shuffled":  # the other shape's own, whatever variant this is
            others: Indices = shuffled(len(self.indices))[self.places_of(self.store.shape_of[rows])]
            return others
        return self.places_of(rows)

    def views_of(self, rows: Indices, views: int) -> Indices:
        """Views [n, V] whose outputs each view gets, where each gets another's."""
        return wrong_views(self.store.shape_of[rows], views)

    def _output(self, name: str, rows: Indices, chosen: Indices | None) -> Tensor:
        """One of the teacher's outputs for some rows."""
        values = (self.teacher or {})[name][self.taught(rows)]
        if name == POINT_LOGITS:
            return torch.from_numpy(self._point_logits(values, rows, chosen))
        if self.pairing == "wrong" and values.ndim == 3:
            views = self.views_of(rows, values.shape[1])
            values = np.take_along_axis(values, views[:, :, None], axis=1)
        return torch.from_numpy(values)

    def _point_logits(self, stored: Floats, rows: Indices, chosen: Indices | None) -> Floats:
        """Logits of all parts at the points [B, N, P], from those of the classes' own parts."""
        local = self._read(lambda _, count: stored[:, :count], rows, chosen)
        logits = np.full((*local.shape[:2], self.store.num_parts), NO_LOGIT, dtype=np.float32)
        labels = self.labels[self._place[self.store.shape_of[rows]]]
        for values, found, label in zip(local, logits, labels, strict=True):
            start, stop = self.store.part_ranges[label]
            found[:, start:stop] = values[:, : stop - start]
        return logits

    def _generators(self, shapes: Indices, rounds: Indices) -> list[np.random.Generator]:
        """Random numbers of each shape; none without augmentation."""
        if self.augmentation is None:
            return []
        numbers = zip(shapes.tolist(), rounds.tolist(), strict=True)
        return [self.augmentation.generator(self.epoch, shape, n) for shape, n in numbers]

    def _drawn(self, shapes: Indices, generators: Sequence[np.random.Generator]) -> Indices:
        """The shapes themselves, or variants of them; drawn only where there are any."""
        if len(self.rows) == len(self.indices):
            return shapes
        return self.store.draw_variants(shapes, np.array([one.random() for one in generators]))

    def _points(self, draw: "Draw") -> Floats:
        """Points [B, N, 3 + F]."""
        rows, transform = draw.rows, self.transform
        if transform is not None:
            whole = zip(rows, self._stored(rows, self.store.num_points), strict=True)
            moved = [transform(cloud, self.store.shapes[row].name) for row, cloud in whole]
            return np.stack([cloud[: self.count] for cloud in moved])
        clouds = self._read(self._stored, rows, draw.chosen)
        if draw.moves is None:
            return clouds
        pairs = zip(draw.moves, clouds, strict=True)
        return np.stack([move.apply(cloud, self.features) for move, cloud in pairs])

    def _stored(self, rows: Indices, count: int) -> Floats:
        """The first points of some rows with their features, [n, count, 3 + F]."""
        return self.store.points(rows, count, self.features)

    def _read(
        self, read: Callable[[Indices, int], Array], rows: Indices, chosen: Indices | None
    ) -> Array:
        """Read the values [B, N, ...] of the chosen points [B, N], or of the first."""
        if chosen is None:
            return read(rows, self.count)
        values = read(rows, int(chosen.max()) + 1)
        chosen = chosen.reshape(*chosen.shape, *[1] * (values.ndim - 2))
        return np.take_along_axis(values, chosen, axis=1)


@lru_cache(maxsize=4)
def shuffled(count: int) -> Indices:
    """Return for each of `count` shapes another one, the same each time, int64 [count]."""
    order = np.random.default_rng(0).permutation(count)
    others = np.empty(count, dtype=np.int64)
    others[order] = np.roll(order, 1)
    return others


def wrong_views(indices: Indices, views: int) -> Indices:
    """For each view of some shapes another one [n, V]: a fixed step away per shape."""
    steps = [int(np.random.default_rng(i).integers(1, views)) for i in indices]
    found: Indices = (np.arange(views) - np.array(steps)[:, None]) % views
    return found


def evaluation_loader(dataset: Dataset[Batch]) -> DataLoader[Batch]:
    """Batches in order, for evaluation."""
    return DataLoader(dataset, batch_size=EVALUATION_BATCH, collate_fn=as_is)


def as_is(batch: Any) -> Batch:
    """The data set gathers whole batches itself."""
    assert isinstance(batch, Batch)
    return batch
