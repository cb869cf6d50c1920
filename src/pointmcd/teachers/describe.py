"""Load exported descriptors, or compute them for another store."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import StoreError
from pointmcd.files import read_json, write_json
from pointmcd.progress import progress_bar
from pointmcd.teachers.features import gather_rows, save_array
from pointmcd.teachers.lesson import LESSONS, Lesson
from pointmcd.teachers.settings import config_of
from pointmcd.teachers.stored import check_format, teacher_folder
from pointmcd.typing import Floats


def describe_shapes(folder: Path, store: Store, device: torch.device) -> Iterator[Floats]:
    """Yield descriptors float32 [n, V, D] of all shapes of a store, by a teacher of any store.

    They come shard by shard: only what is made of them need be kept. A frozen encoder's features
    are cached in the store that is described.

    Raises:
        StoreError: when the teacher is absent, of another format, or learnt the labels of another
            store.
    """
    file = folder / "teacher.json"
    if not file.exists():
        raise StoreError(f"{folder}: the teacher is no longer there; run pointmcd teach again")
    meta = check_format(read_json(file), folder)
    if meta["store_fingerprint"] == store.fingerprint:
        for _, indices in store.shard_ranges():
            yield gather_rows(store, folder / "descriptors", indices)
        return
    if not meta["label_free"]:
        raise StoreError(
            f"{folder}: learnt the labels of another store than {store.path}, which it cannot"
            " describe"
        )
    lesson = load_lesson(folder, meta, store, device)
    lesson.prepare()
    for _, outputs in described(lesson, variants=False):
        yield outputs["descriptors"].float().cpu().numpy()


def described(lesson: Lesson, variants: bool = True) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the name of each shard, and what a finished teacher says of its shapes."""
    store = lesson.store
    total = len(store.shape_of if variants else store.shapes)
    with progress_bar() as progress:
        task = progress.add_task("describe", total=total, note="")
        for shard, indices in store.shard_ranges(variants):
            with torch.inference_mode():
                outputs = lesson.outputs(indices)
            yield shard, outputs
            progress.advance(task, len(indices))


def describe_store(
    store: Store, teacher: Mapping[str, Any], other: Store, device: torch.device
) -> dict[str, list[Path]]:
    """Return folders with a teacher's outputs for the shapes of another store, by output.

    They are made where they are absent; no label of the other store is read, but its classes by a
    teacher of parts, which is told them.

    Args:
        store: that holds the teacher.
        teacher: its teacher.json.
        other: whose shapes are described.
        device: where.

    Raises:
        StoreError: when the teacher's files are absent or damaged.
    """
    folder = teacher_folder(store, teacher["name"])
    there = folder / "others" / other.own_fingerprint
    if (there / "outputs.json").exists():
        listed = read_json(there / "outputs.json").items()
        made = {name: [Path(place) for place in places] for name, places in listed}
        if all(place.is_dir() for places in made.values() for place in places):
            return made  # else a store has been moved since, or its features were deleted
    reads_parts = LESSONS.get(teacher["task"]).reads_parts
    bare = other.with_classes_of(store) if reads_parts else other.without_labels(store.classes)
    lesson = load_lesson(folder, dict(teacher), bare, device)
    lesson.prepare()
    for shard, outputs in described(lesson):
        for name, tensor in outputs.items():
            save_array(there / name / f"{shard}.npy", tensor.cpu().numpy())
    places = {name: [there / name] for name in outputs}
    places |= {name: list(paths) for name, paths in lesson.cached.items()}
    written = {name: [str(path.resolve()) for path in paths] for name, paths in places.items()}
    write_json(there / "outputs.json", written)
    return places


def load_lesson(folder: Path, meta: dict[str, Any], store: Store, device: torch.device) -> Lesson:
    """Return a finished teacher's lesson, its weights loaded, for a store.

    Raises:
        StoreError: when the encoder's weights have changed since.
    """
    config, weights = config_of(meta, store.path)
    config = replace(config, label_fraction=1.0)  # which drew the shapes that it learnt from
    encoder = ImageEncoder(config.teacher, config.seed, config.weights)
    if encoder.weights != weights and not config.finetune:
        raise StoreError(
            f"{folder}: made with other weights of {config.teacher} than are found now; run"
            " pointmcd teach again"
        )
    lesson = LESSONS.get(config.task)(store, config, device, encoder)
    tensors, _ = load_checkpoint(folder / "teacher.safetensors")
    lesson.load(tensors, str(folder))
    lesson.teacher.eval()
    return lesson
