"""Embeddings of whole shapes, of a trained student or a teacher: to keep, and to search by."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics.pairwise import cosine_similarity
from torch import Tensor

from pointmcd.data.labels import is_part_file, match_labels
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, RunError
from pointmcd.extras import import_extra
from pointmcd.files import replacing
from pointmcd.inference.guesses import guess
from pointmcd.inference.predictor import Predictor, open_trained
from pointmcd.inference.teacher import describe_file, refuse_run_options
from pointmcd.options import Axis
from pointmcd.shapes.axes import axis_of_files, turn
from pointmcd.shapes.clouds import read_points
from pointmcd.tables import data_frame
from pointmcd.teachers.stored import is_teacher, map_output, open_teacher_store
from pointmcd.training.embeddings import embed_shapes, pool
from pointmcd.training.model import evaluating
from pointmcd.training.run import Run
from pointmcd.training.weights import is_weights
from pointmcd.typing import Doubles, Floats, Indices

_ENDINGS = (".npz", ".csv", ".parquet")


@dataclass(frozen=True, repr=False)
class Embeddings:
    """Embeddings of all shapes of a store.

    Attributes:
        names: of the shapes.
        labels: their classes; None for a shape without.
        splits: "train", "val", "test" or "none".
        features: float32 [S, D].
    """

    names: tuple[str, ...]
    labels: tuple[str | None, ...]
    splits: tuple[str, ...]
    features: Floats

    def __repr__(self) -> str:
        count, size = self.features.shape
        return f"<Embeddings of {count:,} shapes: {size} features each>"

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with the columns name, class, split, e0, e1, ...

        Raises:
            ConfigError: when pandas is absent.
        """
        return data_frame(self._columns())

    def save(self, path: str | Path) -> Path:
        """Write them as .npz (names, labels, splits, features), .csv or .parquet.

        Tables have the columns name, class, split, e0, e1, ...

        Raises:
            ConfigError: for another ending, or when pyarrow is absent.
        """
        path = Path(path)
        check_out(path)
        write = dict(zip(_ENDINGS, (self._npz, self._csv, self._parquet), strict=True))
        with replacing(path) as temporary:
            write[path.suffix.lower()](temporary)
        return path

    def _texts(self) -> dict[str, list[str]]:
        classes = [label or "" for label in self.labels]
        return {"name": [*self.names], "class": classes, "split": [*self.splits]}

    def _npz(self, path: Path) -> None:
        texts = self._texts()
        with path.open("wb") as file:
            np.savez(
                file,
                features=self.features,
                names=np.array(texts["name"]),
                labels=np.array(texts["class"]),
                splits=np.array(texts["split"]),
            )

    def _csv(self, path: Path) -> None:
        texts = self._texts()
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*texts, *(f"e{i}" for i in range(self.features.shape[1]))])
            for row, values in zip(zip(*texts.values(), strict=True), self.features, strict=True):
                writer.writerow([*row, *(f"{value:.7g}" for value in values)])

    def _parquet(self, path: Path) -> None:
        arrow = import_extra("pyarrow", "parquet", "--out *.parquet")
        parquet = import_extra("pyarrow.parquet", "parquet", "--out *.parquet")
        parquet.write_table(arrow.table(self._columns()), path)

    def _columns(self) -> dict[str, Any]:
        return self._texts() | {f"e{i}": values for i, values in enumerate(self.features.T)}


def check_out(path: Path) -> None:
    """Refuse a file that embeddings cannot be written to, before they are computed.

    Raises:
        ConfigError: for another ending than .npz, .csv and .parquet, or when pyarrow is absent.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise ConfigError(f"--out {path}: must end in {', '.join(_ENDINGS)}")
    if path.suffix.lower() == ".parquet":
        import_extra("pyarrow", "parquet", "--out *.parquet")


def embed(
    store: str | Path,
    run: str | Path | None = None,
    teacher: str | None = None,
    pooling: str = "max",
    checkpoint: str = "last",
    device: str = "auto",
) -> Embeddings:
    """Embed every shape of a store by the student of a run, or by a teacher of the store.

    Args:
        store: any store; no label decides an embedding. Labels are the store's own, or those of
            the label file that the run learnt from it with.
        run: the run whose student embeds the points, or exported weights: a folder, a name of
            `list_pretrained`, or `hf-hub:OWNER/NAME`.
        teacher: name of a teacher in the store, whose view descriptors are pooled.
        pooling: "max", "mean" or "both", over points or views.
        checkpoint: of the run: "last" or "best".
        device: cpu, cuda, mps or auto.

    Raises:
        ConfigError: unless a run or a teacher is given, and not both.
        StoreError: when the store has too few points, or no such teacher.
        RunError: when the run cannot be used.
    """
    if (run is None) == (teacher is None):
        raise ConfigError("embed: give --run RUN or --teacher NAME")
    data, where = Store(Path(store)), pick_device(device)
    every, learnt = np.arange(len(data.shapes)), dict[int, str]()
    if run is not None:
        opened = _open(run, checkpoint, device)
        learnt = {} if is_weights(run) else _learnt(Run(run), data)
        upright = data.with_up(opened.up)
        features = embed_shapes(
            opened.student, upright, every, opened.points, pooling, where, opened.features
        )
    else:
        rows = map_output(data, str(teacher), "descriptors", every)
        shards = (torch.from_numpy(rows[indices]) for _, indices in data.shard_ranges())
        features = np.concatenate([pool(one, pooling).numpy() for one in shards])
    columns = zip(*((s.name, s.label, s.split) for s in data.shapes), strict=True)
    names, labels, splits = map(tuple, columns)
    labels = tuple(learnt.get(i, label) for i, label in enumerate(labels))
    return Embeddings(names, labels, splits, features)


def _learnt(run: Run, store: Store) -> dict[int, str]:
    """Classes of the label file that a run learnt from this store with, by index."""
    file = run.label_file_of(store)
    if file is None or is_part_file(file):
        return {}
    names = [shape.name for shape in store.shapes]
    return {i: row.label for i, row in match_labels(names, file, store.path).items()}


def _open(place: str | Path, checkpoint: str, device: str) -> Predictor:
    """The model of a finished run, or of exported weights."""
    opened = open_trained(place, checkpoint, pick_device(device))
    if not is_weights(place):
        Run(place).require(checkpoint)
    return opened


class Neighbour(NamedTuple):
    """A shape of a store beside a file.

    Attributes:
        name: of the shape.
        label: its class; None for a shape without.
        similarity: the cosine of the embeddings about their mean in the store, -1 to 1.
        guess: the model's class for a shape without label, if it names any.
        file: that it was read from; None in stores of the first versions.
    """

    name: str
    label: str | None
    similarity: float
    guess: str | None = None
    file: str | None = None


def similar(
    run: str | Path,
    file: str | Path,
    store: str | Path,
    count: int = 10,
    checkpoint: str = "last",
    device: str = "auto",
    columns: str | None = None,
    up: Axis | None = None,
) -> list[Neighbour]:
    """Return the shapes of a store whose embeddings are nearest to that of a file, nearest first.

    Embeddings are maxima of features that are mostly positive, so that all of them point the same
    way, and the cosines of shapes that have nothing in common are nearly 1. Cosines are therefore
    taken about the mean embedding of the store: about 0 for shapes that have nothing in common, and
    1 for equal embeddings. A file that the store was made from is compared by the points there;
    sampled anew it would have less than 1. Neighbours are of the file's class about as often as by
    the plain cosine, or more often (benchmarks/similar).

    Args:
        run: the run or exported weights whose student embeds file and store, as in `embed`; or a
            teacher of the store (STORE/teachers/NAME), which sees the file as the store was
            rendered.
        file: a mesh or a point cloud.
        store: where to look.
        count: how many shapes.
        checkpoint: of a run: "last" or "best".
        device: cpu, cuda, mps or auto.
        columns: x, y and z in a text table, as in `predict`.
        up: the axis that points up in the file, as in `predict`.

    Raises:
        ConfigError: when `count` is below 1, or the teacher's lesson describes no files.
        ShapeError: when the file cannot be read.
        StoreError, RunError: when store or run cannot be used, or a teacher is of another store.
    """
    if count < 1:
        raise ConfigError(f"--count {count}: must be at least 1")
    data = Store(Path(store))
    if is_teacher(Path(run)):
        refuse_run_options(checkpoint)
        own, _ = open_teacher_store(Path(run), data)
        found = embed(own.path, teacher=Path(run).absolute().name, device=device)
        rows = describe_file(Path(run), Path(file), pick_device(device), columns, up)
    else:
        rows = _student_rows(_open(run, checkpoint, device), Path(file), columns, up)
        found = embed(store, run, checkpoint=checkpoint, device=device)
    query = pool(rows[None], "max").numpy()[0]
    if (place := _place_of(data, Path(file))) is not None:
        query = found.features[place]  # other points of its surface would be less like it
    likeness = similarities(found.features, query)
    best = np.argsort(-likeness, kind="stable")[:count]
    bare = np.array([i for i in best if found.labels[i] is None], dtype=np.int64)
    guessed = _guessed(run, data, bare, checkpoint, device)
    return [
        Neighbour(
            found.names[i],
            found.labels[i],
            float(likeness[i]),
            guessed.get(int(i)),
            data.file_of(int(i)),
        )
        for i in best
    ]


def _place_of(store: Store, file: Path) -> int | None:
    """The shape that was read from a file, if it has not changed; None of others."""
    place = str(file.resolve())
    every = range(len(store.shapes))
    found = next((i for i in every if store.file_of(i) == place), None)
    made = store.path / "store.json"
    changed = found is not None and file.stat().st_mtime > made.stat().st_mtime
    return None if changed else found


def _student_rows(opened: Predictor, file: Path, columns: str | None, up: Axis | None) -> Tensor:
    """What the student says of the points of a file, [M, C], on the CPU."""
    cloud = read_points(file, opened.points, 0, columns, features=opened.features)
    theirs = axis_of_files(up, opened.up, opened.name)
    given = torch.from_numpy(turn(cloud, theirs, opened.up, opened.features))[None]
    device = next(opened.model.parameters()).device
    with evaluating(opened.student):
        rows: Tensor = opened.student(given.to(device)).embeddings[0]
    return rows.float().cpu()


def similarities(features: Floats, query: Floats) -> Doubles:
    """Return the cosines [S] of features [S, D] with a query [D], all about the features' mean.

    Of a single shape, or of equal shapes, which have nothing else to be compared with, they are the
    plain cosines.
    """
    rows = features.astype(np.float64)
    mean = rows.mean(axis=0) if np.ptp(rows, axis=0).any() else 0.0
    return np.asarray(cosine_similarity(rows - mean, (query - mean)[None])[:, 0])


def _guessed(
    run: str | Path, store: Store, indices: Indices, checkpoint: str, device: str
) -> dict[int, str]:
    """The class that a model guesses for shapes, by index; none of a model that names none."""
    if not len(indices):
        return {}
    try:
        found = guess(run, store, device, indices, checkpoint)
    except RunError:
        return {}
    best = found.probabilities.argmax(axis=1)
    return {int(i): found.classes[k] for i, k in zip(indices, best, strict=True)}
