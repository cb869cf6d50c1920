"""The descriptors that a student is pulled to, as its settings want them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.files import read_json
from pointmcd.teachers.config import LABEL_FREE, default_name, folder_name, split_name
from pointmcd.teachers.export import load_targets, teacher_folder
from pointmcd.training.config import TrainConfig


def prepare_targets(
    config: TrainConfig, store: Store, indices: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Targets [n, V, D] of shapes; what standardises them comes from the train part."""
    assert config.teacher is not None
    teacher = find_teacher(store, config.teacher, config.task)
    targets = load_targets(store, teacher, config.target, indices)
    if not config.standardise:
        return targets
    return standardised(
        targets, load_targets(store, teacher, config.target, store.indices("train"))
    )


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


def standardised(
    targets: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Targets [n, V, D] with the channels of `reference` [m, V, D] brought to one scale.

    Zero mean and unit variance over its shapes and views; a channel that never varies becomes zero.
    """
    mean = reference.mean(axis=(0, 1), dtype=np.float64)
    std = reference.std(axis=(0, 1), dtype=np.float64)
    scaled = (targets - mean) / np.where(std > 1e-6, std, 1.0)
    result: npt.NDArray[np.float32] = scaled.astype(np.float32)
    return result
