"""Clouds with a part label on every point, as ShapeNetPart's files have them."""

from dataclasses import dataclass
from io import StringIO

import numpy as np

from pointmcd.datasets.sources import Cloud, CloudSource, check_finite
from pointmcd.datasets.tree import TreeFile
from pointmcd.errors import ShapeError
from pointmcd.typing import Doubles, Shorts


@dataclass(frozen=True)
class LabelledCloudSource(CloudSource):
    """A cloud with a part label on every point.

    Attributes:
        first_label: label in the files of the first part of its class.
    """

    first_label: int = 0

    def read_cloud(self) -> Cloud:
        """Read points and labels; raises ShapeError as `CloudSource.read_cloud` says."""
        if self.fault is not None:
            raise ShapeError(f"{self.location}: {self.fault}")
        rows = _rows(self.file)
        if self.labels is None:
            points, labels, where = self._joined(rows), rows[:, -1], self.location
        else:
            points, labels = self._apart(rows), self._label_column(self.labels)
            where = self.labels.name
        if len(labels) != len(points):
            raise ShapeError(f"{where}: {len(labels)} labels for {len(points)} points")
        return Cloud(check_finite(points, self.location), self._local(labels, where))

    def _joined(self, rows: Doubles) -> Doubles:
        if rows.shape[1] != 7:
            raise ShapeError(
                f"{self.location}: rows of {rows.shape[1]} numbers, not x y z nx ny nz label"
            )
        return rows[:, :3]

    def _apart(self, rows: Doubles) -> Doubles:
        if rows.shape[1] != 3:
            raise ShapeError(f"{self.location}: rows of {rows.shape[1]} numbers, not x y z")
        return rows

    def _label_column(self, file: TreeFile) -> Doubles:
        rows = _rows(file)
        if rows.shape[1] != 1:
            raise ShapeError(f"{file.name}: rows of {rows.shape[1]} numbers, not one label")
        return rows[:, 0]

    def _local(self, labels: Doubles, where: str) -> Shorts:
        """Count labels from 0 in the class."""
        assert self.parts is not None
        local = labels - self.first_label
        fine = np.isfinite(local) & (local == np.rint(local))
        wrong = np.flatnonzero(~(fine & (local >= 0) & (local < len(self.parts))))
        if len(wrong):
            last = self.first_label + len(self.parts) - 1
            raise ShapeError(
                f"{where}: label {labels[wrong[0]]:g} in row {wrong[0] + 1}; a {self.label} has"
                f" labels {self.first_label} to {last}"
            )
        return local.astype(np.int16)


def _rows(file: TreeFile) -> Doubles:
    """Read rows of numbers, `[N, columns]`."""
    text = file.text()
    if not text.strip():
        raise ShapeError(f"{file.name}: is empty")
    try:
        return np.loadtxt(StringIO(text), dtype=np.float64, ndmin=2, comments=None)
    except ValueError as error:
        reason = (str(error).splitlines() or ["no table of numbers"])[0]
        raise ShapeError(f"{file.name}: cannot be read as rows of numbers: {reason}") from error
