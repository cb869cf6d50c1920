"""Guesses for clusters of shapes, by a run of part segmentation, to be confirmed or corrected."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pointmcd.data.dataset import EVALUATION_BATCH
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import RunError
from pointmcd.labelling.guesses import check_store
from pointmcd.tasks.segmentation import SegmentationTask, Segmenter
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.typing import Doubles, Floats, Indices, Shorts


class PartGuess(NamedTuple):
    """The likeliest part of a cluster, and its percentage, rounded down."""

    part: str
    sure: int


class PartGuesser:
    """Guesses by a run: the mean probabilities over a cluster's points, of the class's own parts.

    They are those of the last epoch, and not calibrated.

    Args:
        path: the run.
        store: what it was trained on.
        device: cpu, cuda, mps or auto.

    Raises:
        RunError: when the run names no parts, is not finished, or learnt from another store.
    """

    def __init__(self, path: str | Path, store: Store, device: str = "auto") -> None:
        self.run = Run(path)
        self.run.refuse_unfinished()
        if not isinstance(self.run.task, SegmentationTask):
            raise RunError(f"{path}: names no parts; give a run of segmentation")
        check_store(self.run, store)
        self.device = pick_device(device)
        model = load_model(self.run, "last", self.device)
        assert isinstance(model, Segmenter)
        self.model = model
        self.store = self.run.open_store(store.path)

    def probabilities(self, indices: Sequence[int]) -> Iterator[Floats]:
        """Yield, for each shape, those of its class's parts at its first points, [N, parts].

        Of a shape whose class the run does not know they are [N, 0].
        """
        classes, ranges = self.run.labels.classes, self.run.labels.part_ranges
        of = [str(self.store.shapes[index].label) for index in indices]
        labels = np.array([classes.index(label) if label in classes else -1 for label in of])
        for start in range(0, len(indices), EVALUATION_BATCH):
            batch = slice(start, start + EVALUATION_BATCH)
            found = self._batch(np.asarray(indices[batch]), labels[batch].clip(min=0))
            for rows, label in zip(found, labels[batch], strict=True):
                first, stop = (0, 0) if label < 0 else ranges[label]
                yield rows[:, first:stop]

    def _batch(self, indices: Indices, labels: Indices) -> Floats:
        points = self.store.points(indices, self.run.config.points, self.run.features)
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
        assert self.run.labels.parts is not None
        names = self.run.labels.parts[str(self.store.shapes[index].label)]
        sums: Doubles = np.zeros((count, probabilities.shape[1]))
        held = clusters[: len(probabilities)]
        np.add.at(sums, held, probabilities)
        points = np.bincount(held, minlength=count)
        means = sums / points.clip(min=1)[:, None]
        return [
            PartGuess(names[int(mean.argmax())], int(100 * mean.max())) if points[number] else None
            for number, mean in enumerate(means)
        ]
