"""Protocol of the metrics of every task, and how they print themselves."""

from typing import Any, Protocol

import numpy as np
from rich.table import Table

from pointmcd.tables import Tabular, result_table
from pointmcd.typing import Doubles


class Metrics(Protocol):
    """Metrics of a model on some shapes.

    Attributes:
        count: number of shapes that were measured.
        per_class: the main metric of each class; None for a class without shapes.
        scores: float64 [n], what the main metric is the mean of.
    """

    @property
    def count(self) -> int: ...  # noqa: D102 (described above)

    @property
    def per_class(self) -> dict[str, float | None]: ...  # noqa: D102

    @property
    def scores(self) -> Doubles: ...  # noqa: D102

    @property
    def main(self) -> dict[str, float]:
        """The metrics under the names to print them with: the main one, its mean over classes."""

    def as_dict(self) -> dict[str, Any]:
        """Values for `test.json`."""


class PrintedMetrics(Tabular):
    """Base of metrics that print on one line, and in notebooks as a table of the classes."""

    count: int
    per_class: dict[str, float | None]

    @property
    def main(self) -> dict[str, float]:
        """The main metrics under the names to print them with."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Values for `test.json`: all that are not arrays."""
        return {k: v for k, v in vars(self).items() if not isinstance(v, np.ndarray)}

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {value:.1%}" for name, value in self.main.items())
        return f"<{scores}; {self.count:,} shapes>"

    def _table(self) -> Table:
        rows = (
            (r["class"], "" if r["score"] is None else f"{r['score']:.1%}") for r in self._records()
        )
        return result_table(("class", "score"), rows, repr(self))

    def _records(self) -> list[dict[str, Any]]:
        return [{"class": name, "score": score} for name, score in self.per_class.items()]
