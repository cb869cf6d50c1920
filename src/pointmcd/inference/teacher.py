"""A teacher as a model: predict on files by their rendered views, and describe it for export."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import pointmcd
from pointmcd.data.store import Store
from pointmcd.datasets.cloud_folder import FileCloud
from pointmcd.datasets.sources import CloudSource, ShapeSource
from pointmcd.datasets.tree import TreeFile
from pointmcd.errors import ConfigError, ShapeError
from pointmcd.options import Axis
from pointmcd.preparation.prepare_shape import PreparedShape, prepare_shape
from pointmcd.shapes.cloud_files import parse_rows
from pointmcd.shapes.clouds import refuse_other_files
from pointmcd.shapes.formats import CLOUD_SUFFIXES
from pointmcd.tasks.task import InputFile, Labels, Prediction, Task, task_of_lesson
from pointmcd.teachers.describe import load_lesson
from pointmcd.teachers.stored import open_teacher_store
from pointmcd.views import splats
from pointmcd.views.render import RENDERER
from pointmcd.views.rig import Rig


@dataclass(frozen=True)
class Teacher:
    """A teacher that does a task itself.

    Attributes:
        folder: of the teacher, in its store.
        store: the store, whose rig rendered what it learnt from.
        meta: its teacher.json.
        task: what it does.
        model: images in 0 to 1, float [B, V, 3, H, W] -> the task's output, such as logits [B, K].
    """

    folder: Path
    store: Store
    meta: dict[str, Any]
    task: Task
    model: nn.Module

    @property
    def labels(self) -> Labels:
        """Names of classes and parts."""
        return Labels(self.store.classes, self.store.parts)

    @property
    def rig(self) -> Rig:
        """The cameras."""
        return Rig.from_json(self.store.rig, "store.json")


def refuse_run_options(checkpoint: str, **options: Any) -> None:
    """Refuse options that a teacher has no use for, where they are set.

    Raises:
        ConfigError: naming the first.
    """
    given = options | ({} if checkpoint == "last" else {"checkpoint": checkpoint})
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"--{name} {value}: is for runs; leave it out with a teacher")


def open_teacher(folder: Path, device: torch.device) -> Teacher:
    """Load the teacher at STORE/teachers/NAME.

    Raises:
        StoreError: when it lies outside its store, or does not match it.
        ConfigError: when it does no task, as one that learnt without labels, or its image encoder
            cannot be had.
    """
    store, meta = open_teacher_store(folder)
    task = task_of_lesson(meta["task"])
    if task is None:
        raise ConfigError(
            f"{folder}: a teacher of --task {meta['task']} names no classes; use one that learnt"
            " them, such as of pointmcd teach --task classification"
        )
    model = load_lesson(folder, meta, store, device).image_model().to(device).eval()
    return Teacher(folder, store, meta, task, model)


def predict_by_views(
    folder: Path,
    files: Sequence[Path],
    device: torch.device,
    columns: str | None = None,
    up: Axis | None = None,
) -> Iterator[Prediction]:
    """Render files as the teacher's store was rendered, and let the teacher predict.

    A mesh is ray-cast and a cloud splatted, as `prepare` does it. `columns` and `up` are
    those of `predict`.

    Raises:
        StoreError, ConfigError: as `open_teacher`.
    """
    teacher = open_teacher(folder, device)
    rig = replace(teacher.rig, up=up or teacher.rig.up)
    for path in files:
        try:
            source = _source(path, columns)
            count, seed = teacher.store.num_points, int(teacher.store.meta["seed"])
            shape = prepare_shape(source, count, rig, seed)
        except ShapeError as error:
            yield teacher.task.prediction(path, fault=str(error))
            continue
        views = torch.from_numpy(shape.views)
        with torch.inference_mode():
            output = teacher.model(as_images(views[None]).to(device))[0].float().cpu()
        found = teacher.task.predict(
            output, InputFile(path, shape.points, up=rig.up), teacher.labels
        )
        yield replace(found, read=_read_as(source, shape, teacher.store), up=rig.up)


def as_images(views: Tensor) -> Tensor:
    """Grey views, uint8 [B, V, S, S] -> images in 0 to 1, float [B, V, 3, S, S]."""
    return views[:, :, None].expand(-1, -1, 3, -1, -1).float() / 255


def _source(path: Path, columns: str | None) -> ShapeSource:
    """A file as a shape to prepare, without a class."""
    refuse_other_files(path)
    file = TreeFile(path.absolute(), str(path))
    if file.suffix == "ply" and parse_rows(file.read(), "ply", file.name) is None:
        return ShapeSource(path.stem, None, None, file)  # it has faces
    if file.suffix in CLOUD_SUFFIXES:
        return FileCloud(path.stem, None, None, file, columns=columns)
    return ShapeSource(path.stem, None, None, file)


def _read_as(source: ShapeSource, shape: PreparedShape, store: Store) -> str:
    """Describe how the file was read, and whether the teacher was trained on other renderings."""
    is_cloud = isinstance(source, CloudSource)
    used = splats.RENDERER if is_cloud else RENDERER
    read = [f"{shape.read:,} points", *shape.notes] if is_cloud else ["mesh"]
    if used not in store.renderers:
        known, here = ("meshes", "splats") if is_cloud else ("splats", "a rendered mesh")
        read.append(f"seen as {here}; the teacher learnt from {known}")
    return "; ".join(read)


def about_teacher(teacher: Teacher) -> dict[str, Any]:
    """Return what is said of an exported teacher: JSON values by name."""
    meta, rig = teacher.meta, teacher.rig
    return {
        "pointmcd": pointmcd.__version__,
        "task": teacher.task.name,
        "lesson": meta["task"],
        "teacher": meta["name"],
        "encoder": meta["settings"]["teacher"],
        **teacher.task.described_labels(teacher.labels),
        "preprocessing": {
            "images": f"views in 0 to 1, {rig.size} x {rig.size}, red, green and blue alike",
            "rig": rig.to_json(),
            "renderer": teacher.store.meta["renderer"],
        },
        **{key: meta[key] for key in ("settings", "licence", "store_fingerprint", "fingerprint")},
    }
