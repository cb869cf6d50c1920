"""Embeddings of whole shapes, of a trained student or a teacher: to keep, and to search by."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics.pairwise import cosine_similarity

from pointmcd.data.labels import is_part_file, match_labels
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, RunError
from pointmcd.extras import import_extra
from pointmcd.files import replacing
from pointmcd.inference.predictor import Predictor, open_trained
from pointmcd.options import Axis
from pointmcd.shapes.axes import axis_of_files, turn
from pointmcd.shapes.clouds import read_points
from pointmcd.tables import data_frame
from pointmcd.teachers.stored import map_output
from pointmcd.training.embeddings import embed_shapes, pool
from pointmcd.training.model import evaluating
from pointmcd.training.run import Run
from pointmcd.training.weights import is_weights, list_pretrained
from pointmcd.typing import Floats

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
    file = run.label_file
    own = run.meta.get("own_fingerprint") == store.own_fingerprint
    if file is None or not own or is_part_file(file):
        return {}
    names = [shape.name for shape in store.shapes]
    return {i: row.label for i, row in match_labels(names, file, store.path).items()}


def _open(place: str | Path, checkpoint: str, device: str) -> Predictor:
    """The model of a finished run, or of exported weights."""
    if not is_weights(place):
        if not Path(place).exists():
            raise RunError(
                f"{place}: no such run, and no weights that come with pointmcd:"
                f" {', '.join(list_pretrained())}"
            )
        Run(place).require(checkpoint)
    return open_trained(place, checkpoint, pick_device(device))


class Neighbour(NamedTuple):
    """A shape of a store beside a file: its name, its class, and the cosine similarity."""

    name: str
    label: str | None
    similarity: float


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

    Args:
        run: the run or exported weights whose student embeds file and store, as in `embed`.
        file: a mesh or a point cloud.
        store: where to look.
        count: how many shapes.
        checkpoint: "last" or "best".
        device: cpu, cuda, mps or auto.
        columns: x, y and z in a text table, as in `predict`.
        up: the axis that points up in the file, as in `predict`.

    Raises:
        ConfigError: when `count` is below 1.
        ShapeError: when the file cannot be read.
        StoreError, RunError: when store or run cannot be used.
    """
    if count < 1:
        raise ConfigError(f"--count {count}: must be at least 1")
    opened = _open(run, checkpoint, device)
    student = opened.student
    cloud = read_points(Path(file), opened.points, 0, columns, features=opened.features)
    theirs = axis_of_files(up, opened.up, str(run))
    cloud = turn(cloud, theirs, opened.up, opened.features)
    with evaluating(student):
        given = torch.from_numpy(cloud)[None].to(pick_device(device))
        query = pool(student(given).embeddings.float(), "max").cpu().numpy()[0]
    found = embed(store, run, checkpoint=checkpoint, device=device)
    likeness = cosine_similarity(found.features, query[None])[:, 0]
    best = np.argsort(-likeness, kind="stable")[:count]
    return [Neighbour(found.names[i], found.labels[i], float(likeness[i])) for i in best]
