"""Train a teacher on a store's train split and export its outputs into the store."""

from pathlib import Path
from typing import Any

from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.encoders.custom import MODULE_PREFIX
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import StoreError
from pointmcd.files import read_json, remove, remove_stale
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.export import export_teacher
from pointmcd.teachers.features import features_folder
from pointmcd.teachers.lesson import LESSONS, Lesson
from pointmcd.teachers.names import teacher_name
from pointmcd.teachers.settings import ENCODER_WEIGHTS, check_config, decisive_settings
from pointmcd.teachers.stored import TEACHER_FORMAT, teacher_folder, work_file


def teach(config: TeachConfig) -> Path:
    """Train and export a teacher; finished work is kept, interrupted work goes on.

    Returns:
        the teacher's folder in the store; its teacher.json has the scores on the validation split.

    Raises:
        StoreError: when the store has no labels of the lesson, too few shapes, or a teacher of that
            name with other settings.
        ConfigError: when there is no such lesson or encoder, or a setting cannot be used.
    """
    kind = LESSONS.get(config.task)
    check_config(kind, config)
    store = Store(config.store)
    name = teacher_name(kind, config)
    folder = teacher_folder(store, name)
    if _is_done(folder, store, kind, config):
        remove(work_file(store, name))  # a kill just after the export leaves it
        return folder
    encoder = ImageEncoder(config.teacher, config.seed, config.weights)
    for place in (folder.parent, features_folder(store, config.teacher, encoder.weights)):
        remove_stale(place)
    device = pick_device("cpu" if config.runtime == "onnx" else config.device)
    lesson = kind(store, config, device, encoder)
    lesson.prepare()
    lesson.fit()
    export_teacher(lesson, lesson.scores())
    remove(work_file(store, name))
    return folder


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
        raise StoreError(
            f"{folder}: a teacher of that name was made with other"
            f" {'weights of the encoder' if same else 'settings'}; give --name another name, or"
            " --overwrite"
        )
    outputs = [folder / place for place in made["outputs"].values()]  # deleted? make them again
    return all((path / f"{shard}.npy").exists() for path in outputs for shard in store.shards)


def _has_others(config: TeachConfig, made: dict[str, Any], weights: str) -> bool:
    """Whether the encoder's weights are now others than those that made a finished teacher.

    Weights of timm's own are trusted by their name: a comparison would have to load them.
    """
    by_name = not config.teacher.startswith(MODULE_PREFIX)
    if by_name and config.weights is None and not made.get("weights_file"):
        return False
    return ImageEncoder(config.teacher, config.seed, config.weights).weights != weights
