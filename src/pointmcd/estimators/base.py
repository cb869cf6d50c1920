"""The base of the estimators: fitting, and clouds for the fitted model."""

import copy
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from filelock import FileLock
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from torch import nn

from pointmcd import __version__
from pointmcd.device import pick_device
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import ConfigError, OtherSettingsError, ShapeError
from pointmcd.files import replacing
from pointmcd.inference.pretrained import from_pretrained
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.progress import silent
from pointmcd.settings import MOST_SEED
from pointmcd.shapes.clouds import check_finite
from pointmcd.students.registry import create_student
from pointmcd.tasks.task import get_task
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.training.weights import features_of, up_of
from pointmcd.typing import Doubles

Made = TypeVar("Made", bound="PointCloudEstimator")

#: Clouds that a fitted model takes at once.
BATCH = 32


class PointCloudEstimator(BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators: fitting, and the fitted model.

    The parameters are those of `PointCloudClassifier`.
    """

    model_: nn.Module

    def __init__(
        self,
        student: str = "pointnet",
        teacher: str | None = "lite0",
        *,
        points: int = 1024,
        epochs: int = 0,
        batch_size: int = 0,
        objective: str | Sequence[str] = (),
        teacher_epochs: int | None = None,
        up: str | None = None,
        workers: int | None = None,
        device: str = "auto",
        folder: str | Path | None = None,
        store: str | Path | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = True,
    ) -> None:
        self.student, self.teacher, self.points = student, teacher, points
        self.epochs, self.batch_size, self.objective = epochs, batch_size, objective
        self.teacher_epochs = teacher_epochs
        self.up, self.workers, self.device = up, workers, device
        self.folder, self.store = folder, store
        self.random_state, self.verbose = random_state, verbose

    def _fit(self, write: Callable[[Path], Path | None], task: str, **prepared: Any) -> None:
        """Prepare shapes, teach, train, and take the model out of the run.

        Args:
            write: writes the shapes into a folder, and returns a label file or None.
            task: what is learnt.
            prepared: settings of the preparation alone.
        """
        seed = self._seed()
        self._check(task)
        with tempfile.TemporaryDirectory() as temporary, silent(not self.verbose):
            work = Path(self.folder or temporary)
            labels = write(work / "shapes")
            prepared |= {"points": int(self.points), "up": self.up, "seed": seed}
            kept = work if self.store is None else _place(Path(self.store), work, prepared)
            store = kept / "store"
            settings: dict[str, Any] = {"seed": seed, "device": self.device, "labels": labels}
            # Fits at the same time, as of `GridSearchCV(n_jobs=2)`, wait for the first of them.
            with FileLock(kept / ".lock"):
                if not (kept / "shapes").exists():
                    with replacing(kept / "shapes") as copied:
                        shutil.copytree(work / "shapes", copied)
                prepare(
                    PrepareConfig(
                        kept / "shapes",
                        store,
                        workers=self.workers,
                        strict=True,
                        twins="keep",
                        **prepared,
                    )
                )
                if self.teacher is not None:
                    with _in_python():
                        teach(self._lesson(task, store, **settings))
            with _in_python():
                run = train(self._training(task, store, work / "run", **settings))
            # On the CPU: the estimator is to be pickled.
            self.model_ = load_model(Run(run), "last", torch.device("cpu"))

    @classmethod
    def _loaded(cls: type[Made], place: str | Path, device: str) -> tuple[Made, dict[str, Any]]:
        """An estimator with the model of a run or of exported weights, and what is told of it."""
        model = from_pretrained(place).eval()
        about: dict[str, Any] = model.about  # type: ignore[assignment]
        if features := features_of(about):
            raise ConfigError(f"{place}: takes {' and '.join(features)}, which estimators do not")
        up = up_of(about, place)
        made = cls(about["student"], points=about["points"], up=up, device=device)
        made.model_ = model
        return made, about

    def _training(self, task: str, store: Path, run: Path, **settings: Any) -> TrainConfig:
        """The settings of the training."""
        objective = self.objective
        return TrainConfig(
            store,
            run,
            task=task,
            student=self.student,
            teacher=self.teacher,
            points=int(self.points),
            epochs=int(self.epochs),
            batch_size=int(self.batch_size),
            objective=(objective,) if isinstance(objective, str) else tuple(objective),
            **settings,
        )

    def _lesson(self, task: str, store: Path, **settings: Any) -> TeachConfig:
        """The settings of the teacher."""
        epochs = None if self.teacher_epochs is None else int(self.teacher_epochs)
        lesson = get_task(task).lesson
        return TeachConfig(store, str(self.teacher), task=lesson, epochs=epochs, **settings)

    def _check(self, task: str) -> None:
        """Refuse what cannot be meant before hours of work.

        Raises:
            ConfigError: naming the parameter.
        """
        for name in ("points", "epochs", "batch_size", "teacher_epochs"):
            value = getattr(self, name)
            if not (
                isinstance(value, int | np.integer) or (value is None and name == "teacher_epochs")
            ):
                raise ConfigError(f"{name}: is {value!r}; give a whole number")
        if self.teacher_epochs is not None and self.teacher_epochs < 1:
            raise ConfigError(f"teacher_epochs: is {self.teacher_epochs}; must be at least 1")
        if not isinstance(self.objective, str | Sequence):
            raise ConfigError(f"objective: is {self.objective!r}; give a text, or a list of them")
        with _in_python():
            create_student(self.student)
            if self.teacher is not None:
                ImageEncoder(self.teacher)
            pick_device(self.device)
            self._training(task, Path(), Path()).check()

    def _seed(self) -> int:
        """The seed of a fit: `random_state`, or one drawn from it, as in scikit-learn."""
        if isinstance(self.random_state, int | np.integer):
            if not 0 <= self.random_state <= MOST_SEED:
                raise ConfigError(
                    f"random_state: is {self.random_state}; must be from 0 to {MOST_SEED}"
                )
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _moved(self) -> Any:
        """The model on the device; the one that is kept stays on the CPU."""
        device = pick_device(self.device)
        model = self.model_ if device.type == "cpu" else copy.deepcopy(self.model_).to(device)
        return model.eval()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags


@contextmanager
def _in_python() -> Iterator[None]:
    """Let errors name a parameter as Python does: batch_size, not --batch-size."""
    try:
        yield
    except OtherSettingsError as error:  # in a folder that is given
        place = str(error).partition(":")[0]
        raise ConfigError(f"folder: {place} is of another fit; choose another folder") from error
    except ConfigError as error:
        text = re.sub("--([a-z]+(?:-[a-z]+)*)", lambda name: name[1].replace("-", "_"), str(error))
        raise ConfigError(text) from error


def _place(stores: Path, work: Path, prepared: Mapping[str, Any]) -> Path:
    """Return the folder, among those of many fits, of the shapes in a working folder.

    It is named by their content, by what they are prepared with, and by its place: a store that was
    moved is made anew.
    """
    told = [__version__, str(stores.resolve()), prepared]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for file in sorted(path for path in (work / "shapes").rglob("*") if path.is_file()):
        name = file.relative_to(work).as_posix()
        digest.update(f"{name}:{file.stat().st_size}:".encode() + file.read_bytes())
    place = stores / digest.hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    return place


def listed(shapes: Any) -> list[Any]:
    """Return the shapes one by one.

    Raises:
        ShapeError: for a single cloud or path, as scikit-learn refuses a single row.
    """
    if isinstance(shapes, np.ndarray) and shapes.ndim != 3 and shapes.dtype != object:
        if shapes.dtype.kind in "US":
            return list(shapes)
        raise ShapeError(f"X: an array of clouds is [S, N, 3], not {list(shapes.shape)}")
    if isinstance(shapes, str | os.PathLike):
        raise ShapeError("X: is one path; give a list of them")
    return list(shapes)


def listed_labels(y: Any, count: int) -> list[Any]:
    """Return the labels of `count` shapes one by one.

    Raises:
        ConfigError: for no labels, another number of them, or anything but a list of them.
    """
    if y is None:
        raise ConfigError("y: is None; give a label for each shape, None where it is not known")
    unordered = isinstance(y, str | bytes | Mapping | Set) or not isinstance(y, Iterable)
    if unordered or getattr(y, "ndim", 1) != 1:
        shape = f" of shape {list(y.shape)}" if hasattr(y, "shape") else ""
        raise ConfigError(f"y: is a {type(y).__name__}{shape}; give a list of labels [S]")
    if len(labels := list(y)) != count:
        raise ConfigError(f"X has {count} shapes, y {len(labels)} labels")
    return labels


def checked_cloud(shape: Any, place: int) -> Doubles:
    """Return a cloud as float64 [N, 3].

    Raises:
        ShapeError: for anything else, a point that is NaN or infinite, or all at one place.
    """
    try:
        cloud = np.asarray(shape, dtype=np.float64)
    except (TypeError, ValueError) as error:
        kind = type(shape).__name__
        raise ShapeError(f"X[{place}]: is a {kind}; give points [N, 3], or files") from error
    if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
        hint = "; give its coordinates alone, [:, :3]" * (cloud.ndim == 2 and cloud.shape[1] > 3)
        raise ShapeError(f"X[{place}]: a cloud is [N, 3], not {list(cloud.shape)}{hint}")
    cloud = check_finite(cloud, f"X[{place}]")
    if (cloud == cloud[0]).all():
        raise ShapeError(f"X[{place}]: all points are at one place")
    return cloud


def put(path: Path, content: bytes) -> Path:
    """Write a file, unless it is there, and return it; one of another fit is refused.

    Raises:
        ConfigError: when the file is there with other content.
    """
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    elif path.read_bytes() != content:
        raise ConfigError(f"folder: {path} is of another fit; choose another folder")
    return path


def refuse_others(folder: Path, written: Collection[Path]) -> None:
    """Refuse a working folder in which an earlier fit left files that this one has not.

    Hidden files are passed over: what a killed fit was writing, and those of the system.

    Raises:
        ConfigError: naming the first of them.
    """
    left = (path for path in sorted(folder.rglob("[!.]*")) if path.is_file())
    if other := next((path for path in left if path not in written), None):
        raise ConfigError(f"folder: {other} is of another fit; choose another folder")


def check_kinds(what: str, labels: Sequence[Any], each: str = "shape") -> None:
    """Refuse texts mixed with numbers, and lists.

    Raises:
        ConfigError: naming `what`.
    """
    texts = {isinstance(one, str) for one in labels}
    if any(isinstance(one, np.ndarray | list | tuple) for one in labels) or len(texts) > 1:
        raise ConfigError(f"{what} must be all texts or all numbers, one for each {each}")


def is_unknown(label: Any) -> bool:
    """Return whether a label is None, NaN, pandas' NA, -1, or a blank text."""
    if isinstance(label, np.ndarray):
        return False
    if isinstance(label, str):
        return not label.strip()
    if label is None or type(label).__name__ == "NAType":  # pandas'
        return True
    return bool(label != label or label == -1)


def plain(label: Any) -> Any:
    """Return a label without the type of numpy."""
    return label.item() if isinstance(label, np.generic) else label
