"""A cost at several sizes, and the power of the size that it grows with."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.shared.race import timed

Call = Callable[[], object]
#: Exponents up to these are called so.
_WORDS = (
    (0.2, "constant"),
    (0.8, "less than linear"),
    (1.2, "linear"),
    (1.7, "more than linear"),
    (2.2, "quadratic"),
)


@dataclass(frozen=True)
class Curve:
    """Seconds at growing sizes of one thing, all else equal.

    Attributes:
        cost: what is measured, with the sizes that stay.
        against: what grows.
        seconds: by size, at least two sizes.
        clock: "processor" (of the one thread that computes) or "wall".
    """

    cost: str
    against: str
    seconds: Mapping[int, float]
    clock: str = "processor"

    @property
    def exponent(self) -> float:
        """Slope of the line through the logarithms, all sizes alike."""
        return _slope(list(self.seconds.items()))

    @property
    def last_exponent(self) -> float:
        """The same over the three largest sizes: what does not grow weighs least there."""
        return _slope(list(self.seconds.items())[-3:])

    @property
    def growth(self) -> str:
        """The exponent at the largest sizes in a word."""
        last = self.last_exponent
        return next((word for most, word in _WORDS if last <= most), "more than quadratic")


def _slope(points: list[tuple[int, float]]) -> float:
    sizes, seconds = np.log(np.array(points)).T
    return float(np.polyfit(sizes, seconds, 1)[0])


def measure(call: Call, repeats: int = 3) -> float:
    """Return the median of processor seconds, after one call that does not count."""
    call()
    return statistics.median(timed(call) for _ in range(repeats))


def wall(call: Call) -> float:
    """Return seconds on the clock, for what runs in several processes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def sweep(
    cost: str, against: str, calls: Mapping[int, Callable[[], Call]], repeats: int = 3
) -> Curve:
    """Measure a call for each size; each is made when it is its turn."""
    return Curve(cost, against, {size: measure(make(), repeats) for size, make in calls.items()})
