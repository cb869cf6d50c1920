"""What a frozen teacher says of every shape, kept in the store for students."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import pointmcd
from pointmcd.checkpoint import save_checkpoint
from pointmcd.data.store import Store
from pointmcd.errors import StoreError
from pointmcd.files import read_json, replacing, write_json
from pointmcd.progress import progress_bar
from pointmcd.teachers.config import command_for, default_name
from pointmcd.teachers.features import StoredRows, features_folder, save_array
from pointmcd.teachers.lesson import ENCODER_WEIGHTS, Lesson

TEACHER_FORMAT = 1


def teacher_folder(store: Store, name: str) -> Path:
    """Where a teacher stands in a store."""
    return store.path / "teachers" / name


@torch.inference_mode()
def export_teacher(lesson: Lesson, scores: dict[str, Any]) -> None:
    """Write the teacher, what it says of every shape (`Lesson.outputs`), and teacher.json."""
    store, config, teacher = lesson.store, lesson.config, lesson.teacher.eval()
    folder = teacher_folder(store, config.resolved_name)
    with replacing(folder) as temporary, progress_bar() as progress:
        temporary.mkdir()
        save_checkpoint(temporary / "teacher.safetensors", teacher.state_dict(), {})
        task = progress.add_task("described", total=len(store.shapes), note="")
        for shard, indices in store.shard_ranges():
            for kind, tensor in lesson.outputs(indices).items():
                save_array(temporary / kind / f"{shard}.npy", tensor.cpu().numpy())
            progress.advance(task, len(indices))
        described = _describe(lesson, teacher)
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
        "settings": lesson.settings,
        "weights_file": str(config.weights.resolve()) if config.weights else None,
        "licence": lesson.encoder.licence,
        "store_fingerprint": store.fingerprint,
        "fingerprint": digest.hexdigest()[:16],
        "descriptor_size": lesson.descriptor_size,
        "classes": store.classes,
        "shapes": len(store.shapes),
    }


def read_teacher(store: Store, name: str) -> dict[str, Any]:
    """The teacher.json of a finished teacher of this very store.

    Raises:
        StoreError: when it is absent, of another format, or made from another store.
    """
    folder = teacher_folder(store, name)
    if not (folder / "teacher.json").exists():
        made = sorted(p.parent.name for p in folder.parent.glob("*/teacher.json"))
        raise StoreError(
            f"{store.path}: no teacher {name} (there: {', '.join(made) or 'none'}); make it with:"
            f" pointmcd teach {store.path} {command_for(name)}"
        )
    meta: dict[str, Any] = read_json(folder / "teacher.json")
    if meta.get("format") != TEACHER_FORMAT:
        raise StoreError(f"{folder}: teacher format {meta.get('format')}; run pointmcd teach again")
    if meta["store_fingerprint"] != store.fingerprint or meta["shapes"] != len(store.shapes):
        raise StoreError(
            f"{folder}: made from another rig, renderer or set of shapes than the store's; run:"
            f" pointmcd teach {store.path} {_command(meta)} --overwrite"
        )
    return meta


def _command(meta: dict[str, Any]) -> str:
    """Options of `pointmcd teach` that make the teacher of a teacher.json."""
    settings, weights = meta["settings"], meta.get("weights_file")
    kind = "whitened" if settings.get("whiten") else settings.get("task", "classification")
    finetune = bool(settings.get("finetune"))
    made = default_name(settings["teacher"], kind, finetune)
    named = "" if settings["name"] == made else f" --name {settings['name']}"
    return command_for(made) + (f" --weights {weights}" if weights else "") + named


def load_targets(
    store: Store, name: str, kind: str, indices: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """What the student is pulled to, read at once: float32 [n, V, D]; see `map_targets`."""
    return map_targets(store, name, kind, indices)[np.arange(len(indices))]


def map_targets(store: Store, name: str, kind: str, indices: npt.NDArray[np.int64]) -> StoredRows:
    """What the student is pulled to, [n, V, D], read when rows of it are asked for.

    Args:
        store: the prepared store.
        name: the teacher's name in it.
        kind: "descriptors" (the trained heads', D = 512) or "features" (the frozen encoder's own).
        indices: which shapes.

    Raises:
        StoreError: when the teacher is absent or does not match, or has no cached features.
    """
    meta = read_teacher(store, name)
    if kind == "descriptors":
        return StoredRows(store, teacher_folder(store, name) / "descriptors", indices)
    settings = meta["settings"]
    if settings.get("finetune") or "task" in settings:
        kinds = {"segmentation": "one of part segmentation", "features": "one without labels"}
        kinds["autoencoder"] = "an autoencoder"
        kind_of = kinds.get(settings.get("task", ""), "a fine-tuned one")
        raise StoreError(f"teacher {name}: {kind_of} has no plain features; use descriptors")
    cache = features_folder(store, settings["teacher"], settings.get(ENCODER_WEIGHTS, ""))
    return StoredRows(store, cache, indices)
