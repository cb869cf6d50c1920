"""How well the clusters of the page for parts fit parts: what labels by clusters lose at most.

    python -m benchmarks.labelling.pieces ../shared/data/psb_parts17.zip

Shapes of a set with part labels are cut into clusters; each gets the part that most of its points
have, as a careful labeller would give it. Points right and mean IoU of the shapes (ShapeNetPart's)
are those of such labels; k-means of the coordinates alone stands beside. The section of the set in
benchmarks/labelling/README.md is written, the others stay.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans

from benchmarks.labelling import PAGE, rewrite
from benchmarks.shared.page import table
from pointmcd.data.clusters import find_clusters
from pointmcd.datasets.registry import find_shapes
from pointmcd.metrics.part_iou import shape_ious
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.plan import make_plan
from pointmcd.preparation.prepare_shape import PreparedShape, prepare_shape, shape_seed
from pointmcd.typing import Floats, Indices, Integers, Shorts

COUNTS = (8, 16, 24, 40)
#: Shapes of a set that are looked at.
SHAPES, POINTS = 100, 2048


def k_means(points: Floats, count: int) -> Integers:
    """Return the cluster [P] of each point by its coordinates."""
    return np.asarray(KMeans(count, n_init=1, random_state=0).fit_predict(points))


WAYS: dict[str, Callable[[Floats, int], Integers]] = {
    "pieces of the page": find_clusters,
    "k-means of coordinates": k_means,
}


def labelled_shapes(source: Path) -> Iterator[tuple[PreparedShape, int]]:
    """Yield shapes of a set drawn at random, and how many parts their class has."""
    plan = make_plan(PrepareConfig(source, Path()), find_shapes(source))
    for place in np.random.default_rng(0).permutation(len(plan.items))[:SHAPES]:
        item = plan.items[place]
        seed = shape_seed(0, item.name)
        yield prepare_shape(item, POINTS, plan.rig, seed), len(plan.parts[str(item.label)])


def by_clusters(parts: Shorts, clusters: Integers) -> Indices:
    """Return for each point the part that most points of its cluster have, [P]."""
    said = np.empty(len(parts), dtype=np.int64)
    for cluster in np.unique(clusters):
        inside = clusters == cluster
        said[inside] = np.bincount(parts[inside]).argmax()
    return said


def scores(shapes: Sequence[tuple[PreparedShape, int]], way: str, count: int) -> str:
    """Return points right / mean IoU, percent, of labels by clusters."""
    right, ious = [], []
    for shape, parts in shapes:
        said = by_clusters(shape.parts, WAYS[way](shape.points, count))
        right.append((said == shape.parts).mean())
        ious.append(shape_ious(shape.parts[None], said[None], [0], [[0, parts]]))
    return f"{100 * np.mean(right):.1f} / {100 * np.mean(ious):.1f}"


def section(source: Path) -> Iterator[str]:
    """Yield the paragraphs of one data set."""
    shapes = list(labelled_shapes(source))
    yield f"## Pieces of {source.stem}"
    yield (
        f"`python -m benchmarks.labelling.pieces ../shared/data/{source.name}`: {len(shapes)}"
        f" shapes, {POINTS} points; each cluster gets the part that most of its points have. The"
        " weight of the normals was chosen on psb_parts17 and mfcad16, whatever the split of a"
        " shape. Points right / mean IoU of the shapes, percent."
    )
    rows = [(way, *(scores(shapes, way, count) for count in COUNTS)) for way in WAYS]
    yield table(("", *(f"{count} clusters" for count in COUNTS)), rows)


def main() -> None:
    """Write the section of a set."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("source", type=Path, help="a set with part labels")
    rewrite(PAGE, list(section(options.parse_args().source)))


if __name__ == "__main__":
    main()
