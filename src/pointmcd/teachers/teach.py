"""Train a teacher on a store's train part and export what it says into the store."""

from pathlib import Path
from typing import Any

from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.encoders.custom import MODULE_PREFIX
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import StoreError
from pointmcd.files import read_json, remove, remove_stale
from pointmcd.teachers.autoencoder import AutoencoderLesson
from pointmcd.teachers.classification import ClassificationLesson
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.export import export_teacher
from pointmcd.teachers.features import features_folder
from pointmcd.teachers.fit import fit
from pointmcd.teachers.frozen_features import FeaturesLesson
from pointmcd.teachers.lesson import ENCODER_WEIGHTS, Lesson, work_file
from pointmcd.teachers.segmentation import SegmentationLesson
from pointmcd.teachers.stored import TEACHER_FORMAT, teacher_folder

LESSONS: dict[str, type[Lesson]] = {
    "classification": ClassificationLesson,
    "segmentation": SegmentationLesson,
    "features": FeaturesLesson,
    "autoencoder": AutoencoderLesson,
}


def teach(config: TeachConfig) -> Path:
    """Train and export a teacher; finished work is kept, interrupted work goes on.

    Returns:
        the teacher's folder in the store; its teacher.json says the validation accuracy, for
        segmentation the pixel mIoU, for an autoencoder the L1 distance of the pixels.

    Raises:
        StoreError: when the store has no labels of the task, too few shapes, or a teacher of that
            name with other settings.
        ConfigError: when there is no such encoder, or a setting cannot be used.
    """
    config.check()
    store = Store(config.store)
    folder = teacher_folder(store, config.resolved_name)
    if _is_done(folder, store, config):
        remove(work_file(store, config))  # a kill just after the export leaves it
        return folder
    encoder = ImageEncoder(config.teacher, config.seed, config.weights)
    for place in (folder.parent, features_folder(store, config.teacher, encoder.weights)):
        remove_stale(place)
    device = pick_device("cpu" if config.runtime == "onnx" else config.device)
    lesson = LESSONS[config.task](store, config, device, encoder)
    lesson.prepare()
    fit(lesson)
    export_teacher(lesson, lesson.scores())
    remove(lesson.work_file)
    return folder


def _is_done(folder: Path, store: Store, config: TeachConfig) -> bool:
    if not (folder / "teacher.json").exists() or config.overwrite:
        return False
    made = read_json(folder / "teacher.json")
    if made.get("format") != TEACHER_FORMAT:
        return False
    settings = dict(made["settings"])
    weights = settings.pop(ENCODER_WEIGHTS, "")
    same = settings == config.decisive() and made["store_fingerprint"] == store.fingerprint
    if not same or _has_others(config, made, weights):
        raise StoreError(
            f"{folder}: a teacher of that name was made with other"
            f" {'weights of the encoder' if same else 'settings'}; give --name another name, or"
            " --overwrite"
        )
    folders = [folder / place for place in made["outputs"].values()]  # deleted? students want them
    return all((path / f"{shard}.npy").exists() for path in folders for shard in store.shards)


def _has_others(config: TeachConfig, made: dict[str, Any], weights: str) -> bool:
    """Whether the encoder's weights are now others than those that made a finished teacher.

    Weights of timm's own are trusted by their name: to look they would have to be at hand.
    """
    by_name = not config.teacher.startswith(MODULE_PREFIX)
    if by_name and config.weights is None and not made.get("weights_file"):
        return False
    return ImageEncoder(config.teacher, config.seed, config.weights).weights != weights
