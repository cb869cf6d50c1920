"""Teachers of a store: resolve names, read teacher.json, map exported outputs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import read_json
from pointmcd.teachers.config import LABEL_FREE, command_for, default_name, folder_name, split_name
from pointmcd.teachers.features import StoredRows

TEACHER_FORMAT = 2


def teacher_folder(store: Store, name: str) -> Path:
    """Return the folder of a teacher in a store."""
    return store.path / "teachers" / name


def resolve_teacher(store: Store, name: str, lesson: str) -> dict[str, Any]:
    """Return the teacher.json of the teacher that `name` means for a run.

    A teacher of the wanted lesson, or one that read no label, is meant by just its name. A bare
    encoder's name, `lite0`, means what `pointmcd teach --task LESSON` calls by default: for
    segmentation `lite0-segmentation`, and `lite0-finetuned` means `lite0-segmentation-finetuned`.

    Args:
        store: the prepared store.
        name: of a teacher or an encoder, as in names of folders.
        lesson: that the run's task wants.

    Raises:
        StoreError: when that teacher is absent or does not match the store.
    """
    return read_teacher(store, meant_name(store, name, lesson))


def meant_name(store: Store, name: str, lesson: str) -> str:
    """Return the name of the teacher that `name` means; see `resolve_teacher`."""
    made = _stated(store, name)
    if lesson == "classification" or made.get("task", "classification" if made else None) in (
        lesson,
        *LABEL_FREE,
    ):
        return name
    encoder, kind, finetuned = split_name(name)
    if kind in (*LABEL_FREE, "whitened"):
        return name
    if lesson in LABEL_FREE:
        of_encoder = folder_name(str(made["settings"]["teacher"])) if made else encoder
        own_name = kind != "classification" or finetuned or of_encoder != encoder
        return name if own_name else default_name(encoder, lesson, False)
    return default_name(encoder, lesson, finetuned)


def _stated(store: Store, name: str) -> dict[str, Any]:
    """The teacher.json of that name as it stands, empty where there is none."""
    file = teacher_folder(store, name) / "teacher.json"
    return dict(read_json(file)) if file.exists() else {}


def read_teacher(store: Store, name: str) -> dict[str, Any]:
    """Return the teacher.json of a finished teacher of this very store.

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
    return meta | {"name": name}  # a copy under another name is known by that


def _command(meta: dict[str, Any]) -> str:
    """Options of `pointmcd teach` that make the teacher of a teacher.json."""
    settings, weights = meta["settings"], meta.get("weights_file")
    kind = "whitened" if settings.get("whiten") else settings.get("task", "classification")
    finetune = bool(settings.get("finetune"))
    made = default_name(settings["teacher"], kind, finetune)
    named = "" if settings["name"] == made else f" --name {settings['name']}"
    return command_for(made) + (f" --weights {weights}" if weights else "") + named


def check_label_free(teacher: Mapping[str, Any], option: str, otherwise: str) -> None:
    """Refuse a teacher that learnt from labels where they must not be known.

    Args:
        teacher: its teacher.json.
        option: what asks for it.
        otherwise: what else can be done, to end the message with.

    Raises:
        ConfigError: naming the teacher and what to use.
    """
    if not teacher["label_free"]:
        raise ConfigError(
            f"{option}: teacher {teacher['name']} learnt from all labels; use one without, made by"
            f" pointmcd teach --task features{otherwise}"
        )


def map_output(
    store: Store, teacher: Mapping[str, Any] | str, output: str, indices: npt.NDArray[np.int64]
) -> StoredRows:
    """Map an exported output of a teacher, [n, ...], read when rows of it are asked for.

    Args:
        store: the prepared store.
        teacher: its teacher.json, as `resolve_teacher` returns it, or its name in the store.
        output: one that it has. Every teacher has descriptors [n, V, D]; one of classification
            also logits [n, K], view_logits [n, V, K], shape [n, D] (the shape's descriptor), and,
            where its encoder is frozen, features [n, V, F] (the encoder's own).
        indices: which shapes.

    Raises:
        StoreError: when the teacher is absent, does not match the store, or lacks the output.
    """
    meta = read_teacher(store, teacher) if isinstance(teacher, str) else teacher
    if output not in meta["outputs"]:
        raise StoreError(
            f"teacher {meta['name']}: has no {output}; it has {', '.join(meta['outputs'])}"
        )
    folder = teacher_folder(store, meta["name"]) / meta["outputs"][output]
    return StoredRows(store, Path(os.path.normpath(folder)), indices)
