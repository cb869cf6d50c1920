"""Teachers of a store: resolve names, read teacher.json, map exported outputs."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.labels import LABELS
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import read_json
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.features import StoredRows, folder_name
from pointmcd.teachers.lesson import LESSONS
from pointmcd.teachers.settings import command_for, split_name, teacher_name
from pointmcd.typing import Indices

TEACHER_FORMAT = 3


def teacher_folder(store: Store, name: str) -> Path:
    """Return the folder of a teacher in a store."""
    return store.path / "teachers" / name


def work_file(store: Store, name: str) -> Path:
    """Return the file of a teacher's unfinished work."""
    return store.path / "teachers" / f".{name}.work.safetensors"


def resolve_teacher(
    store: Store,
    name: str,
    lesson: str,
    label_fraction: float = 1.0,
    seed: int = 0,
    labels: Path | None = None,
) -> dict[str, Any]:
    """Return the teacher.json of the teacher that `name` means for a run whose task wants a lesson.

    A bare encoder's name, `lite0`, means the teacher of the wanted lesson by its default name,
    such as `lite0-segmentation`, and `lite0-finetuned` then means `lite0-segmentation-finetuned`.
    A teacher of another name, of that lesson, or without labels is meant by just its name. Where a
    run knows a fraction of the labels, a bare name means the teacher of the same fraction and seed,
    or of the same label file.

    Raises:
        StoreError: when that teacher is absent or does not match the store.
    """
    return read_teacher(store, meant_name(store, name, lesson, label_fraction, seed, labels))


def meant_name(
    store: Store,
    name: str,
    lesson: str,
    label_fraction: float = 1.0,
    seed: int = 0,
    labels: Path | None = None,
) -> str:
    """Return the name of the teacher that `name` means; see `resolve_teacher`."""
    file = teacher_folder(store, name) / "teacher.json"
    made = read_json(file) if file.exists() else {}
    encoder, ending, finetuned = split_name(name)
    bare = not ending and (not made or folder_name(made["settings"]["teacher"]) == encoder)
    if not bare or made.get("label_free"):
        return name
    if made.get("task") == lesson and label_fraction == 1 and labels is None:
        return name
    wanted = LESSONS.get(lesson)
    if finetuned and not wanted.finetunes:
        return name
    fraction = 1.0 if wanted.label_free else label_fraction
    config = TeachConfig(
        store.path,
        encoder,
        task=lesson,
        finetune=finetuned,
        label_fraction=fraction,
        labels=None if wanted.label_free else labels,
        seed=seed,
    )
    return teacher_name(wanted, config)


def read_teacher(store: Store, name: str) -> dict[str, Any]:
    """Return the teacher.json of a finished teacher of this very store.

    Raises:
        StoreError: when it is absent, of another format, or made from another store.
    """
    folder = teacher_folder(store, name)
    if not (folder / "teacher.json").exists():
        made = sorted(p.parent.name for p in folder.parent.glob("*/teacher.json"))
        absent = f"{store.path}: no teacher {name} (there: {', '.join(made) or 'none'})"
        if command := command_for(name, store.label_file):
            raise StoreError(f"{absent}; make it with: pointmcd teach {store.path} {command}")
        near = get_close_matches(name, made, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise StoreError(
            f"{absent}; {hint}pointmcd teachers lists the image encoders that pointmcd teach takes"
        )
    meta = check_format(read_json(folder / "teacher.json"), folder)
    allowed = {store.fingerprint} | ({store.own_fingerprint} if meta["label_free"] else set())
    if meta["store_fingerprint"] not in allowed or meta["shapes"] != len(store.shapes):
        raise StoreError(
            f"{folder}: made from another rig, renderer or set of shapes than the store's; run:"
            f" pointmcd teach {store.path} {meta['command']} --overwrite"
        )
    return meta | {"name": name}  # a copy under another name is known by that


def is_teacher(folder: Path) -> bool:
    """Return whether a folder is a teacher's, and not a run's."""
    return (folder / "teacher.json").is_file()


def open_teacher_store(folder: Path, wanted: Store | None = None) -> tuple[Store, dict[str, Any]]:
    """Return the store of the teacher at STORE/teachers/NAME, with the labels that it learnt from.

    The second value is its teacher.json.

    Raises:
        StoreError: when the teacher lies outside its store, does not match it, or is of other
            shapes than the store that is wanted.
    """
    path = folder.absolute().parents[1]
    if not (path / "store.json").is_file():
        raise StoreError(
            f"{folder}: is no longer in its store, which has the cameras and the classes; put it"
            " into STORE/teachers"
        )
    labels = folder / LABELS
    store = Store(path, labels if labels.is_file() else None)
    if wanted is not None and wanted.own_fingerprint != store.own_fingerprint:
        raise StoreError(
            f"{folder}: is a teacher of another store than {wanted.path}; teach this one, or give a"
            " run or weights, which take any shapes"
        )
    return store, read_teacher(store, folder.absolute().name)


def check_format(teacher: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a teacher.json if this version made it.

    Raises:
        StoreError: when it is of another format.
    """
    found = teacher.get("format")
    if found != TEACHER_FORMAT:
        raise StoreError(f"{folder}: teacher format {found}; run pointmcd teach again")
    return dict(teacher)


def check_labels(teacher: Mapping[str, Any], option: str, label_fraction: float, seed: int) -> None:
    """Refuse a teacher that learnt labels which are not known in a run; `option` says so of it.

    Labels of a fraction and a seed are known; 0: none.

    Raises:
        ConfigError: naming the option, the teacher and what to use.
    """
    settings = teacher["settings"]
    learnt = settings.get("label_fraction", 1.0)
    if teacher["label_free"] or (learnt <= label_fraction and settings["seed"] == seed):
        return
    names = " or ".join(task for task in LESSONS.names() if LESSONS.get(task).label_free)
    same = f"--label-fraction {label_fraction:g} --seed {seed}, or without labels by "
    raise ConfigError(
        f"{option}: teacher {teacher['name']} learnt labels that are left out; make one by"
        f" pointmcd teach {same if label_fraction else ''}--task {names}"
    )


def teacher_weights(store: Store, teacher: Mapping[str, Any], name: str) -> Tensor:
    """Return one tensor of a teacher's weights.

    Raises:
        ConfigError: when it has no such tensor.
    """
    tensors, _ = load_checkpoint(teacher_folder(store, teacher["name"]) / "teacher.safetensors")
    if name not in tensors:
        raise ConfigError(
            f"--objective: teacher {teacher['name']} has no {name}; use one made by pointmcd teach"
            " --task classification"
        )
    return tensors[name]


def map_output(
    store: Store, teacher: Mapping[str, Any] | str, output: str, indices: Indices
) -> StoredRows:
    """Map an exported output of a teacher, [n, ...] of n shapes, read when rows are asked for.

    Every teacher has descriptors [n, V, D]; one of classification also logits [n, K], view_logits
    [n, V, K], shape [n, D] (the shape's descriptor), and, where its encoder is frozen, features
    [n, V, F] (the encoder's own). The teacher is given by its name, or by its teacher.json.

    Raises:
        StoreError: when the teacher is absent, does not match the store, or lacks the output.
    """
    meta = read_teacher(store, teacher) if isinstance(teacher, str) else teacher
    if output not in meta["outputs"]:
        raise StoreError(
            f"teacher {meta['name']}: has no {output}; it has {', '.join(meta['outputs'])}"
        )
    folder = teacher_folder(store, meta["name"])
    places = [Path(os.path.normpath(folder / place)) for place in output_places(meta, output)]
    return StoredRows(store, places, indices)


def output_places(teacher: Mapping[str, Any], output: str) -> list[str]:
    """Return the folders of an output, relative to the teacher's; several are joined."""
    places = teacher["outputs"][output]
    return [places] if isinstance(places, str) else list(places)
