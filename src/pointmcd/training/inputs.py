"""Inputs of a training run: its teacher, and batches of shapes with the teacher's outputs."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from pointmcd.data.augment import Augmentation, NamedAugmentation
from pointmcd.data.dataset import POINT_LOGITS, Batch, ShapeDataset, Targets, evaluation_loader
from pointmcd.data.joined import JoinedDataset
from pointmcd.data.resident import resident
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, StoreError
from pointmcd.teachers.describe import describe_store
from pointmcd.teachers.features import StoredRows
from pointmcd.teachers.stored import map_output, resolve_teacher
from pointmcd.training.config import TrainConfig
from pointmcd.typing import Indices

#: Added to the seed of a run for what must be drawn otherwise.
_OTHER_SEED = 500_009
#: What gives batches to a step.
TrainShapes = ShapeDataset | JoinedDataset


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
    few = replace(config, objective=config.described_task.few_labels_objective)
    return few if {*few.teacher_outputs} <= {*teacher["outputs"]} else config


def check_control(config: TrainConfig, store: Store, teacher: dict[str, Any] | None) -> None:
    """Refuse a control of what views see or say where no objective reads outputs of views.

    Raises:
        ConfigError: naming the option: the run would equal the one without it.
    """
    control = "--pairing wrong" if config.pairing == "wrong" else "--visibility all"
    if teacher is None or (config.pairing != "wrong" and config.visibility != "all"):
        return
    first = store.indices("train")[:1]
    outputs = [name for name in config.teacher_outputs if name != POINT_LOGITS]
    if not any(len(map_output(store, teacher, name, first).shape) == 3 for name in outputs):
        named = ", ".join(term.name for term in config.terms)
        raise ConfigError(
            f"{control}: changes nothing, as {named} reads no outputs of single views; add"
            " --objective vafp, or leave it out"
        )


def open_unlabelled(config: TrainConfig, store: Store) -> list[Store]:
    """Open the stores of unlabelled shapes.

    A baseline does not learn from them, but takes as many steps as if it did.

    Raises:
        StoreError: when one is the store itself, has another rig, no shape to learn from, lacks a
            feature, or was rendered otherwise while the teacher's answers count; or when a model
            that is told the class of a shape is not told it there.
    """
    others = [Store(path).with_up(store.up) for path in config.unlabelled]
    for other in others:
        if other.own_fingerprint == store.own_fingerprint:
            raise StoreError(f"--unlabelled {other.path}: is the store itself; leave it out")
        if other.rig != store.rig:
            raise StoreError(
                f"--unlabelled {other.path}: has another rig than {store.path}; prepare it with the"
                " same --rig"
            )
        if config.described_task.labelled and not other.renderers <= store.renderers:
            raise StoreError(
                f"--unlabelled {other.path}: its views are of {'+'.join(sorted(other.renderers))},"
                f" those of {store.path} of {'+'.join(sorted(store.renderers))}: a teacher that"
                " learnt from one renderer misjudges the other; prepare both from meshes, or both"
                " from clouds, with the same version of pointmcd"
            )
        other.check_features(config.features)
        if not len(_outside_test(other)):
            raise StoreError(f"--unlabelled {other.path}: no shapes outside its test split")
    told = config.described_task.takes_class
    return [other.with_classes_of(store) for other in others] if told else others


def _outside_test(store: Store) -> Indices:
    return np.sort(np.concatenate([store.indices(split) for split in ("train", "val")]))


def count_shapes(config: TrainConfig, store: Store) -> int:
    """Count the shapes that an epoch goes through."""
    others = open_unlabelled(config, store)
    return len(store.indices("train")) + sum(len(_outside_test(other)) for other in others)


def train_dataset(config: TrainConfig, store: Store, teacher: dict[str, Any] | None) -> TrainShapes:
    """The augmented train shapes whose labels are known.

    They come with the outputs of the teacher where there is one, unless `unlabelled_dataset` has
    these.
    """
    labelled = config.described_task.labelled
    indices = (
        labelled_train(store, config.label_fraction, config.seed)
        if labelled
        else store.indices("train")
    )
    if not labelled and config.unlabelled:
        return _every_train_shape(config, store, teacher or {}, config.seed)
    repeats = round(count_shapes(config, store) / len(indices))
    alone = teacher is None or _has_unlabelled(config, store)
    rows = _with_variants(config, store, indices)
    outputs = None if alone else map_outputs(config, store, teacher or {}, rows)
    augmentation = _augmentation(config, store, config.seed)
    return _dataset(config, store, indices, outputs, augmentation=augmentation, repeats=repeats)


def unlabelled_dataset(
    config: TrainConfig, store: Store, teacher: dict[str, Any] | None
) -> TrainShapes | None:
    """All train shapes without their labels, for the objectives, where only some labels are known.

    Those of the stores of unlabelled shapes are among them.

    None for a baseline, and where all labels are known. A model that takes the class of a shape is
    told it for these too.
    """
    if teacher is None or not _has_unlabelled(config, store):
        return None
    # Other draws than for the same shapes with labels; twice, so that it lasts for an epoch.
    return _every_train_shape(config, store, teacher, config.seed + _OTHER_SEED, repeats=2)


def _every_train_shape(
    config: TrainConfig, store: Store, teacher: dict[str, Any], seed: int, repeats: int = 1
) -> TrainShapes:
    """Every train shape of the store and of those of unlabelled shapes, without labels."""
    members = []
    for number, one in enumerate([store, *open_unlabelled(config, store)]):
        indices = _outside_test(one) if number else store.indices("train")
        rows = _with_variants(config, one, indices)
        outputs = (
            _outputs_for(config, store, teacher, one, rows)
            if number
            else map_outputs(config, store, teacher, rows)
        )
        augmentation = _augmentation(config, one, seed + number)
        options: dict[str, Any] = {"augmentation": augmentation, "repeats": repeats}
        # A model that is told the class is told it here too; parts are not read.
        told = config.described_task.takes_class
        members.append(
            _dataset(config, one, indices, outputs, labelled=told, parts=False, **options)
        )
    return JoinedDataset(members) if len(members) > 1 else members[0]


def describe_unlabelled(config: TrainConfig, store: Store, teacher: dict[str, Any] | None) -> None:
    """Let a run's teacher answer for the stores of unlabelled shapes, where it has not yet."""
    if teacher is not None:
        for other in open_unlabelled(config, store):
            describe_store(store, teacher, other, pick_device(config.device))


def _outputs_for(
    config: TrainConfig, store: Store, teacher: dict[str, Any], other: Store, indices: Indices
) -> dict[str, Targets]:
    """The teacher's outputs that the objectives read, for shapes of another store."""
    folders = describe_store(store, teacher, other, pick_device(config.device))
    return {name: StoredRows(other, folders[name], indices) for name in config.teacher_outputs}


def _has_unlabelled(config: TrainConfig, store: Store) -> bool:
    task, known = config.described_task, labelled_train(store, config.label_fraction, config.seed)
    every = len(known) == len(store.indices("train")) and not config.unlabelled
    return task.labelled and not every


def _with_variants(config: TrainConfig, store: Store, indices: Indices) -> Indices:
    return store.with_variants(indices) if config.variants else indices


def _augmentation(config: TrainConfig, store: Store, seed: int) -> Augmentation:
    return Augmentation(
        seed,
        config.scale,
        config.shift,
        config.resample,
        config.rotation,
        up=store.up,
        variants=config.variants,
        own=None if config.augment is None else NamedAugmentation(config.augment),
        one_view=config.one_view,
    )


def validation_loader(
    config: TrainConfig,
    store: Store,
    teacher: dict[str, Any] | None,
    device: torch.device | None = None,
) -> DataLoader[Batch] | None:
    """Batches of the validation split in order; None where there is none.

    The shapes stay on a device, where one is given and has room for them.
    """
    indices = store.indices("val")
    if not len(indices):
        return None
    # Without labels there is only the teacher to agree with.
    alone = config.described_task.labelled or teacher is None
    outputs = None if alone else map_outputs(config, store, teacher or {}, indices)
    shapes = _dataset(config, store, indices, outputs)
    return evaluation_loader(
        shapes if device is None else resident(shapes, device, for_evaluation=True)
    )


def map_outputs(
    config: TrainConfig, store: Store, teacher: dict[str, Any], indices: Indices
) -> dict[str, Targets]:
    """The teacher's outputs that the run's objectives read, by name, read when asked for.

    Raises:
        StoreError: when the teacher has no such output.
    """
    return {name: map_output(store, teacher, name, indices) for name in config.teacher_outputs}


def _dataset(
    config: TrainConfig,
    store: Store,
    indices: Indices,
    outputs: dict[str, Targets] | None,
    *,
    labelled: bool | None = None,
    parts: bool | None = None,
    **options: Any,
) -> ShapeDataset:
    task = config.described_task
    labelled = task.labelled if labelled is None else labelled
    parts = labelled and task.dense if parts is None else parts
    return ShapeDataset(
        store,
        indices,
        config.points,
        outputs,
        config.visibility,
        config.pairing,
        parts=parts,
        labelled=labelled,
        features=config.features,
        **options,
    )
