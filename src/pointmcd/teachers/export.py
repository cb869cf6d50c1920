"""What a frozen teacher says of every shape, kept in the store for students."""

import hashlib
import json
import os
from typing import Any

import torch
from torch import nn

import pointmcd
from pointmcd.checkpoint import save_checkpoint
from pointmcd.files import replacing, write_json
from pointmcd.progress import progress_bar
from pointmcd.teachers.config import LABEL_FREE
from pointmcd.teachers.features import save_array
from pointmcd.teachers.lesson import Lesson
from pointmcd.teachers.stored import TEACHER_FORMAT, teacher_folder


@torch.inference_mode()
def export_teacher(lesson: Lesson, scores: dict[str, Any]) -> None:
    """Write the teacher, what it says of every shape (`Lesson.outputs`), and teacher.json."""
    store, config, teacher = lesson.store, lesson.config, lesson.teacher.eval()
    folder = teacher_folder(store, config.resolved_name)
    with replacing(folder) as temporary, progress_bar() as progress:
        temporary.mkdir()
        save_checkpoint(temporary / "teacher.safetensors", teacher.state_dict(), {})
        task = progress.add_task("described", total=len(store.shapes), note="")
        outputs = {kind: os.path.relpath(path, folder) for kind, path in lesson.cached.items()}
        for shard, indices in store.shard_ranges():
            for kind, tensor in lesson.outputs(indices).items():
                save_array(temporary / kind / f"{shard}.npy", tensor.cpu().numpy())
                outputs[kind] = kind
            progress.advance(task, len(indices))
        described = _describe(lesson, teacher) | {"outputs": outputs}
        write_json(temporary / "teacher.json", described | scores)


def _describe(lesson: Lesson, teacher: nn.Module) -> dict[str, Any]:
    store, config = lesson.store, lesson.config
    digest = hashlib.sha256(json.dumps([store.fingerprint, lesson.settings]).encode())
    for name, tensor in sorted(teacher.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return {
        "format": TEACHER_FORMAT,
        "pointmcd": pointmcd.__version__,
        "name": config.resolved_name,
        "task": config.task,
        "label_free": config.task in LABEL_FREE,
        "settings": lesson.settings,
        "weights_file": str(config.weights.resolve()) if config.weights else None,
        "licence": lesson.encoder.licence,
        "store_fingerprint": store.fingerprint,
        "fingerprint": digest.hexdigest()[:16],
        "descriptor_size": lesson.descriptor_size,
        "classes": store.classes,
        "shapes": len(store.shapes),
    }
