"""Protocol of the metrics of every task."""

from typing import Any, Protocol

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
