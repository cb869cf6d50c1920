"""An estimator with scikit-learn's methods that names the part of every point."""

import json
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from sklearn.utils.validation import check_is_fitted

from pointmcd.device import pick_device
from pointmcd.errors import ConfigError
from pointmcd.estimators.base import BATCH, PointCloudEstimator, listed, plain, put, refuse_others
from pointmcd.estimators.parts import (
    check_classes,
    distinct_parts,
    mean_iou,
    part_clouds,
    read_parts,
)
from pointmcd.shapes.clouds import cloud_order, normalise_cloud
from pointmcd.training.weights import labels_of
from pointmcd.typing import Array, Doubles, Indices


class PartSegmenter(PointCloudEstimator):
    """Name the part of every point by a student that learns from a teacher too.

    Shapes are an array [S, N, 3], a list of arrays [N_i, 3], or paths of point clouds; a mesh has
    no points of its own and is refused. Parts are integers or texts, one for each point. Where
    shapes are of several classes, the network is told the class of each, as ShapeNetPart's protocol
    has it, and names parts of this class alone. Points and whole shapes may lack labels: the
    student learns from what the teacher says of them.

    It takes the parameters of `PointCloudClassifier`.

    Attributes:
        parts_: the P parts, sorted.
        classes_: the classes of shapes, sorted; None where none were given.
        class_parts_: the parts of each class; of all shapes where no class was given.
        model_: the trained network.
    """

    def fit(
        self,
        X: Any,  # noqa: N803
        y: Any,
        *,
        classes: Sequence[Any] | None = None,
    ) -> "PartSegmenter":
        """Fit to shapes and the parts of their points.

        Args:
            X: the shapes.
            y: integers or texts [S, N], or a list of such arrays [N_i]; None, -1 or a blank text
                for a point without label, None for a shape without any.
            classes: of the shapes, [S]; None: all are of one.

        Raises:
            ConfigError: when X, y and classes do not match, or there are fewer than two parts.
            ShapeError: when a shape cannot be used.
        """
        clouds = part_clouds(listed(X))
        if len(clouds) < 2:
            raise ConfigError(f"X: has {len(clouds)} shapes; two or more are needed")
        parts = read_parts(y, clouds)
        self.parts_ = distinct_parts(parts)
        if len(self.parts_) < 2:
            told = "1 part" if len(self.parts_) else "no part"
            raise ConfigError(f"y: names {told}; two or more are needed")
        self.classes_, ids = None, np.zeros(len(clouds), dtype=np.int64)
        if classes is not None:
            self.classes_ = check_classes(classes, len(clouds))
            ids = np.searchsorted(self.classes_, np.array(list(classes)))
        self.class_parts_ = [
            distinct_parts([parts[i] for i in np.flatnonzero(ids == number)])
            for number in range(ids.max() + 1)
        ]
        self._check_classes_have_parts()
        local = [p.codes(self.class_parts_[k]) for k, p in zip(ids, parts, strict=True)]
        names = [[str(part) for part in own] for own in self.class_parts_]
        self._fit(
            lambda folder: _write(folder, clouds, local, ids, names),
            "segmentation",
            val_fraction=0.0,
            test_fraction=0.0,
        )
        return self

    @classmethod
    def from_pretrained(cls, place: str | Path, device: str = "auto") -> "PartSegmenter":
        """Return a fitted segmenter: the model of a run of parts, or of its exported weights.

        Args:
            place: as `PointCloudClassifier.from_pretrained` takes it.
            device: cpu, cuda, mps or auto.

        Raises:
            ConfigError: when it names no parts, or takes normals or colours.
            PointMCDError: when it cannot be loaded.
        """
        made, about = cls._loaded(place, device)
        names = labels_of(about).parts
        if names is None:
            raise ConfigError(f"{place}: is of --task {about['task']}, and names no parts")
        made.class_parts_ = [np.array(names[label], dtype=str) for label in about["classes"]]
        made.parts_ = np.unique(np.concatenate(made.class_parts_))
        made.classes_ = np.array(about["classes"]) if len(names) > 1 else None
        return made

    def _check_classes_have_parts(self) -> None:
        bare = next((k for k, own in enumerate(self.class_parts_) if not len(own)), None)
        if bare is not None and self.classes_ is not None:
            raise ConfigError(f"y: no point of class {plain(self.classes_[bare])!r} has a label")

    def predict_proba(
        self,
        X: Any,  # noqa: N803
        *,
        classes: Sequence[Any] | None = None,
    ) -> Any:
        """Return the probability of each part at every point, in the order of `parts_`.

        A part that the class of a shape does not have has probability 0.

        Args:
            X: the shapes.
            classes: of the shapes, [S], where the segmenter was fitted to classes.

        Returns:
            float64 [S, N, P] for an array X, else a list of [N_i, P].

        Raises:
            ConfigError: when a class is missing or was not learnt.
            ShapeError: when a shape cannot be used.
        """
        check_is_fitted(self, "model_")
        clouds = part_clouds(shapes := listed(X))
        found = list(self._odds(clouds, self._class_ids(classes, len(shapes))))
        return _as_given(X, found, np.zeros((0, len(self.parts_))))

    def predict(
        self,
        X: Any,  # noqa: N803
        *,
        classes: Sequence[Any] | None = None,
    ) -> Any:
        """Return the likeliest part of every point: [S, N] for an array X, else a list of [N_i].

        Args:
            X: the shapes.
            classes: as in `predict_proba`.

        Raises:
            ConfigError, ShapeError: as `predict_proba`.
        """
        check_is_fitted(self, "model_")
        odds = self.predict_proba(listed(X), classes=classes)
        return _as_given(X, [self.parts_[one.argmax(axis=1)] for one in odds], self.parts_)

    def score(
        self,
        X: Any,  # noqa: N803
        y: Any,
        *,
        classes: Sequence[Any] | None = None,
    ) -> float:
        """Return the instance mIoU, 0 to 1: for each shape the mean IoU of the parts of its class.

        Raises:
            ConfigError, ShapeError: as `fit` and `predict_proba`.
        """
        check_is_fitted(self, "model_")
        shapes = part_clouds(listed(X))
        truth = read_parts(y, shapes)
        found = self.predict(shapes, classes=classes)
        ids = self._class_ids(classes, len(shapes))
        return mean_iou(truth, found, [self.class_parts_[number] for number in ids])

    def _class_ids(self, classes: Sequence[Any] | None, count: int) -> Indices:
        """The place of each shape's class in `classes_`, int64 [S]."""
        known = self.classes_
        if (classes is None) != (known is None):
            change = "leave them out" if known is None else "give one for each shape"
            learnt = "without" if known is None else f"to {len(known)}"
            raise ConfigError(f"classes: the segmenter was fitted {learnt} classes; {change}")
        if classes is None or known is None:
            return np.zeros(count, dtype=np.int64)
        check_classes(classes, count)
        own = zip(known.tolist(), self.class_parts_, strict=True)
        places = {one: place for place, (one, parts) in enumerate(own) if len(parts)}
        given = list(map(plain, classes))
        strange = next((i for i, one in enumerate(given) if one not in places), None)
        if strange is not None:
            raise ConfigError(
                f"classes[{strange}]: {given[strange]!r} was not learnt; use one of"
                f" {', '.join(map(repr, places))}"
            )
        return np.array([places[one] for one in given], dtype=np.int64)

    @torch.inference_mode()
    def _odds(self, clouds: Sequence[Doubles], ids: Indices) -> Iterator[Doubles]:
        """Probabilities of the points [N_i, P] of each cloud."""
        model, device = self._moved(), pick_device(self.device)
        for start in range(0, len(clouds), BATCH):
            some = range(start, min(start + BATCH, len(clouds)))
            whole = [normalise_cloud(clouds[i], f"X[{i}]").astype(np.float32) for i in some]
            seen = np.stack([cloud[cloud_order(cloud, self.points)] for cloud in whole])
            labels = torch.from_numpy(ids[list(some)]).to(device)
            logits = model(torch.from_numpy(seen).to(device), labels).float()
            odds = model.limited(logits, labels).softmax(dim=2).cpu().double().numpy()
            for number, cloud, points, row in zip(ids[list(some)], whole, seen, odds, strict=True):
                # Points that the network did not see are as the nearest one that it saw.
                nearest = cKDTree(points).query(cloud)[1]
                yield self._spread(row[nearest], int(number))

    def _spread(self, odds: Doubles, number: int) -> Doubles:
        """Bring probabilities of the network's parts [N, Q] into the order of `parts_`, [N, P]."""
        first = sum(map(len, self.class_parts_[:number]))
        own = self.class_parts_[number]
        found = np.zeros((len(odds), len(self.parts_)))
        found[:, np.searchsorted(self.parts_, own)] = odds[:, first : first + len(own)]
        return found


def _as_given(shapes: Any, found: list[Array], like: Array) -> Any:
    """Results [N_i, ...] as one array [S, N, ...] where the shapes were one, else as a list."""
    if not isinstance(shapes, np.ndarray) or shapes.ndim != 3:
        return found
    return np.stack(found) if found else np.zeros((*shapes.shape[:2], *like.shape[1:]), like.dtype)


def _write(
    folder: Path,
    clouds: Sequence[Doubles],
    parts: Sequence[Indices],
    ids: Indices,
    names: Sequence[Sequence[str]],
) -> None:
    """Write labelled clouds as CLASS/NUMBER.npy, NUMBER.seg and parts.json."""
    classes = [f"{number:06d}" for number in range(len(names))]
    told = json.dumps(dict(zip(classes, names, strict=True))).encode()
    written = {put(folder / "parts.json", told)}
    for place, (cloud, own, number) in enumerate(zip(clouds, parts, ids, strict=True)):
        np.save(buffer := BytesIO(), cloud)
        written.add(put(folder / classes[number] / f"{place:06d}.npy", buffer.getvalue()))
        lines = "\n".join(map(str, own.tolist())) + "\n"
        written.add(put(folder / classes[number] / f"{place:06d}.seg", lines.encode()))
    refuse_others(folder, written)
