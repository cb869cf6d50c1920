"""Estimators with scikit-learn's methods: a classifier of shapes, and an embedder."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, ShapeError
from pointmcd.estimators.base import (
    BATCH,
    PointCloudEstimator,
    check_kinds,
    checked_cloud,
    is_unknown,
    listed,
    listed_labels,
    plain,
    put,
    refuse_others,
)
from pointmcd.ops.masked_max import max_over_points
from pointmcd.shapes.clouds import cloud_order, normalise_cloud, read_points, refuse_other_files
from pointmcd.shapes.formats import mesh_suffixes
from pointmcd.tasks.classification import Classifier
from pointmcd.typing import Array, Doubles, Floats

Made = TypeVar("Made", bound="PointCloudClassifier")

#: A shape in the folder that a fit works in.
_COPY = re.compile(r"[^\n]*[/\\]shapes[/\\](\d{6})\.\w+")


class PointCloudClassifier(ClassifierMixin, PointCloudEstimator):  # type: ignore[misc]
    """Classify point clouds and meshes by a student that learns from a teacher too.

    Shapes are an array [S, N, 3], a list of arrays [N, 3], or paths of meshes or clouds; their y
    axis points up unless `up` says otherwise. Shapes without a known label take part, as in
    scikit-learn's semi-supervised estimators: their y is None, NaN, -1 or a blank text, and the
    student learns from what the teacher says of them. That is where distillation pays.

    Args:
        student: point encoder, as `pointmcd train --student` takes it.
        teacher: image encoder, such as lite0; None trains the student alone.
        points: of each shape.
        epochs: 0: as many as make 1,000 steps, at least 40.
        batch_size: 0: 8 to 32, by the number of shapes.
        objective: what distillation minimises; by default as `pointmcd train`.
        teacher_epochs: by default as `pointmcd teach`; of parts 1,000 steps, minutes on a CPU.
        up: axis that points up: x, y (the default) or z.
        workers: processes that prepare shapes; by default one for each core.
        device: cpu, cuda, mps or auto.
        folder: where to work and to keep store, teacher and run; by default nothing is kept but
            the fitted model. A second fit there on other shapes is refused.
        store: where to keep the stores and teachers of any number of fits: a fit on shapes that
            another one had, as in a grid search, does not prepare them again. `folder` then holds
            the run alone.
        random_state: seed of everything; None or a RandomState draws one for each fit.
        verbose: whether a fit shows its progress and its notes.

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
        shapes = listed(X)
        labels = listed_labels(y, len(shapes))
        _check_labels(labels)
        known = [not is_unknown(label) for label in labels]
        self.classes_ = np.unique([one for one, there in zip(labels, known, strict=True) if there])
        if len(self.classes_) < 2:
            told = "1 class" if len(self.classes_) else "no class"
            minus = "; -1 marks an unknown label: name that class otherwise" * _has_minus(labels)
            raise ConfigError(f"y: names {told}; two or more are needed{minus}")
        place = {one: f"{number:06d}" for number, one in enumerate(self.classes_.tolist())}
        names = [place[plain(one)] if k else None for one, k in zip(labels, known, strict=True)]
        self._fit_shapes(shapes, "classification", names)
        return self

    @classmethod
    def from_pretrained(cls: type[Made], place: str | Path, device: str = "auto") -> Made:
        """Return a fitted estimator: the model of a run or of exported weights.

        In a pipeline `sklearn.frozen.FrozenEstimator` (1.6) keeps it as it is. Shapes that it is
        given must have the same axis up (`up`) as those that it learnt from.

        Args:
            place: as `pointmcd.from_pretrained` takes it: a name of `list_pretrained`, a folder of
                exported weights or of a run, or `hf-hub:OWNER/NAME`.
            device: cpu, cuda, mps or auto.

        Raises:
            ConfigError: when a classifier is asked for and it is none, or it takes normals or
                colours.
            PointMCDError: when it cannot be loaded.
        """
        made, about = cls._loaded(place, device)
        if not isinstance(made.model_, Classifier) and not issubclass(cls, TransformerMixin):
            raise ConfigError(
                f"{place}: is of --task {about['task']}, and names no class of shapes"
            )
        made.classes_ = np.array(about["classes"])
        return made

    def _fit_shapes(
        self, shapes: Sequence[Any], task: str, labels: Sequence[str | None] | None = None
    ) -> None:
        with _named_as_given(shapes):
            self._fit(lambda folder: _write(shapes, folder, labels), task)

    def _batches(self, shapes: Any) -> Iterator[torch.Tensor]:
        check_is_fitted(self, "model_")
        device = pick_device(self.device)
        clouds = [self._cloud(shape, place) for place, shape in enumerate(listed(shapes))]
        for start in range(0, len(clouds), BATCH):
            yield torch.from_numpy(np.stack(clouds[start : start + BATCH])).to(device)

    def _cloud(self, shape: Any, place: int) -> Floats:
        """The points [P, 3] of an array or file, as training saw its own."""
        if isinstance(shape, str | os.PathLike):
            return read_points(Path(shape), self.points, seed=0)
        cloud = normalise_cloud(checked_cloud(shape, place), f"X[{place}]").astype(np.float32)
        return np.asarray(cloud[cloud_order(cloud, self.points)])

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

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Return the accuracy, 0 to 1, on the shapes whose label is known.

        Raises:
            ConfigError: when X and y differ in length, or no label is known.
        """
        shapes = listed(X)
        labels = listed_labels(y, len(shapes))
        known = [i for i, label in enumerate(labels) if not is_unknown(label)]
        if not known:
            raise ConfigError("y: no label is known; there is nothing to score")
        said = self.predict(shapes)[known]
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(accuracy_score([plain(labels[i]) for i in known], said, sample_weight=weights))


class PointCloudEmbedder(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    PointCloudClassifier,
):
    """Embed shapes by the student of a classifier: features [S, C] for any other estimator.

    It takes the parameters of `PointCloudClassifier`, and learns from the same shapes and labels,
    or without labels from the teacher's features alone.
    """

    @property
    def _n_features_out(self) -> int:
        """What scikit-learn counts the names of features by."""
        student: Any = self.model_.student
        return int(student.num_features)

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
            self._fit_shapes(listed(X), "pretrain")
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


def _write(
    shapes: Sequence[Any], folder: Path, labels: Sequence[str | None] | None = None
) -> Path | None:
    """Write clouds, and copy files, into a flat folder, and a label file beside it."""
    _check_one_kind(shapes)
    names = []
    for number, shape in enumerate(shapes):
        if isinstance(shape, str | os.PathLike):
            name = f"{number:06d}{Path(shape).suffix}"
            content = Path(shape).read_bytes()
        else:
            name = f"{number:06d}.npy"
            np.save(buffer := BytesIO(), checked_cloud(shape, number))
            content = buffer.getvalue()
        put(folder / name, content)
        names.append(name)
    refuse_others(folder, {folder / name for name in names})
    if labels is None:
        return None
    known = zip(names, labels, strict=True)
    file = folder.parent / "labels.csv"
    write_labels(file, [LabelRow(name, one) for name, one in known if one is not None])
    return file


@contextmanager
def _named_as_given(shapes: Sequence[Any]) -> Iterator[None]:
    """Let errors name the shapes that were given, not the copies that are worked on."""
    try:
        yield
    except ShapeError as error:

        def given(copied: re.Match[str]) -> str:
            if int(copied[1]) >= len(shapes):  # a file of the user's that is named like a copy
                return copied[0]
            shape = shapes[int(copied[1])]
            return f"X[{int(copied[1])}]" + f" {shape}" * isinstance(shape, str | os.PathLike)

        text = str(error)
        raise ShapeError(text if text.startswith("X[") else _COPY.sub(given, text)) from error


def _check_one_kind(shapes: Sequence[Any]) -> None:
    """Refuse meshes among clouds: a store is rendered in one way."""
    first: dict[str, int] = {}
    for number, shape in enumerate(shapes):
        is_path = isinstance(shape, str | os.PathLike)
        if is_path:
            _check_file(Path(shape), number)
        suffix = Path(shape).suffix[1:].lower() if is_path else "npy"
        if suffix != "ply":  # which may be either
            first.setdefault("mesh" if suffix in mesh_suffixes() else "cloud", number)
    if len(first) > 1:
        told = " and ".join(f"a {kind} in X[{number}]" for kind, number in first.items())
        raise ShapeError(f"X: {told}; fit meshes and clouds apart")


def _check_file(path: Path, place: int) -> None:
    """Refuse what is no file of a shape, by its name."""
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "does not exist"
        raise ShapeError(f"X[{place}] {path}: {fault}")
    try:
        refuse_other_files(path)
    except ShapeError as error:
        raise ShapeError(f"X[{place}] {error}") from error


def _has_minus(labels: Sequence[Any]) -> bool:
    return any(isinstance(one, int | float | np.number) and one == -1 for one in labels)


def _check_labels(labels: Sequence[Any]) -> None:
    """Refuse what numpy would change: a -1 or NaN among texts is a class of that name there."""
    known = [one for one in labels if not is_unknown(one)]
    check_kinds("y: labels", known)
    if {"-1", "nan", "None"} & {one for one in known if isinstance(one, str)}:
        raise ConfigError("y: has '-1', 'nan' or 'None' as text; mark unknown labels by None")
