"""Shapes that stay on a device: batches are gathered and augmented there."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pointmcd.data.augment import Move
from pointmcd.data.dataset import POINT_LOGITS, Batch, Draw, ShapeDataset, Targets
from pointmcd.data.joined import JoinedDataset
from pointmcd.device import send
from pointmcd.shapes.features import directions
from pointmcd.typing import Array, Indices

#: Shapes read from the store at once.
_ROWS = 512
#: At most so much of a device's free memory is for shapes.
_SHARE = 0.3


class ResidentShapes(Dataset[Batch]):
    """The shapes of a data set on a device.

    Batches are those of the data set but for rounding, and none is read from the host's memory.

    Args:
        shapes: what is drawn, and read once.
        device: where the arrays go.
        for_evaluation: whether labels, those of parts too, stay on the host.
    """

    def __init__(
        self, shapes: ShapeDataset, device: torch.device, for_evaluation: bool = False
    ) -> None:
        self.shapes, self.device, self.for_evaluation = shapes, device, for_evaluation
        store, held = shapes.store, shapes.held
        self.points = self._load(lambda rows: store.points(rows, held, shapes.features))
        self.parts = self.visibility = None
        if shapes.parts and not for_evaluation:
            self.parts = self._load(lambda rows: store.part_labels(rows, held))
        if shapes.teacher is not None:
            self.visibility = self._load(lambda rows: shapes.seen(rows, held))
        self.outputs = {name: self._all(values) for name, values in (shapes.teacher or {}).items()}

    def _all(self, values: Targets) -> Tensor:
        """All rows of one of the teacher's outputs."""
        return self._load(lambda rows: values[self.shapes.places_of(rows)])

    def _load(self, read: Callable[[Indices], Array]) -> Tensor:
        rows = self.shapes.rows
        parts = np.split(rows, range(_ROWS, len(rows), _ROWS))
        return torch.cat([torch.from_numpy(read(part)).to(self.device) for part in parts])

    @property
    def indices(self) -> Indices:
        """Indices of the shapes in the store."""
        return self.shapes.indices

    @property
    def teacher(self) -> Mapping[str, Targets] | None:
        """The teacher's outputs for them, on the host."""
        return self.shapes.teacher

    def set_epoch(self, epoch: int) -> None:
        """Draw the augmentation of this epoch from now on."""
        self.shapes.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: list[int]) -> Batch:
        """The batch of those shapes, on the device."""
        shapes, draw = self.shapes, self.shapes.draw(items)
        at = self._there(shapes.places_of(draw.rows))
        chosen = None if draw.chosen is None else self._there(draw.chosen)
        points = self._of(self.points, at, chosen)
        truth = shapes.truth(draw) if self.for_evaluation else self._truth(draw, at, chosen)
        batch = Batch(points if draw.moves is None else self._moved(points, draw.moves), *truth)
        if self.visibility is None:
            return batch
        outputs = {name: self._output(values, draw) for name, values in self.outputs.items()}
        return batch._replace(visibility=self._of(self.visibility, at, chosen), teacher=outputs)

    def _truth(self, draw: Draw, at: Tensor, chosen: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Labels on the device, as `ShapeDataset.truth` gives them."""
        parts = None if self.parts is None else self._of(self.parts, at, chosen)
        return self._there(self.shapes.labels[draw.places]), parts

    def _there(self, values: Array) -> Tensor:
        return send(values, self.device)

    def _of(self, values: Tensor, at: Tensor, chosen: Tensor | None) -> Tensor:
        """Values [B, N, ...] of the chosen points [B, N] of some rows, or of all that are held."""
        if chosen is None:
            return values.index_select(0, at)
        return values[at[:, None], chosen]

    def _output(self, values: Tensor, draw: Draw) -> Tensor:
        """One of the teacher's outputs for the rows drawn."""
        found = values.index_select(0, self._there(self.shapes.taught(draw.rows)))
        if self.shapes.pairing != "wrong" or found.ndim != 3:
            return found
        views = self._there(self.shapes.views_of(draw.rows, found.shape[1]))
        return found.gather(1, views[:, :, None].expand_as(found))

    def _moved(self, points: Tensor, moves: Sequence[Move]) -> Tensor:
        """Move points [B, N, 3 + F], each shape as drawn (`Move.apply`)."""
        numbers = np.stack([np.stack([move.factors, move.offsets]) for move in moves])
        factors, offsets = self._there(numbers.astype(np.float32))[:, :, None].unbind(1)
        turns = None
        if moves[0].turn is not None:
            turns = self._there(np.stack([move.turn for move in moves]).astype(np.float32))  # type: ignore[misc]
        columns = list(points.split([3, points.shape[2] - 3], dim=2))
        places = columns[0] if turns is None else columns[0] @ turns
        moved = points.clone()
        moved[:, :, :3] = places * factors + offsets
        for where in directions(self.shapes.features):
            vectors = points[:, :, where]
            turned = (vectors if turns is None else vectors @ turns) / factors
            moved[:, :, where] = torch.nn.functional.normalize(turned, dim=2)
        return moved


def resident(
    shapes: ShapeDataset | JoinedDataset, device: torch.device, for_evaluation: bool = False
) -> ShapeDataset | JoinedDataset | ResidentShapes:
    """Return shapes on a device, or as they are where they do not fit into its memory.

    Logits of points stay with the host too, as do clouds that a transform or an augmentation of
    one's own changes, or that are what one view sees: these are made for each batch.
    """
    members = shapes.members if isinstance(shapes, JoinedDataset) else [shapes]
    own = [member for member in members if isinstance(member, ShapeDataset)]
    made = POINT_LOGITS in (shapes.teacher or {}) or any(
        one.transform or (one.augmentation and one.augmentation.for_host) for one in own
    )
    if made or sum(map(_bytes, own)) > _room(device):
        return shapes
    here = [ResidentShapes(member, device, for_evaluation) for member in own]
    return JoinedDataset(here) if isinstance(shapes, JoinedDataset) else here[0]


def _bytes(shapes: ShapeDataset) -> int:
    """Return the bytes that the arrays of a data set take on a device."""
    first = shapes.store.points(shapes.indices[:1], 1, shapes.features)
    point = 4 * first.shape[2] + 8 * shapes.parts
    outputs = 0
    if shapes.teacher is not None:
        point += shapes.store.num_views
        outputs = 4 * sum(int(np.prod(output.shape[1:])) for output in shapes.teacher.values())
    return len(shapes.rows) * (shapes.held * int(point) + outputs)


def _room(device: torch.device) -> float:
    """Return the bytes of a device's memory that shapes may take."""
    if device.type != "cuda":
        return float("inf")
    return float(_SHARE * torch.cuda.mem_get_info(device)[0])
