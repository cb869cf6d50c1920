"""Train a teacher on a store's train split and export its outputs into the store."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pointmcd
from pointmcd.checkpoint import save_checkpoint, weights_digest
from pointmcd.data.label_file import copy_labels
from pointmcd.data.labels import LABELS
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.encoders.custom import MODULE_PREFIX
from pointmcd.encoders.image_encoder import ImageEncoder, split_names
from pointmcd.errors import OtherSettingsError, StoreError
from pointmcd.files import read_json, remove, remove_stale, replacing, take_lock, write_json
from pointmcd.progress import note
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.describe import described
from pointmcd.teachers.features import features_folder, save_array
from pointmcd.teachers.lesson import LESSONS, Lesson
from pointmcd.teachers.settings import (
    ENCODER_WEIGHTS,
    check_config,
    command_of,
    decisive_settings,
    lesson_settings,
    teacher_name,
)
from pointmcd.teachers.stored import (
    TEACHER_FORMAT,
    output_places,
    teacher_folder,
    work_file,
)


def teach(config: TeachConfig) -> Path:
    """Train and export a teacher; finished work is kept, interrupted work continues.

    Where another process makes the same teacher, this one waits for it.

    Returns:
        the teacher's folder in the store; its teacher.json has the scores on the validation split.

    Raises:
        StoreError: when the store has no labels of the lesson, too few shapes, or a teacher of that
            name with other settings.
        ConfigError: when there is no such lesson or encoder, or a setting cannot be used.
    """
    kind = LESSONS.get(config.task)
    check_config(kind, config)
    store = Store(config.store, config.labels)
    name = teacher_name(kind, config)
    folder = teacher_folder(store, name)
    if not _is_done(folder, store, kind, config):
        waits = partial(note, f"{folder}: another process makes this teacher; waiting for its end")
        with take_lock(folder.with_name(f".{name}.lock"), waits):
            if not _is_done(folder, store, kind, config):  # by the process that was waited for
                _make(folder, store, kind, config)
    remove(work_file(store, name))  # also what a kill just after the export left
    return folder


def _make(folder: Path, store: Store, kind: type[Lesson], config: TeachConfig) -> None:
    encoder = ImageEncoder(config.teacher, config.seed, config.weights)
    members, seed = encoder.members, config.seed
    features = [features_folder(store, one.name, one.weights, seed) for one in members]
    for place in (folder.parent, *features):
        remove_stale(place)
    device = pick_device("cpu" if config.runtime == "onnx" else config.device)
    lesson = kind(store, config, device, encoder)
    if (found := len(lesson.train)) < 2:
        raise StoreError(f"{store.path}: {found} train shapes; a teacher needs at least two")
    lesson.prepare()
    lesson.fit()
    export_teacher(lesson, lesson.scores(), folder)


def _is_done(folder: Path, store: Store, kind: type[Lesson], config: TeachConfig) -> bool:
    if not (folder / "teacher.json").exists() or config.overwrite:
        return False
    made = read_json(folder / "teacher.json")
    if made.get("format") != TEACHER_FORMAT:  # refused everywhere else: made anew here
        return False
    settings = dict(made["settings"])
    weights = settings.pop(ENCODER_WEIGHTS, "")
    same = settings == decisive_settings(kind, config)
    same = same and made["store_fingerprint"] == store.fingerprint
    if not same or _has_others(config, made, weights):
        raise OtherSettingsError(
            f"{folder}: a teacher of that name was made with other"
            f" {'weights of the encoder' if same else 'settings'}; give --name another name, or"
            " --overwrite"
        )
    places = [folder / place for name in made["outputs"] for place in output_places(made, name)]
    # Deleted? Make them again.
    return all((path / f"{shard}.npy").exists() for path in places for shard in store.shards)


def _has_others(config: TeachConfig, made: dict[str, Any], weights: str) -> bool:
    """Return whether a finished teacher was made with other weights of the encoder.

    Weights of timm's own are trusted by their name: a comparison would have to load them.
    """
    by_name = not any(one.startswith(MODULE_PREFIX) for one in split_names(config.teacher))
    if by_name and config.weights is None and not made.get("weights_file"):
        return False
    return ImageEncoder(config.teacher, config.seed, config.weights).weights != weights


def export_teacher(lesson: Lesson, scores: dict[str, Any], folder: Path) -> None:
    """Write the teacher, its outputs for every shape and variant, and teacher.json."""
    teacher = lesson.teacher.eval()
    with replacing(folder) as temporary:
        temporary.mkdir()
        save_checkpoint(temporary / "teacher.safetensors", teacher.state_dict(), {})
        if lesson.config.labels is not None:
            copy_labels(lesson.config.labels, temporary / LABELS)
        sizes: dict[str, int] = {}
        outputs: dict[str, Any] = {
            name: [Path(os.path.relpath(path, folder)).as_posix() for path in paths]
            for name, paths in lesson.cached.items()
        }
        for shard, found in described(lesson):
            for name, tensor in found.items():
                save_array(temporary / name / f"{shard}.npy", tensor.cpu().numpy())
                outputs[name], sizes[name] = name, tensor.shape[-1]
        size = sizes["descriptors"]
        stated = _describe(lesson) | {"descriptor_size": size, "outputs": outputs}
        write_json(temporary / "teacher.json", stated | scores)


def _describe(lesson: Lesson) -> dict[str, Any]:
    store, config, settings = lesson.store, lesson.config, lesson_settings(lesson)
    learnt = json.dumps([store.fingerprint, settings]).encode()
    return {
        "format": TEACHER_FORMAT,
        "pointmcd": pointmcd.__version__,
        "name": settings["name"],
        "task": config.task,
        "label_free": lesson.label_free,
        "command": command_of(lesson),
        "settings": settings,
        **lesson.schedule,
        "weights_file": str(config.weights.resolve()) if config.weights else None,
        "licence": lesson.encoder.licence,
        "store_fingerprint": store.fingerprint,
        "fingerprint": weights_digest(lesson.teacher.state_dict(), learnt),
        "classes": store.classes,
        "shapes": len(store.shapes),
        "val_shapes": len(store.indices("val")),
    }
