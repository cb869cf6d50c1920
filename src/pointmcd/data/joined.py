"""Shapes of several stores in one data set."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pointmcd.data.dataset import Batch, Targets
from pointmcd.typing import Indices


class Member(Protocol):
    """Shapes of one store: a `ShapeDataset`, or its arrays on a device."""

    @property
    def indices(self) -> Indices:
        """Indices of the shapes in the store."""

    @property
    def teacher(self) -> Mapping[str, Targets] | None:
        """The teacher's outputs for them."""

    def set_epoch(self, epoch: int) -> None:
        """Draw the augmentation of this epoch from now on."""

    def __len__(self) -> int: ...

    def __getitems__(self, items: list[int], /) -> Batch:
        """The batch of those shapes."""


class JoinedDataset(Dataset[Batch]):
    """Data sets of several stores one after the other; their batches are mixed.

    Args:
        members: at least one, of equal numbers of points and views, all with the same outputs of a
            teacher, none with labels of parts.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        self._starts = np.cumsum([0, *map(len, members)])

    @property
    def indices(self) -> Indices:
        """Indices of all shapes, each counted in its own store."""
        return np.concatenate([member.indices for member in self.members])

    @property
    def teacher(self) -> Mapping[str, Targets] | None:
        """The teacher's outputs for the shapes of the first member."""
        return self.members[0].teacher

    def set_epoch(self, epoch: int) -> None:
        """Draw the augmentation of this epoch from now on."""
        for member in self.members:
            member.set_epoch(epoch)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: list[int]) -> Batch:
        """The batch of those shapes, in that order."""
        rows = np.asarray(items, dtype=np.int64)
        whose = np.searchsorted(self._starts, rows, side="right") - 1
        batches = [
            self.members[number].__getitems__((rows[whose == number] - start).tolist())
            for number, start in enumerate(self._starts[:-1])
            if (whose == number).any()
        ]
        places = torch.from_numpy(np.argsort(np.argsort(whose, kind="stable"), kind="stable"))
        return _in_order(batches, places)


def _in_order(batches: Sequence[Batch], places: Tensor) -> Batch:
    """Join batches; place i of the result holds row `places[i]` of all rows."""
    first = batches[0]
    seen = [batch.visibility for batch in batches if batch.visibility is not None]
    return Batch(
        torch.cat([batch.points for batch in batches])[places],
        torch.cat([batch.labels for batch in batches])[places],
        visibility=torch.cat(seen)[places] if seen else None,
        teacher={
            name: torch.cat([batch.teacher[name] for batch in batches])[places]
            for name in first.teacher
        },
    )
