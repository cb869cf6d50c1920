"""Guesses for clusters of shapes, by a model of part segmentation, to be confirmed or corrected."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pointmcd.data.dataset import EVALUATION_BATCH
from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.inference.predictor import open_predictor
from pointmcd.tables import first_few
from pointmcd.tasks.segmentation import SegmentationTask, Segmenter
from pointmcd.training.run import Run
from pointmcd.training.weights import is_weights
from pointmcd.typing import Doubles, Floats, Indices, Shorts


class PartGuess(NamedTuple):
    """The likeliest part of a cluster, and its percentage, rounded down."""

    part: str
    sure: int


class PartGuesser:
    """Guesses by a model: the mean probabilities over a cluster's points, of the class's own parts.

    They are those of the last epoch, and not calibrated. A model that knows the parts of a single
    class takes shapes without a class to be of that one, as `predict` does.

    Args:
        path: a run of segmentation, of this store or of another, or exported weights of one.
        store: the shapes.
        device: cpu, cuda, mps or auto.

    Attributes:
        label_file: the parts of this store that the model learnt, if any.

    Raises:
        RunError: when it names no parts, is not finished, or knows the class of no shape.
    """

    def __init__(self, path: str | Path, store: Store, device: str = "auto") -> None:
        opened = open_predictor(path, device=device)
        if not isinstance(opened.task, SegmentationTask):
            raise RunError(f"{path}: names no parts; give a run of segmentation")
        assert isinstance(opened.model, Segmenter)
        self.opened, self.model, self.labels = opened, opened.model, opened.labels
        self.label_file = None if is_weights(path) else Run(path).label_file_of(store)
        self.store = Store(store.path, self.label_file).with_up(opened.up)
        self.device = next(self.model.parameters()).device
        if not any(map(self._class_of, range(len(store.shapes)))):
            known = first_few(self.labels.known)
            raise RunError(f"{path}: knows the parts of {known}; no shape of {store.path} is such")

    def _class_of(self, index: int) -> str | None:
        """The class whose parts a shape may have; None where the model does not know it."""
        label, known = self.store.shapes[index].label, self.labels.known
        if label is None and len(known) == 1:
            return known[0]
        return label if label in known else None

    def probabilities(self, indices: Sequence[int]) -> Iterator[Floats]:
        """Yield, for each shape, those of its class's parts at its first points, [N, parts].

        Of a shape whose class the model does not know they are [N, 0].
        """
        ranges = self.labels.part_ranges
        labels = np.array([self.labels.class_id(self._class_of(index)) for index in indices])
        for start in range(0, len(indices), EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            found = self._batch(np.asarray(indices[batch]), labels[batch].clip(min=0))
            for rows, label in zip(found, labels[batch], strict=True):
                first, stop = (0, 0) if label < 0 else ranges[label]
                yield rows[:, first:stop]

    def _batch(self, indices: Indices, labels: Indices) -> Floats:
        points = self.store.points(indices, self.opened.points, self.opened.features)
        ids = torch.from_numpy(labels).to(self.device)
        with torch.inference_mode():
            logits = self.model(torch.from_numpy(points).to(self.device), ids)
            found: Floats = self.model.limited(logits, ids).float().softmax(dim=2).cpu().numpy()
        return found

    def guess(
        self, index: int, probabilities: Floats, clusters: Shorts, count: int
    ) -> list[PartGuess | None]:
        """Return the guess for each of the clusters of a shape; None where there is none.

        Args:
            index: the shape.
            probabilities: at its first points, [N, parts].
            clusters: of its stored points, [P].
            count: of clusters.
        """
        if not probabilities.shape[1]:
            return [None] * count
        assert self.labels.parts is not None
        names = self.labels.parts[str(self._class_of(index))]
        sums: Doubles = np.zeros((count, probabilities.shape[1]))
        held = clusters[: len(probabilities)]
        np.add.at(sums, held, probabilities)
        points = np.bincount(held, minlength=count)
        means = sums / points.clip(min=1)[:, None]
        return [
            PartGuess(names[int(mean.argmax())], int(100 * mean.max())) if points[number] else None
            for number, mean in enumerate(means)
        ]
