"""Estimators with scikit-learn's methods: a classifier of shapes, and an embedder."""

import copy
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import nn

from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, ShapeError
from pointmcd.ops.masked_max import max_over_points
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.shapes.clouds import cloud_order, normalise_cloud, read_points
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.typing import Array, Doubles, Floats

#: Clouds that a fitted model takes at once.
_BATCH = 32


class _PointCloudEstimator(BaseEstimator):  # type: ignore[misc]
    """What the estimators have in common: fitting, and clouds for the fitted model.

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
        objective: Sequence[str] = (),
        up: str | None = None,
        workers: int | None = None,
        device: str = "auto",
        folder: str | Path | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.student, self.teacher, self.points = student, teacher, points
        self.epochs, self.batch_size, self.objective = epochs, batch_size, objective
        self.up, self.workers, self.device = up, workers, device
        self.folder, self.random_state = folder, random_state

    def _fit(self, shapes: Any, labels: list[str | None] | None) -> None:
        """Prepare the shapes, teach, train, and take the model out of the run; None: no labels."""
        seed = self._seed()
        with tempfile.TemporaryDirectory() as temporary:
            work = Path(self.folder or temporary)
            source, store = work / "shapes", work / "store"
            names = _write(shapes, source)
            settings: dict[str, Any] = {"seed": seed, "device": self.device}
            taught = "classification"
            if labels is None:
                settings["task"], taught = "pretrain", "features"
            else:
                settings["labels"] = file = work / "labels.csv"
                known = zip(names, labels, strict=True)
                write_labels(file, [LabelRow(name, one) for name, one in known if one is not None])
            prepare(
                PrepareConfig(
                    source,
                    store,
                    points=self.points,
                    up=cast(Any, self.up),
                    workers=self.workers,
                    seed=seed,
                    strict=True,
                    twins="keep",
                )
            )
            if self.teacher is not None:
                teach(TeachConfig(store, self.teacher, **settings | {"task": taught}))
            run = train(
                TrainConfig(
                    store,
                    work / "run",
                    student=self.student,
                    teacher=self.teacher,
                    points=self.points,
                    epochs=self.epochs,
                    batch_size=self.batch_size,
                    objective=tuple(self.objective),
                    **settings,
                )
            )
            self._take(Run(run))

    def _seed(self) -> int:
        """The seed of a fit: `random_state`, or one drawn from it, as in scikit-learn."""
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _take(self, run: Run) -> None:
        """Keep the run's model, on the CPU: the estimator is to be pickled."""
        self.model_ = load_model(run, "last", torch.device("cpu"))

    def _batches(self, shapes: Any) -> Iterator[torch.Tensor]:
        check_is_fitted(self, "model_")
        device = pick_device(self.device)
        clouds = [self._cloud(shape, place) for place, shape in enumerate(_listed(shapes))]
        for start in range(0, len(clouds), _BATCH):
            yield torch.from_numpy(np.stack(clouds[start : start + _BATCH])).to(device)

    def _cloud(self, shape: Any, place: int) -> Floats:
        """The points [P, 3] of an array or file, as training saw its own."""
        if isinstance(shape, str | os.PathLike):
            return read_points(Path(shape), self.points, seed=0)
        cloud = normalise_cloud(_checked(shape, place), f"X[{place}]").astype(np.float32)
        return np.asarray(cloud[cloud_order(cloud, self.points)])

    def _moved(self) -> Any:
        """The model on the device; the one that is kept stays on the CPU."""
        device = pick_device(self.device)
        model = self.model_ if device.type == "cpu" else copy.deepcopy(self.model_).to(device)
        return model.eval()


class PointCloudClassifier(ClassifierMixin, _PointCloudEstimator):  # type: ignore[misc]
    """Classify point clouds and meshes by a student that learns from a teacher too.

    Shapes are an array [S, N, 3], a list of arrays [N, 3], or paths of meshes or clouds; y is up
    unless `up` says otherwise. Shapes without a known label take part, as in scikit-learn's
    semi-supervised estimators: their y is None, NaN or -1, and the student learns from what the
    teacher says of them. That is where distillation pays.

    Args:
        student: point encoder: pointnet, pointnet2, dgcnn, curvenet or your own.
        teacher: image encoder, such as lite0; None trains the student alone.
        points: of each shape.
        epochs: 0: as many as make 1,000 steps, at least 40.
        batch_size: 0: 8 to 32, by the number of shapes.
        objective: what distillation minimises; by default as `pointmcd train`.
        up: axis that points up: x, y (the default) or z.
        workers: processes that prepare shapes; by default one for each core.
        device: cpu, cuda, mps or auto.
        folder: where to work and to keep store, teacher and run; by default nothing is kept but
            the fitted model. A second fit there on other shapes is refused.
        random_state: seed of everything; None or a RandomState draws one for each fit.

    Attributes:
        classes_: the K classes, sorted.
        model_: the trained network.
    """

    def fit(self, X: Any, y: Sequence[Any] | None = None) -> "PointCloudClassifier":  # noqa: N803
        """Fit to shapes and their labels.

        Raises:
            ConfigError: when X and y differ in length, or fewer than two classes are known.
            ShapeError: when a shape cannot be used.
        """
        if y is None:
            raise ConfigError("y: is None; give a label for each shape, None where it is not known")
        shapes, labels = _listed(X), list(y)
        if len(shapes) != len(labels):
            raise ConfigError(f"X has {len(shapes)} shapes, y {len(labels)} labels")
        _check_labels(labels)
        known = [not _unknown(label) for label in labels]
        self.classes_ = np.unique([one for one, there in zip(labels, known, strict=True) if there])
        if len(self.classes_) < 2:
            raise ConfigError(f"y: names {len(self.classes_)} classes; two or more are needed")
        place = {one: f"{number:06d}" for number, one in enumerate(self.classes_.tolist())}
        names = [place[_plain(one)] if k else None for one, k in zip(labels, known, strict=True)]
        self._fit(shapes, names)
        return self

    @torch.inference_mode()
    def predict_proba(self, X: Any) -> Doubles:  # noqa: N803
        """Return class probabilities [S, K], in the order of `classes_`."""
        check_is_fitted(self, "model_")
        model = self._moved()
        found = [model(batch).float().softmax(dim=1).cpu().numpy() for batch in self._batches(X)]
        return np.concatenate([np.zeros((0, len(self.classes_))), *found]).astype(np.float64)

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return the likeliest class of each shape, [S]."""
        said = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[said])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags


class PointCloudEmbedder(TransformerMixin, PointCloudClassifier):  # type: ignore[misc]
    """Embed shapes by the student of a classifier: features [S, C] for any other estimator.

    It takes the parameters of `PointCloudClassifier`, and learns from the same shapes and labels,
    or without labels from the teacher's features alone.
    """

    def fit(self, X: Any, y: Sequence[Any] | None = None) -> "PointCloudEmbedder":  # noqa: N803
        """Fit to shapes, and to their labels where there are any.

        Raises:
            ConfigError: as in `PointCloudClassifier`, or when there is neither label nor teacher.
            ShapeError: when a shape cannot be used.
        """
        if y is not None:
            super().fit(X, y)
        elif self.teacher is None:
            raise ConfigError("y: is None, and there is no teacher; give one of them")
        else:
            self._fit(_listed(X), None)
        return self

    @torch.inference_mode()
    def transform(self, X: Any) -> Floats:  # noqa: N803
        """Return embeddings float32 [S, C]: the maximum over the points'."""
        check_is_fitted(self, "model_")
        student = self._moved().student
        rows = [
            max_over_points(student(b).embeddings.float()).cpu().numpy() for b in self._batches(X)
        ]
        return np.concatenate([np.zeros((0, student.num_features), np.float32), *rows])


def _listed(shapes: Any) -> list[Any]:
    """The shapes one by one; a single cloud is refused, as scikit-learn refuses a single row."""
    if isinstance(shapes, np.ndarray) and shapes.ndim != 3 and shapes.dtype != object:
        if shapes.dtype.kind in "US":
            return list(shapes)
        raise ShapeError(f"X: an array of clouds is [S, N, 3], not {list(shapes.shape)}")
    if isinstance(shapes, str | os.PathLike):
        raise ShapeError("X: is one path; give a list of them")
    return list(shapes)


def _checked(shape: Any, place: int) -> Doubles:
    cloud = np.asarray(shape, dtype=np.float64)
    if cloud.ndim != 2 or cloud.shape[1] != 3 or not len(cloud):
        raise ShapeError(f"X[{place}]: a cloud is [N, 3], not {list(cloud.shape)}")
    if not np.isfinite(cloud).all():
        raise ShapeError(f"X[{place}]: a point is NaN or infinite")
    return cloud


def _write(shapes: Sequence[Any], folder: Path) -> list[str]:
    """Write clouds, and copy files, into a flat folder; return their names there."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number, shape in enumerate(shapes):
        if isinstance(shape, str | os.PathLike):
            name = f"{number:06d}{Path(shape).suffix}"
            if not Path(shape).is_file():
                raise ShapeError(f"X[{number}] {shape}: does not exist")
            shutil.copyfile(shape, folder / name)
        else:
            name = f"{number:06d}.npy"
            np.save(folder / name, _checked(shape, number))
        names.append(name)
    return names


def _check_labels(labels: Sequence[Any]) -> None:
    """Refuse what numpy would change: a -1 or NaN among texts is a class of that name there."""
    known = [one for one in labels if not _unknown(one)]
    texts = [isinstance(one, str) for one in known]
    if any(isinstance(one, np.ndarray | list | tuple) for one in known) or len({*texts}) > 1:
        raise ConfigError("y: labels must be all texts or all numbers, one for each shape")
    if {"-1", "nan", "None"} & {one for one in known if isinstance(one, str)}:
        raise ConfigError("y: has '-1', 'nan' or 'None' as text; mark unknown labels by None")


def _unknown(label: Any) -> bool:
    """Whether a label is None, NaN, or -1."""
    if isinstance(label, np.ndarray):
        return False
    return label is None or label != label or (not isinstance(label, str) and label == -1)


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label
