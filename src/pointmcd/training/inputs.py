"""Inputs of a training run: its teacher, and batches of shapes with the teacher's outputs."""

from dataclasses import replace
from typing import Any

from torch.utils.data import DataLoader

from pointmcd.data.augment import Augmentation
from pointmcd.data.dataset import Batch, ShapeDataset, Targets, evaluation_loader
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.teachers.stored import map_output, resolve_teacher
from pointmcd.training.config import FEW_LABELS_OBJECTIVE, TrainConfig
from pointmcd.typing import Indices

#: Added to the seed of a run for what must be drawn otherwise.
_OTHER_SEED = 500_009


def find_teacher(config: TrainConfig, store: Store) -> dict[str, Any] | None:
    """The teacher.json of the teacher that the settings mean; None for a baseline.

    Raises:
        StoreError: when the store has no such teacher, or it does not match.
    """
    if config.teacher is None:
        return None
    lesson = config.described_task.lesson
    return resolve_teacher(
        store, config.teacher, lesson, config.label_fraction, config.seed, config.labels
    )


def with_objectives(
    config: TrainConfig, store: Store, teacher: dict[str, Any] | None
) -> TrainConfig:
    """Return the settings with objectives, where none is named.

    With few labels the student learns most from a teacher's answers for shapes whose labels are
    not known (docs/when-distillation-pays.md); otherwise the default ones serve.
    """
    if teacher is None or config.objective or not _has_unlabelled(config, store):
        return config
    answers = config.described_task.teacher_answer in teacher["outputs"]
    return replace(config, objective=FEW_LABELS_OBJECTIVE) if answers else config


def train_dataset(
    config: TrainConfig, store: Store, teacher: dict[str, Any] | None
) -> ShapeDataset:
    """The augmented train shapes whose labels are known.

    They come with the outputs of the teacher where there is one, unless `unlabelled_dataset` has
    these.
    """
    every = store.indices("train")
    labelled = config.described_task.labelled
    indices = labelled_train(store, config.label_fraction, config.seed) if labelled else every
    repeats = round(len(every) / len(indices))
    alone = teacher is None or _has_unlabelled(config, store)
    outputs = None if alone else map_outputs(config, store, teacher or {}, indices)
    augmentation = _augmentation(config, store, config.seed)
    return _dataset(config, store, indices, outputs, augmentation=augmentation, repeats=repeats)


def unlabelled_dataset(
    config: TrainConfig, store: Store, teacher: dict[str, Any] | None
) -> ShapeDataset | None:
    """All train shapes without their labels, for the objectives, where only some labels are known.

    None for a baseline, where all labels are known, and for a task whose model takes the class of a
    shape: it has nothing to go through without.
    """
    if teacher is None or not _has_unlabelled(config, store):
        return None
    indices = store.indices("train")
    outputs = map_outputs(config, store, teacher, indices)
    # Other draws than for the same shapes with labels; twice, so that it lasts for an epoch.
    augmentation = _augmentation(config, store, config.seed + _OTHER_SEED)
    return _dataset(
        config, store, indices, outputs, labelled=False, augmentation=augmentation, repeats=2
    )


def _has_unlabelled(config: TrainConfig, store: Store) -> bool:
    task, known = config.described_task, labelled_train(store, config.label_fraction, config.seed)
    every = len(known) == len(store.indices("train"))
    return task.labelled and not every and "labels" not in task.input_names


def _augmentation(config: TrainConfig, store: Store, seed: int) -> Augmentation:
    return Augmentation(
        seed, config.scale, config.shift, config.resample, config.rotation, up=store.rig["up"]
    )


def validation_loader(
    config: TrainConfig, store: Store, teacher: dict[str, Any] | None
) -> DataLoader[Batch] | None:
    """Batches of the validation split in order; None where there is none."""
    indices = store.indices("val")
    if not len(indices):
        return None
    # Without labels there is only the teacher to agree with.
    alone = config.described_task.labelled or teacher is None
    outputs = None if alone else map_outputs(config, store, teacher or {}, indices)
    return evaluation_loader(_dataset(config, store, indices, outputs))


def map_outputs(
    config: TrainConfig, store: Store, teacher: dict[str, Any], indices: Indices
) -> dict[str, Targets]:
    """The teacher's outputs that the run's objectives read, by name, read when asked for.

    Raises:
        StoreError: when the teacher has no such output.
    """
    names = dict.fromkeys(name for term in config.terms for name in term.outputs)
    return {name: map_output(store, teacher, name, indices) for name in names}


def _dataset(
    config: TrainConfig,
    store: Store,
    indices: Indices,
    outputs: dict[str, Targets] | None,
    **options: Any,
) -> ShapeDataset:
    task = config.described_task
    labelled = options.pop("labelled", task.labelled)
    return ShapeDataset(
        store,
        indices,
        config.points,
        outputs,
        config.visibility,
        config.pairing,
        parts=labelled and task.dense,
        labelled=labelled,
        **options,
    )
