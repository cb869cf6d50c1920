"""Export a frozen teacher's outputs for every shape of the store."""

import hashlib
import json
import os
from typing import Any

import torch

import pointmcd
from pointmcd.checkpoint import save_checkpoint
from pointmcd.data.store import map_array
from pointmcd.files import replacing, write_json
from pointmcd.progress import progress_bar
from pointmcd.teachers.features import save_array
from pointmcd.teachers.lesson import Lesson
from pointmcd.teachers.names import command_of, teacher_name
from pointmcd.teachers.settings import lesson_settings
from pointmcd.teachers.stored import TEACHER_FORMAT, teacher_folder


@torch.inference_mode()
def export_teacher(lesson: Lesson, scores: dict[str, Any]) -> None:
    """Write the teacher, its outputs for every shape (`Lesson.outputs`), and teacher.json."""
    store, teacher = lesson.store, lesson.teacher.eval()
    folder = teacher_folder(store, teacher_name(type(lesson), lesson.config))
    with replacing(folder) as temporary, progress_bar() as progress:
        temporary.mkdir()
        save_checkpoint(temporary / "teacher.safetensors", teacher.state_dict(), {})
        task = progress.add_task("described", total=len(store.shapes), note="")
        outputs = {name: os.path.relpath(path, folder) for name, path in lesson.cached.items()}
        for shard, indices in store.shard_ranges():
            for name, tensor in lesson.outputs(indices).items():
                save_array(temporary / name / f"{shard}.npy", tensor.cpu().numpy())
                outputs[name] = name
            progress.advance(task, len(indices))
        size = map_array(temporary / "descriptors" / f"{store.shards[0]}.npy").shape[-1]
        stated = _describe(lesson) | {"descriptor_size": size, "outputs": outputs}
        write_json(temporary / "teacher.json", stated | scores)


def _describe(lesson: Lesson) -> dict[str, Any]:
    store, config, settings = lesson.store, lesson.config, lesson_settings(lesson)
    digest = hashlib.sha256(json.dumps([store.fingerprint, settings]).encode())
    for name, tensor in sorted(lesson.teacher.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return {
        "format": TEACHER_FORMAT,
        "pointmcd": pointmcd.__version__,
        "name": settings["name"],
        "task": config.task,
        "label_free": lesson.label_free,
        "command": command_of(lesson),
        "settings": settings,
        "weights_file": str(config.weights.resolve()) if config.weights else None,
        "licence": lesson.encoder.licence,
        "store_fingerprint": store.fingerprint,
        "fingerprint": digest.hexdigest()[:16],
        "classes": store.classes,
        "shapes": len(store.shapes),
        "val_shapes": len(store.indices("val")),
    }
