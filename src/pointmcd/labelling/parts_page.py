"""The page on which parts are labelled, by clusters of points: one self-contained HTML file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pointmcd import __version__
from pointmcd.data.clusters import CLUSTERS, shape_clusters
from pointmcd.data.known_parts import match_parts
from pointmcd.data.part_labels import PartRow, write_parts
from pointmcd.data.shape_names import name_and_folder
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError
from pointmcd.labelling.drawn_clusters import Drawing, draw_clusters
from pointmcd.labelling.html import render
from pointmcd.labelling.part_guesses import PartGuess, PartGuesser
from pointmcd.labelling.propose import propose, shape_features
from pointmcd.labelling.thumbnails import picture_kind
from pointmcd.progress import progress_bar

#: Clusters are told apart by a byte.
_MOST = 200
#: The parts of the page's script, in order.
_SCRIPTS = ("csv.js", "labels.js", "pieces.js", "parts.js", "desk.js")


@dataclass(frozen=True)
class PartsPage:
    """Content of the part page.

    An item is a cluster of a shape: index of the shape * count + cluster.

    Attributes:
        store: the shapes.
        count: clusters of a shape.
        labels: rows of the clusters that are labelled, by item.
        shapes: indices of the shapes on the page, in order.
        drawings: of these shapes.
        fingerprints: of the clusters of these shapes.
        guesses: for the clusters of these shapes, if there is a model.
    """

    file_name: ClassVar[str] = "parts.html"

    store: Store
    count: int
    labels: Mapping[int, PartRow]
    shapes: list[int]
    drawings: list[Drawing]
    fingerprints: list[str]
    guesses: list[list[PartGuess | None]] | None = None

    def data(self, file: Path | None = None) -> dict[str, Any]:
        """Return all but the pictures, as JSON values.

        Args:
            file: where the parts are saved by `--serve`; None for a page that stands alone.
        """
        labels = [[item, row.part] for item, row in sorted(self.labels.items())]
        records = [self.store.shapes[index] for index in self.shapes]
        return {
            "base": hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:16],
            "classes": [],
            "clusters": self.fingerprints,
            "count": self.count,
            "file": None if file is None else str(file),
            "files": [
                name_and_folder(self.store.file_of(index), self.store.shapes[index].name)
                for index in self.shapes
            ],
            "fingerprint": f"{self.store.own_fingerprint}-parts-{self.count}",
            "guesses": self.guesses,
            "items": self.items,
            "kind": picture_kind(),
            "labels": labels,
            "names": [record.name for record in records],
            "of": [record.label or "" for record in records],
            "parts": self.store.parts or {},
            "save": None if file is None else "labels",
            "shapes": self.shapes,
            "store": self.store.path.resolve().name,
            "version": __version__,
        }

    def html(self, labels: Mapping[int, PartRow] | None = None, file: Path | None = None) -> str:
        """Return the page, with other labels where they are given."""
        page = self if labels is None else replace(self, labels=labels)
        drawings = [drawing._asdict() for drawing in self.drawings]
        return render("parts.html.j2", page.data(file), drawings, _SCRIPTS, ("desk.css",))

    # For `--serve`

    @property
    def items(self) -> int:
        """Number of items that can be labelled."""
        return self.count * len(self.store.shapes)

    def read(self, file: str | Path) -> dict[int, PartRow]:
        """Return the rows of a part file; see `_read_part_rows`."""
        return _read_part_rows(self.store, file, self.count)

    def row(self, item: int, label: str, before: PartRow | None) -> PartRow:
        """Return the row of a new part."""
        del before
        index, cluster = divmod(item, self.count)
        print_of = dict(zip(self.shapes, self.fingerprints, strict=True))
        clusters = print_of.get(index) or shape_clusters(self.store, index, self.count)[1]
        return PartRow(self.store.shapes[index].name, cluster + 1, label, clusters)

    def write(self, file: Path, rows: Sequence[PartRow]) -> None:
        """Write a part file."""
        write_parts(file, rows)

    def describe(self, rows: Mapping[int, PartRow]) -> str:
        """Return how many pieces of how many shapes these rows label, as text."""
        shapes = {item // self.count for item in rows}
        return f"{len(rows)} pieces of {len(shapes)} shapes labelled"


def parts_page(
    store: str | Path,
    labels: str | Path | None = None,
    count: int = 50,
    clusters: int = CLUSTERS,
    device: str = "auto",
    run: str | Path | None = None,
) -> PartsPage:
    """Collect what the page shows of a store: shapes that are labelled, and those to label next.

    Args:
        store: the folder.
        labels: a part file to begin with; by default that of a run on the store.
        count: how many shapes are proposed.
        clusters: of points, of each shape.
        device: cpu, cuda, mps or auto; for the image encoder, by which shapes are chosen.
        run: a run of segmentation, on this store or another, or exported weights of one, whose
            guesses are shown.

    Raises:
        StoreError, RunError: when store or run cannot be used, or the run knows no such shapes.
        ConfigError: when the part file does not fit the store or the clusters, or a number is out
            of range.
    """
    if count < 1:  # told now, not after the views are encoded
        raise ConfigError(f"--count {count}: must be at least 1")
    if not 2 <= clusters <= _MOST:
        raise ConfigError(f"--clusters {clusters}: must be from 2 to {_MOST}")
    opened = Store(Path(store))
    guesser = None if run is None else PartGuesser(run, opened, device)
    if labels is None and guesser is not None:
        labels = guesser.label_file
    rows = {} if labels is None else _read_part_rows(opened, labels, clusters)
    known = sorted({item // clusters for item in rows})
    features = shape_features(opened, device=str(pick_device(device)))
    shapes = [*propose(opened, count, known, features), *known]
    drawings, fingerprints, guesses = [], [], []
    guessed = [] if guesser is None else list(guesser.probabilities(shapes))
    with progress_bar() as progress:
        task = progress.add_task("clusters", total=len(shapes), note="")
        for place, index in enumerate(progress.track(shapes, task_id=task)):
            found, fingerprint = shape_clusters(opened, index, clusters)
            drawings.append(draw_clusters(opened, index, found))
            fingerprints.append(fingerprint)
            if guesser is not None:
                guesses.append(guesser.guess(index, guessed[place], found, clusters))
    return PartsPage(
        opened, clusters, rows, shapes, drawings, fingerprints, None if guesser is None else guesses
    )


def _read_part_rows(store: Store, file: str | Path, count: int) -> dict[int, PartRow]:
    """Return the rows of a part file by item, each with the shape's name in the store.

    Raises:
        ConfigError: when the file does not fit the store, or is of another number of clusters.
    """
    found: dict[int, PartRow] = {}
    for index, rows in match_parts(store, Path(file), empty=True).items():
        for number, row in rows.items():
            if row.of != count:
                raise ConfigError(
                    f"--labels {file}: line {row.line}: is of {row.of} clusters; give"
                    f" --clusters {row.of}, or another file"
                )
            found[index * count + number - 1] = row._replace(path=store.shapes[index].name)
    return found
