"""Whether the neighbours that `pointmcd similar` lists are of one class, with centring or without.

    python -m benchmarks.similar ../shared/data/furniture10.zip WORK

Each shape of train and val asks for the others; no test shape is read. WORK/store keeps what is
prepared and taught; the page is benchmarks/similar/README.md, the sections of other sets stay.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks.shared.page import machine, sections, table, write
from benchmarks.shared.trials import describe_store, parser
from pointmcd.data.store import Store
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.probing.embed import Embeddings, embed, similarities
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.typing import Doubles

PAGE = Path(__file__).with_name("README.md")
WEIGHTS = ("pointnet2-furniture10", "pointnet2-ldraw32")
NEAREST = 5
HEAD = ("embeddings", "cosine", "precision@1", "precision@5", "similarity, 5% to 95% of pairs")


def cosines(found: Embeddings, centred: bool) -> tuple[Doubles, Doubles]:
    """Similarities [n, n] of the shapes of train and val, and whether they are of one class."""
    kept = np.array([split in ("train", "val") for split in found.splits])
    rows, labels = found.features[kept], np.array(found.labels)[kept]
    if centred:
        alike = np.stack([similarities(rows, row) for row in rows])
    else:
        alike = cosine_similarity(rows.astype(np.float64))
    return alike, (labels[:, None] == labels).astype(np.float64)


def measure(found: Embeddings, centred: bool) -> list[str]:
    """Return the cells of a row."""
    alike, same = cosines(found, centred)
    low, high = np.percentile(alike[~np.eye(len(alike), dtype=bool)], [5, 95])
    np.fill_diagonal(alike, -np.inf)  # none is its own neighbour
    order = np.argsort(-alike, axis=1, kind="stable")[:, :NEAREST]
    right = 100 * np.take_along_axis(same, order, axis=1)
    return [f"{right[:, 0].mean():.1f}", f"{right.mean():.1f}", f"{low:.2f} to {high:.2f}"]


def section(source: Path, work: Path) -> Iterator[str]:
    """Yield the paragraphs of one data set."""
    place = work / "store"
    prepare(PrepareConfig(source, place, points=1024))
    teach(TeachConfig(place, device="cpu"))
    store = Store(place)
    yield f"## {source.stem}"
    yield f"{describe_store(store)}; {len(store.classes)} classes; teacher lite0 of all labels."
    rows = []
    for name in (*WEIGHTS, "lite0"):
        model = {"teacher": name} if name == "lite0" else {"run": name}
        found = embed(place, **model, device="cpu")
        for centred, told in ((False, "plain"), (True, "about the mean")):
            rows.append([name, told, *measure(found, centred)])
    yield table(HEAD, rows, left=2)


def main() -> None:
    """Do everything, from the shapes to the page."""
    given = parser(__doc__).parse_args()
    own = list(section(given.source, given.work))
    head = (
        "# Similar shapes",
        "Written by `python -m benchmarks.similar ../shared/data/SET.zip WORK`. Each shape of train"
        " and val asks for the others by its embedding; precision@5 is the share of the five"
        " nearest that are of its class, percent. The plain cosine is what `similar` took before;"
        " no test shape was read. The teacher, and the weights named after the set, have learnt"
        " from its train shapes: compare the two cosines of each, and not the models.",
        machine(),
    )
    write(PAGE, [*head, *sections(PAGE, own)])


if __name__ == "__main__":
    main()
