"""Train a teacher on a store's train part and export what it says into the store."""

from pathlib import Path

from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import StoreError
from pointmcd.files import read_json, remove, remove_stale
from pointmcd.teachers.autoencoder import AutoencoderLesson
from pointmcd.teachers.classification import ClassificationLesson
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.encoders import ImageEncoder
from pointmcd.teachers.export import export_teacher, teacher_folder
from pointmcd.teachers.features import features_folder
from pointmcd.teachers.fit import fit
from pointmcd.teachers.frozen_features import FeaturesLesson
from pointmcd.teachers.lesson import Lesson, work_file
from pointmcd.teachers.segmentation import SegmentationLesson

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
    for place in (folder.parent, features_folder(store, config.teacher)):
        remove_stale(place)
    encoder = ImageEncoder(config.teacher, config.seed)
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
    if made["settings"] != config.decisive() or made["store_fingerprint"] != store.fingerprint:
        raise StoreError(
            f"{folder}: a teacher of that name was made with other settings; give --name another"
            " name, or --overwrite"
        )
    if config.finetune or config.task != "classification":
        return True
    cache = features_folder(store, config.teacher)  # deleted to save space? students may want it
    return all((cache / f"{shard}.npy").exists() for shard in store.shards)
