"""Predict on mesh and point cloud files, from points alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.data.shape_names import composed
from pointmcd.datasets.layout import SPLITS
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, ShapeError
from pointmcd.inference.files import find_files
from pointmcd.inference.predictor import open_predictor, told_class, too_few
from pointmcd.inference.teacher import open_teacher, predict_by_views, refuse_run_options
from pointmcd.options import Axis
from pointmcd.shapes.axes import axis_of_files
from pointmcd.shapes.clouds import read_cloud
from pointmcd.shapes.sampling import Surface
from pointmcd.tasks.task import InputFile, Labels, Prediction, Task
from pointmcd.teachers.stored import is_teacher
from pointmcd.typing import Reals


def predict(
    run: str | Path,
    files: str | Path | Reals | Sequence[str | Path] | Sequence[Reals],
    label: str | None = None,
    out: str | Path | None = None,
    checkpoint: str = "last",
    device: str = "auto",
    columns: str | None = None,
    up: Axis | None = None,
) -> list[Prediction]:
    """Predict on files; a bad file is reported and does not stop the rest.

    As many points as the run was trained with are taken from each file (on the surface of a mesh,
    in the unit sphere), with the features that it takes, which a cloud must then have. Confidences
    are calibrated on the shapes that training held out, where there were enough (calibration.json).
    Of a run, a class says whether the shape is `unlike` all those whose labels it knew.
    A teacher (STORE/teachers/NAME) sees the file as its store was rendered; one of parts labels the
    points by what it says of the pixels that show them.

    Args:
        run: the folder of a run, or of a teacher that does a task itself; or exported weights: a
            folder, a name of `list_pretrained`, or `hf-hub:OWNER/NAME`.
        files: any mesh or point cloud files, or one; of folders, all in them. Of a run, in their
            place, clouds as arrays, or one, as `Predictor.predict` takes them: for many calls load
            the run once, by `open_predictor`.
        label: for a model that is given the class of a shape, as in part segmentation: that of all
            files. By default the folder that a file lies in names it, as `prepare` reads folders:
            CLASS/NAME or CLASS/{train,test}/NAME. A run with a single class needs neither.
        out: folder for what the task writes (segmentation: NAME-parts.ply, NAME-parts.png, and
            NAME-parts.seg, the part of each face of a mesh or point of a cloud); by default nothing
            is written. An input file is never written over.
        checkpoint: "last", whose accuracy `evaluate` and `compare` say first, or "best" (on the
            validation split, if that was not fitted).
        device: cpu, cuda, mps or auto.
        columns: which columns of text tables and arrays are x, y and z, like "2,3,4" (counted from
            1) or "east,north,up"; by default their names or places tell.
        up: the axis that points up in the files; by default that of the shapes which the model
            learnt from, to which others are turned.

    Returns:
        For each file, in order, what the task says: a `ClassPrediction`, a `PartPrediction`, or a
        task's own.

    Raises:
        RunError: when the run or its checkpoint cannot be used, or it was trained without labels.
        StoreError: when a teacher does not match its store, or is no longer in it.
        ConfigError: when `label` is not a class of the run, or its model takes none; of a teacher,
            when it learnt no classes, or a run's option is given; of arrays, with `out` or
            `columns`.
        ShapeError: when a folder holds neither meshes nor clouds.
        PointMCDError: when `out` cannot be written to.
    """
    some: list[Any] = (
        [files] if isinstance(files, str | Path) or hasattr(files, "__array__") else list(files)
    )
    if some and hasattr(some[0], "__array__"):
        if out is not None or columns is not None:
            raise ConfigError("out and columns are for files; leave them out with arrays")
        opened = open_predictor(run, checkpoint, device)
        return [opened.predict(np.asarray(cloud), label, up) for cloud in some]
    paths = [Path(file) for file in some]
    every = [one for file in paths for one in (find_files([file])[0] if file.is_dir() else [file])]
    return list(predictions(run, every, label, out, checkpoint, device, columns, up))


def predictions(
    run: str | Path,
    files: Sequence[str | Path],
    label: str | None = None,
    out: str | Path | None = None,
    checkpoint: str = "last",
    device: str = "auto",
    columns: str | None = None,
    up: Axis | None = None,
) -> Iterator[Prediction]:
    """Yield what `predict` returns, as soon as each file is read."""
    paths, where = [Path(file) for file in files], pick_device(device)
    if is_teacher(Path(run)):
        refuse_run_options(checkpoint)
        teacher = open_teacher(Path(run), where)
        class_of = _class_reader(str(run), teacher.task, teacher.labels, label)
        targeted = _with_targets(paths, out, teacher.task)
        yield from predict_by_views(teacher, targeted, class_of, columns, up)
        return
    used = open_predictor(run, checkpoint, where)
    theirs, task = axis_of_files(up, used.up, used.name), used.task
    class_of = _class_reader(used.name, task, used.labels, label)
    for path, targets in _with_targets(paths, out, task):
        try:
            known = class_of(path)
            notes: list[str] = []
            cloud, whole = read_cloud(path, used.points, 0, columns, notes, used.features)
            if not isinstance(whole, Surface):
                notes += too_few(cloud)
            file = InputFile(path, cloud, known, targets, up=theirs, whole=whole)
        except ShapeError as error:
            yield task.prediction(path, fault=str(error))
            continue
        found = used.answer(file)
        yield replace(found, read="; ".join([*_mesh_notes(file), *notes]))


def _mesh_notes(file: InputFile) -> Iterator[str]:
    """Say that a mesh was read, and why what is told of each face is not written."""
    if isinstance(file.whole, Surface):
        yield "mesh"
        if file.targets and file.whole.mesh.origin is None:
            yield "no .seg: its order of faces is unknown"


def _class_reader(
    name: str, task: Task, known: Labels, label: str | None
) -> Callable[[Path], str | None]:
    """A function that returns the class of a file; None for a task that is given none."""
    told = told_class(name, task, known, label)
    if told is None and task.takes_class:
        return partial(class_by_folder, known.known)
    return lambda path: told


def _with_targets(
    paths: Sequence[Path], out: str | Path | None, task: Task
) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Each file with the paths of what the task writes for it, where it writes at all."""
    written = task.written if out else ()
    return zip(paths, output_paths(paths, Path(out or "."), written), strict=True)


def class_by_folder(classes: Sequence[str], path: Path) -> str:
    """Read the class from the folders of a file, as `prepare` does."""
    folder, known = path.absolute().parent, {composed(label): label for label in classes}
    if composed(folder.name) not in known and folder.name.lower() in SPLITS:
        folder = folder.parent
    if composed(folder.name) not in known:
        raise ShapeError(
            f"{path}: the model needs the class; give --label, or put the file in a folder named"
            f" after its class: {', '.join(classes)}"
        )
    return known[composed(folder.name)]


def output_paths(
    files: Sequence[Path], out: Path, endings: Sequence[str]
) -> list[tuple[Path, ...]]:
    """Name what is written for each file: `chair-parts.ply`, and next `chair-parts-2.ply`.

    No two paths are the same, nor is one of them one of the files, on a disk that does not tell
    upper from lower case either.

    Args:
        files: what is predicted on.
        out: the folder.
        endings: of the files that are written for each, like `-parts.ply`.

    Returns:
        For each file one path for each ending.
    """
    taken = {_place(file) for file in files}
    found = []
    for file in files:
        for number in count(1):
            paths = tuple(out / _numbered(file.stem + ending, number) for ending in endings)
            places = {_place(path) for path in paths}
            if not places & taken:
                break
        taken |= places
        found.append(paths)
    return found


def _numbered(name: str, number: int) -> str:
    stem, dot, suffix = name.rpartition(".")
    return name if number == 1 else f"{stem}-{number}{dot}{suffix}"


def _place(file: Path) -> str:
    return str(file.resolve()).casefold()
