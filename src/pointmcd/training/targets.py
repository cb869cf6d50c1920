"""A run's teacher, and what it says of the run's shapes."""

from typing import Any

import numpy as np
import numpy.typing as npt

from pointmcd.data.dataset import Targets
from pointmcd.data.store import Store
from pointmcd.teachers.stored import map_output, resolve_teacher
from pointmcd.training.config import TrainConfig


def find_teacher(config: TrainConfig, store: Store) -> dict[str, Any] | None:
    """The teacher.json of the teacher that the settings mean; None for a baseline.

    Raises:
        StoreError: when the store has no such teacher, or it does not match.
    """
    if config.teacher is None:
        return None
    return resolve_teacher(store, config.teacher, config.described_task.lesson)


def map_outputs(
    config: TrainConfig, store: Store, teacher: dict[str, Any], indices: npt.NDArray[np.int64]
) -> dict[str, Targets]:
    """The teacher's outputs that the run's objectives read, by name, read when asked for.

    Raises:
        StoreError: when the teacher has no such output.
    """
    names = dict.fromkeys(name for term in config.terms for name in term.outputs)
    return {name: map_output(store, teacher, name, indices) for name in names}
