"""Clouds with a part label on every point, as ShapeNetPart's files have them."""

from dataclasses import dataclass
from io import StringIO

import numpy as np

from pointmcd.datasets.sources import Cloud, CloudSource
from pointmcd.datasets.tree import TreeFile
from pointmcd.errors import ShapeError
from pointmcd.shapes.clouds import check_finite
from pointmcd.shapes.features import NORMALS
from pointmcd.shapes.formats import reading
from pointmcd.typing import Doubles, Shorts


@dataclass(frozen=True)
class LabelledCloudSource(CloudSource):
    """A cloud with a part label on every point.

    Attributes:
        first_label: label in the files of the first part of its class.
    """

    first_label: int = 0

    def read_cloud(self) -> Cloud:
        """Read points and labels; raises ShapeError like `CloudSource.read_cloud`."""
        if self.fault is not None:
            raise ShapeError(f"{self.location}: {self.fault}")
        features = {}
        if self.labels is None:
            rows, where = _rows(self.file, 7, "x y z nx ny nz label"), self.location
            points, labels = rows[:, :3], rows[:, -1]
            if NORMALS.name in self.features:
                features = {NORMALS.name: NORMALS.read(rows[:, 3:6])}
        else:
            points, where = _rows(self.file, 3, "x y z"), self.labels.name
            labels = _rows(self.labels, 1, "one label")[:, 0]
        if len(labels) != len(points):
            raise ShapeError(f"{where}: {len(labels)} labels for {len(points)} points")
        parts = self._local(labels, where)
        return Cloud(check_finite(points, self.location), parts, features=features)

    def _local(self, labels: Doubles, where: str) -> Shorts:
        """Count labels from 0 in the class."""
        last = self.first_label + len(self.parts or ()) - 1
        wrong = np.flatnonzero(~np.isin(labels, range(self.first_label, last + 1)))
        if len(wrong):
            raise ShapeError(
                f"{where}: label {labels[wrong[0]]:g} in row {wrong[0] + 1}; a {self.label} has"
                f" labels {self.first_label} to {last}"
            )
        return (labels - self.first_label).astype(np.int16)


def _rows(file: TreeFile, columns: int, what: str) -> Doubles:
    """Read rows of that many numbers, `[N, columns]`."""
    text = file.text()
    if not text.strip():
        raise ShapeError(f"{file.name}: is empty")
    with reading(file.name, "rows of numbers"):
        rows = np.loadtxt(StringIO(text), dtype=np.float64, ndmin=2, comments=None)
    if rows.shape[1] != columns:
        raise ShapeError(f"{file.name}: rows of {rows.shape[1]} numbers, not {what}")
    return rows
