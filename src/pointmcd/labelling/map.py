"""A map of the shapes of a store: one self-contained page, its points coloured by class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd import __version__
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import RunError
from pointmcd.files import write_page
from pointmcd.inference.guesses import Guesses, guess
from pointmcd.labelling.html import render
from pointmcd.labelling.layout import lay_out, nearest_pairs, neighbours, outliers
from pointmcd.labelling.page import own_rows, read_rows
from pointmcd.labelling.propose import shape_features, unit_rows
from pointmcd.labelling.thumbnails import picture_kind, thumbnails
from pointmcd.preparation.twins import twins_among
from pointmcd.probing.embed import embed
from pointmcd.progress import note
from pointmcd.teachers.stored import teacher_folder
from pointmcd.typing import Doubles

#: Pairs and outliers that are listed; nearest pairs that are tried for twins: these are all listed.
LISTED, TRIED = 40, 200
#: What is told of a pair.
PAIR = ("shape", "other", "similarity", "twins", "class", "other class", "file", "other file")
#: Points of a shape that are compared.
_COMPARED = 1024


@dataclass(frozen=True)
class ShapeMap:
    """Content of the map page.

    Attributes:
        store: the shapes.
        places: of all shapes, [S, 2] from 0 to 1.
        pairs: indices of the nearest pairs, their cosine similarities, and whether they are twins
            (`preparation.twins`); these first, then the most similar.
        outliers: indices of the shapes that are like no other, the strangest first.
        labels: the class of each shape; None where it is not known.
        pictures: one per shape, in base64.
        features: what the places come from, in words.
        guesses: of a model for every shape, if there is one.
    """

    store: Store
    places: Doubles
    pairs: list[tuple[int, int, float, bool]]
    outliers: list[int]
    labels: list[str | None]
    pictures: list[str]
    features: str
    guesses: Guesses | None = None

    def data(self) -> dict[str, Any]:
        """Return all but the pictures, as JSON values."""
        return {
            "features": self.features,
            "guesses": None if self.guesses is None else self.guesses.summary(),
            "kind": picture_kind(),
            "labels": self.labels,
            "names": [shape.name for shape in self.store.shapes],
            "outliers": self.outliers,
            "pairs": [[i, j, round(alike, 3), twins] for i, j, alike, twins in self.pairs],
            "places": self.places.round(4).tolist(),
            "splits": [shape.split for shape in self.store.shapes],
            "store": self.store.path.resolve().name,
            "version": __version__,
        }

    def pair_records(self) -> list[dict[str, Any]]:
        """Return the nearest pairs as JSON values by name: shapes, similarity, twins, classes."""
        names, file_of = [shape.name for shape in self.store.shapes], self.store.file_of
        rows = (
            (
                names[i],
                names[j],
                alike,
                twins,
                self.labels[i],
                self.labels[j],
                file_of(i),
                file_of(j),
            )
            for i, j, alike, twins in self.pairs
        )
        return [dict(zip(PAIR, row, strict=True)) for row in rows]

    def html(self) -> str:
        """Return the page."""
        return render("map.html.j2", self.data(), self.pictures, ("map.js",))

    def save(self, out: str | Path) -> Path:
        """Write the page to a file, or to map.html in a folder, and return the file."""
        return write_page(self.html(), out, "map.html")


def shape_map(
    store: str | Path,
    run: str | Path | None = None,
    teacher: str | None = None,
    labels: str | Path | None = None,
    device: str = "auto",
) -> ShapeMap:
    """Lay out the shapes of a store, those that a model finds alike side by side.

    Args:
        store: the folder.
        run: a run of any store, or exported weights, as in `embed`: the student embeds the points,
            and a model of classes guesses them.
        teacher: name of a teacher in the store, whose descriptors are taken, and its guesses.
            Without either, the features of the default image encoder are.
        labels: a label file in place of the labels in the store.
        device: cpu, cuda, mps or auto.

    Raises:
        StoreError, RunError: when store, teacher or run cannot be used, or do not belong together.
        ConfigError: when both a run and a teacher are given, or a label names no shape.
    """
    opened = Store(Path(store))
    if run is None and teacher is None:
        features, told = shape_features(opened, device=str(pick_device(device))), "lite0"
    else:
        features, told = embed(store, run, teacher, device=device).features, str(teacher or run)
    guesses = _guesses(opened, run, teacher, device)
    file = labels or (guesses.label_file if guesses else None)
    known = read_rows(opened, Path(file)) if file else own_rows(opened)
    rows = unit_rows(np.asarray(features, np.float64))
    distances, indices = neighbours(rows)
    return ShapeMap(
        opened,
        lay_out(rows),
        _pairs(opened, nearest_pairs(distances, indices, TRIED)),
        outliers(distances, LISTED),
        [known[i].label if i in known else None for i in range(len(opened.shapes))],
        thumbnails(opened),
        told,
        guesses,
    )


def _pairs(
    store: Store, nearest: list[tuple[int, int, float]]
) -> list[tuple[int, int, float, bool]]:
    """Return pairs with similarities for distances, twins first, and as many more as are listed.

    Rows have length 1: |a - b|^2 = 2 - 2 cos.
    """
    count = min(store.num_points, _COMPARED)
    twins = twins_among(
        lambda shape: store.points(np.array([shape]), count)[0], [(i, j) for i, j, _ in nearest]
    )
    found = [(i, j, 1 - d * d / 2, (i, j) in twins) for i, j, d in nearest]
    found.sort(key=lambda pair: not pair[3])  # stable: then still the most similar first
    return found[: max(LISTED, len(twins))]


def _guesses(
    store: Store, run: str | Path | None, teacher: str | None, device: str
) -> Guesses | None:
    """Return the model's guesses for all shapes; None, and a note, if it names no classes."""
    if run is None and teacher is None:
        return None
    try:
        return guess(run or teacher_folder(store, str(teacher)), store, device)
    except RunError as error:
        note(f"no guesses are shown: {error}")
        return None
