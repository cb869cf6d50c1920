"""The descriptors that a student is pulled to, as its settings want them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pointmcd.data.dataset import Targets
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.files import read_json
from pointmcd.teachers.config import LABEL_FREE, default_name, folder_name, split_name
from pointmcd.teachers.export import map_targets, teacher_folder
from pointmcd.training.config import TrainConfig

Floats = npt.NDArray[np.float32]
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
    teacher = find_teacher(store, config.teacher, config.task)
    targets = map_targets(store, teacher, config.target, indices)
    if not config.standardise:
        return targets
    train = map_targets(store, teacher, config.target, store.indices("train"))
    return Standardised(targets, channel_statistics(train))


def find_teacher(store: Store, name: str, task: str) -> str:
    """The teacher that a student of a task means by `name`.

    A teacher without labels is meant by just its name. Pretraining takes no other: there a bare
    encoder's name, `lite0`, means what `teach --task features` calls `lite0-features`. For
    segmentation `lite0` is what `teach --task segmentation` calls `lite0-segmentation`, and
    `lite0-finetuned` its `lite0-segmentation-finetuned`; a teacher of that task that was given a
    name of its own is meant by just that name.
    """
    made = _task_of(store, name)
    encoder, kind, finetuned = split_name(name)
    if task == "classification" or made in (task, *LABEL_FREE) or kind in (*LABEL_FREE, "whitened"):
        return name
    if task == "pretrain":
        own_name = kind != "classification" or finetuned or _encoder_of(store, name) != encoder
        return name if own_name else default_name(encoder, "features", False)
    return default_name(encoder, task, finetuned)


def check_label_free(teacher: Mapping[str, Any], option: str, otherwise: str) -> None:
    """Refuse a teacher that learnt from labels where they must not be known.

    Args:
        teacher: its teacher.json.
        option: what asks for it.
        otherwise: what else can be done, to end the message with.

    Raises:
        ConfigError: naming the teacher and what to use.
    """
    if teacher.get("task") not in LABEL_FREE:
        raise ConfigError(
            f"{option}: teacher {teacher['name']} learnt from all labels; use one without, made by"
            f" pointmcd teach --task features{otherwise}"
        )


def _task_of(store: Store, name: str) -> str | None:
    file = teacher_folder(store, name) / "teacher.json"
    return str(read_json(file).get("task", "classification")) if file.exists() else None


def _encoder_of(store: Store, name: str) -> str:
    """The encoder, in names of folders, of a teacher of labels; its name where there is none."""
    file = teacher_folder(store, name) / "teacher.json"
    return folder_name(str(read_json(file)["settings"]["teacher"])) if file.exists() else name
