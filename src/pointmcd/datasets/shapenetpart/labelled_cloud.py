"""One cloud with a part label on every point, read from a set in ShapeNetPart's layout."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pointmcd.datasets.cloud_source import Cloud, CloudSource, finite
from pointmcd.errors import ShapeError


@dataclass(frozen=True)
class LabelledCloudSource(CloudSource):
    """A labelled cloud that can be read when its turn comes, in any process.

    Attributes:
        first_label: What the files call the first part of its class.
    """

    first_label: int = 0

    def read_cloud(self) -> Cloud:
        """Read points and labels; raises ShapeError as `CloudSource.read_cloud` says."""
        if self.fault is not None:
            raise ShapeError(f"{self.location}: {self.fault}")
        rows = _rows(self.read(), self.location)
        if self.labels is None:
            points, labels, where = self._joined(rows), rows[:, -1], self.location
        else:
            points, (labels, where) = self._apart(rows), self._label_file()
        if len(labels) != len(points):
            raise ShapeError(f"{where}: {len(labels)} labels for {len(points)} points")
        return Cloud(finite(points, self.location), self._local(labels, where))

    def _joined(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if rows.shape[1] != 7:
            raise ShapeError(
                f"{self.location}: rows of {rows.shape[1]} numbers, not x y z nx ny nz label"
            )
        return rows[:, :3]

    def _apart(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if rows.shape[1] != 3:
            raise ShapeError(f"{self.location}: rows of {rows.shape[1]} numbers, not x y z")
        return rows

    def _label_file(self) -> tuple[npt.NDArray[np.float64], str]:
        assert self.labels is not None
        name = Path(self.labels).name
        where = str(Path(self.location).parents[1] / "points_label" / name)
        rows = _rows(self.read_label_file(where), where)
        if rows.shape[1] != 1:
            raise ShapeError(f"{where}: rows of {rows.shape[1]} numbers, not one label")
        return rows[:, 0], where

    def _local(self, labels: npt.NDArray[np.float64], where: str) -> npt.NDArray[np.int16]:
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


def _rows(data: bytes, where: str) -> npt.NDArray[np.float64]:
    """Read rows of numbers, `[N, columns]`."""
    text = data.decode("utf-8-sig", "replace")
    if not text.strip():
        raise ShapeError(f"{where}: is empty")
    try:
        return np.loadtxt(StringIO(text), dtype=np.float64, ndmin=2, comments=None)
    except ValueError as error:
        reason = (str(error).splitlines() or ["no table of numbers"])[0]
        raise ShapeError(f"{where}: cannot be read as rows of numbers: {reason}") from error
