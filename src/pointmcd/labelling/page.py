"""The page on which shapes are labelled: one self-contained HTML file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pointmcd import __version__
from pointmcd.data.labels import LabelRow, match_labels, write_labels
from pointmcd.data.shape_names import name_and_folder
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError
from pointmcd.inference.guesses import Guesses, guess
from pointmcd.labelling.html import render
from pointmcd.labelling.propose import propose, shape_features
from pointmcd.labelling.thumbnails import picture_kind, thumbnails

#: The parts of the page's script, in order.
_SCRIPTS = ("csv.js", "labels.js", "grid.js", "page.js", "desk.js")


@dataclass(frozen=True)
class LabelPage:
    """Content of the label page.

    Attributes:
        store: the shapes.
        labels: rows of the shapes that are labelled, by index.
        order: indices of all shapes, the proposed ones first.
        proposed: how many those are.
        pictures: one per shape, in base64.
        guesses: of a model for every shape, if there is one.
    """

    file_name: ClassVar[str] = "labels.html"

    store: Store
    labels: Mapping[int, LabelRow]
    order: list[int]
    proposed: int
    pictures: list[str]
    guesses: Guesses | None = None

    @property
    def names(self) -> list[str]:
        """Names of the shapes."""
        return [shape.name for shape in self.store.shapes]

    def data(self, file: Path | None = None) -> dict[str, Any]:
        """Return all but the pictures, as JSON values.

        Args:
            file: where the labels are saved by `--serve`; None for a page that stands alone.
        """
        labels = [[i, row.label, row.split] for i, row in sorted(self.labels.items())]
        files = self.store.file_of
        known = [] if self.guesses is None else self.guesses.classes
        own = sorted({row.label for row in self.labels.values()} - set(known))
        return {
            "base": hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:16],
            "classes": [*known, *own],
            "file": None if file is None else str(file),
            "files": [name_and_folder(files(i), name) for i, name in enumerate(self.names)],
            "fingerprint": self.store.own_fingerprint,
            "guesses": None if self.guesses is None else self.guesses.summary(),
            "kind": picture_kind(),
            "labels": labels,
            "names": self.names,
            "order": self.order,
            "proposed": self.proposed,
            "save": None if file is None else "labels",
            "store": self.store.path.resolve().name,
            "test": self.store.indices("test").tolist(),
            "version": __version__,
        }

    def html(self, labels: Mapping[int, LabelRow] | None = None, file: Path | None = None) -> str:
        """Return the page, with other labels where they are given."""
        page = self if labels is None else replace(self, labels=labels)
        return render("label.html.j2", page.data(file), self.pictures, _SCRIPTS, ("desk.css",))

    # For `--serve`

    @property
    def items(self) -> int:
        """Number of items that can be labelled."""
        return len(self.store.shapes)

    def read(self, file: str | Path) -> dict[int, LabelRow]:
        """Return the rows of a label file; see `read_rows`."""
        return read_rows(self.store, file)

    def row(self, item: int, label: str, before: LabelRow | None) -> LabelRow:
        """Return the row of a new label; a shape stays in the split that it was put in."""
        return LabelRow(self.store.shapes[item].name, label, before and before.split)

    def write(self, file: Path, rows: Sequence[LabelRow]) -> None:
        """Write a label file."""
        write_labels(file, rows)

    def describe(self, rows: Mapping[int, LabelRow]) -> str:
        """Return how many shapes these rows label, as text."""
        return f"{len(rows)} of {self.items} shapes labelled"


def label_page(
    store: str | Path,
    labels: str | Path | None = None,
    run: str | Path | None = None,
    count: int = 50,
    device: str = "auto",
) -> LabelPage:
    """Collect what the page shows of a store.

    Args:
        store: the folder.
        labels: a label file to begin with; by default that of a run on the store, else the store's
            own labels.
        run: what `guess` takes, whose guesses are shown, and help to choose: a run of any store,
            exported weights, or a teacher in the store.
        count: how many shapes are proposed.
        device: cpu, cuda, mps or auto.

    Raises:
        StoreError, RunError: when store or run cannot be used, or a teacher is of other shapes.
        ConfigError: when a label names no shape of the store, or `count` is below 1.
    """
    if count < 1:  # told now, not after the views are encoded
        raise ConfigError(f"--count {count}: must be at least 1")
    opened = Store(Path(store))
    given = None if labels is None else read_rows(opened, labels)
    guesses = None if run is None else guess(run, opened, device)
    learnt = guesses.label_file if guesses else None
    own = read_rows(opened, learnt) if learnt else own_rows(opened)
    rows = own if given is None else given
    features = shape_features(opened, device=str(pick_device(device)))
    first = propose(opened, count, sorted(rows), features, guesses and guesses.probabilities)
    others = np.setdiff1d(np.arange(len(opened.shapes)), first).tolist()
    last = set(opened.indices("test").tolist())
    return LabelPage(
        opened,
        rows,
        [*first, *sorted(others, key=last.__contains__)],
        len(first),
        thumbnails(opened),
        guesses,
    )


def read_rows(store: Store, file: str | Path) -> dict[int, LabelRow]:
    """Return the rows of a label file by the index of the shape, each with its name in the store.

    Raises:
        ConfigError: when a row names no shape, or a shape has two classes.
    """
    names = [shape.name for shape in store.shapes]
    found = match_labels(names, Path(file), store.path, True, store.file_of)
    return {index: row._replace(path=names[index]) for index, row in found.items()}


def own_rows(store: Store) -> dict[int, LabelRow]:
    """Return the rows of the store's own labels by the index of the shape."""
    shapes = enumerate(store.shapes)
    return {i: LabelRow(one.name, one.label) for i, one in shapes if one.label is not None}
