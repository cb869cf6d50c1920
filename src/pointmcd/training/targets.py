"""The descriptors that a student is pulled to, as its settings want them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pointmcd.data.dataset import Targets
from pointmcd.data.store import Store
from pointmcd.teachers.stored import map_output, resolve_teacher
from pointmcd.training.config import TrainConfig

Floats = npt.NDArray[np.float32]
#: The lesson of the teacher that each task wants.
LESSONS = {"classification": "classification", "segmentation": "segmentation"}
LESSONS["pretrain"] = "features"
#: Shapes read at a time where all targets are gone through.
_AT_ONCE = 256


@dataclass(frozen=True)
class ChannelStatistics:
    """Of targets [n, V, D] over shapes and views, channel by channel, float64 [D]."""

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    least: npt.NDArray[np.float64]


def channel_statistics(targets: Targets) -> ChannelStatistics:
    """Go through all targets, some shapes at a time: they may be larger than memory.

    Means and squared deviations of the parts are joined as in Chan, Golub, LeVeque (1983).
    """
    shapes, channels = targets.shape[0], targets.shape[2]
    count, mean, squares = 0, np.zeros(channels), np.zeros(channels)
    least = np.full(channels, np.inf)
    for start in range(0, shapes, _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, shapes))
        part = targets[rows].astype(np.float64).reshape(-1, channels)
        step = part.mean(axis=0) - mean
        total = count + len(part)
        squares += part.var(axis=0) * len(part) + step**2 * (count * len(part) / total)
        mean = mean + step * (len(part) / total)
        least = np.minimum(least, part.min(axis=0))
        count = total
    return ChannelStatistics(mean, np.sqrt(squares / max(count, 1)), least)


class Standardised:
    """Targets [n, V, D] with every channel brought to one scale: read, shifted, scaled.

    A channel that never varies becomes zero.

    Args:
        targets: as stored.
        statistics: of the targets whose mean becomes 0 and whose variance becomes 1.
    """

    def __init__(self, targets: Targets, statistics: ChannelStatistics) -> None:
        self._targets, self._mean = targets, statistics.mean
        self._scale = np.where(statistics.deviation > 1e-6, statistics.deviation, 1.0)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, V, D)."""
        return self._targets.shape

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Float32 [len(rows), V, D]."""
        scaled: Floats = ((self._targets[rows] - self._mean) / self._scale).astype(np.float32)
        return scaled


def prepare_targets(config: TrainConfig, store: Store, indices: npt.NDArray[np.int64]) -> Targets:
    """Targets [n, V, D] of shapes; what standardises them comes from the train part."""
    assert config.teacher is not None
    teacher = resolve_teacher(store, config.teacher, LESSONS[config.task])
    targets = map_output(store, teacher, config.target, indices)
    if not config.standardise:
        return targets
    train = map_output(store, teacher, config.target, store.indices("train"))
    return Standardised(targets, channel_statistics(train))
