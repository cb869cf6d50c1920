"""A teacher as a model: predict on files by their rendered views, and describe it for export."""

from collections.abc import Callable, Iterable, Iterator
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
from pointmcd.progress import note
from pointmcd.shapes.cloud_files import parse_rows
from pointmcd.shapes.clouds import refuse_other_files
from pointmcd.shapes.formats import CLOUD_SUFFIXES
from pointmcd.tasks.task import InputFile, Labels, Prediction, Task, task_of_teacher
from pointmcd.teachers.describe import load_lesson
from pointmcd.teachers.lesson import Lesson
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
        lesson: that it learnt, with its weights.
    """

    folder: Path
    store: Store
    meta: dict[str, Any]
    task: Task
    lesson: Lesson

    @property
    def model(self) -> nn.Module:
        """Images in 0 to 1, float [B, V, 3, H, W], and class ids [B] where the task takes them.

        It returns what the lesson's `image_model` does, such as logits [B, K].

        Raises:
            ConfigError: when the lesson has none.
        """
        return self.lesson.image_model().to(self.lesson.device).eval()

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
    task = task_of_teacher(folder, meta["task"])
    return Teacher(folder, store, meta, task, load_lesson(folder, meta, store, device))


def predict_by_views(
    teacher: Teacher,
    files: Iterable[tuple[Path, tuple[Path, ...]]],
    class_of: Callable[[Path], str | None],
    columns: str | None = None,
    up: Axis | None = None,
) -> Iterator[Prediction]:
    """Render files as the teacher's store was rendered, and let the teacher predict.

    A mesh is ray-cast and a cloud splatted, as `prepare` does it.

    Args:
        teacher: the teacher.
        files: each with the paths of what the task writes for it, or none.
        class_of: returns the class of a file, where the task is given it; may raise ShapeError.
        columns: those of `predict`.
        up: that of `predict`.
    """
    task, known = teacher.task, teacher.labels
    rig = replace(teacher.rig, up=up or teacher.rig.up)
    for path, targets in files:
        try:
            label = class_of(path)
            source = _source(path, columns)
            shape = _prepared(source, teacher.store, rig)
        except ShapeError as error:
            yield task.prediction(path, fault=str(error))
            continue
        file = InputFile(path, shape.points, label, targets, up=rig.up, whole=shape.surface)
        with torch.inference_mode():
            answer = teacher.lesson.answer(shape, rig, known.class_id(label))
        found = task.predict(task.teacher_output(answer, file, known), file, known)
        yield replace(found, read=_read_as(source, shape, teacher.store), up=rig.up)


def describe_file(
    folder: Path,
    path: Path,
    device: torch.device,
    columns: str | None = None,
    up: Axis | None = None,
) -> Tensor:
    """Return a teacher's descriptors [V, D] of a file, rendered as its store was, on the CPU.

    Args:
        folder: of the teacher, in its store; it need not do a task.
        path: a mesh or a point cloud.
        device: where.
        columns: those of `predict`.
        up: that of `predict`.

    Raises:
        ShapeError: when the file cannot be read.
        StoreError: when the teacher lies outside its store, or does not match it.
        ConfigError: when its lesson describes no files.
    """
    store, meta = open_teacher_store(folder)
    source, rig = _source(path, columns), Rig.from_json(store.rig, "store.json")
    shape = _prepared(source, store, replace(rig, up=up or rig.up))
    for text in (*shape.notes, *_seen_otherwise(source, store)):
        note(f"{path}: {text}")
    lesson = load_lesson(folder, meta, store, device)
    with torch.inference_mode():
        return lesson.describe(torch.from_numpy(shape.views)).float().cpu()


def _prepared(source: ShapeSource, store: Store, rig: Rig) -> PreparedShape:
    """Make of a file what a store holds of its shapes."""
    return prepare_shape(source, store.num_points, rig, int(store.meta["seed"]))


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
    read = f"{shape.read:,} points" if isinstance(source, CloudSource) else "mesh"
    return "; ".join([read, *shape.notes, *_seen_otherwise(source, store)])


def _seen_otherwise(source: ShapeSource, store: Store) -> Iterator[str]:
    """Say that no shape of the store was rendered as this one is."""
    is_cloud = isinstance(source, CloudSource)
    if (splats.RENDERER if is_cloud else RENDERER) not in store.renderers:
        known, here = ("meshes", "splats") if is_cloud else ("splats", "a rendered mesh")
        yield f"seen as {here}; the teacher learnt from {known}"


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
