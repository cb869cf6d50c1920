"""Which pairs `pointmcd prepare` takes for twins: copies of shapes, and parts of other proportions.

    python -m benchmarks.twins ../shared/data

A copy is the same mesh, sampled with another seed, turned at random, scaled and moved. A part of
other proportions has one dimension of another part multiplied, and is turned likewise. Writes
benchmarks/twins/README.md; about eight minutes.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import process_time

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from benchmarks.shared.page import machine, table, write
from benchmarks.twins.parts import FAMILIES, part, stretched
from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.ops.farthest_points import farthest_points
from pointmcd.preparation.prepare_shape import shape_seed
from pointmcd.preparation.twins import find_twins, twins_among
from pointmcd.shapes.mesh import Mesh, normalise
from pointmcd.shapes.sampling import sample_surface
from pointmcd.typing import Floats

PAGE = Path(__file__).with_name("README.md")
SETS, COUNT = ("psb25", "furniture10", "ldraw32", "mfcad16"), 100
WHOLE = ("psb25", "furniture10", "ldraw32")
FACTORS = (1.03, 1.05, 1.1, 1.2)

#: Points of a mesh by a seed.
Sampler = Callable[[Mesh, int], Floats]


def even(count: int) -> Sampler:
    """Points as `prepare` takes them from meshes."""
    return lambda mesh, seed: sample_surface(mesh, count, seed)[0]


def chance(count: int) -> Sampler:
    """Points by chance, as in the clouds of ModelNet40."""

    def sample(mesh: Mesh, seed: int) -> Floats:
        surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        points = np.float32(trimesh.sample.sample_surface(surface, count, seed=seed)[0])
        return points[farthest_points(points, count)]

    return sample


SAMPLERS = {
    "2,048 even points": even(2048),
    "1,024 even points": even(1024),
    "1,024 points by chance": chance(1024),
}


def moved(points: Floats, seed: int) -> Floats:
    """Turn points at random, scale and move them."""
    random = np.random.default_rng(seed)
    turn = Rotation.random(random_state=seed).as_matrix()
    return (points @ turn * random.uniform(0.3, 2) + random.normal(size=3)).astype(np.float32)


def counted(pairs: Iterator[tuple[Mesh, Mesh]], sample: Sampler) -> str:
    """Count the twins among pairs of meshes."""
    found = total = 0
    for seed, (one, other) in enumerate(pairs):
        points = [sample(one, 2 * seed), moved(sample(other, 2 * seed + 1), seed)]
        found += len(twins_among(points.__getitem__, [(0, 1)]))
        total += 1
    return f"{found} of {total}"


def copies(data: Path, name: str) -> Iterator[tuple[Mesh, Mesh]]:
    """Pair shapes of a set, chosen at random, with themselves."""
    shapes = list_shapes(data / f"{name}.zip")
    for place in np.random.default_rng(0).choice(len(shapes), COUNT, replace=False):
        mesh = normalise(load_shape(shapes[place]))
        yield mesh, mesh


def variants(family: str, factor: float) -> Iterator[tuple[Mesh, Mesh]]:
    """Pair the parts of a family with those that have one dimension multiplied."""
    for dimensions in FAMILIES[family][1]:
        for other in stretched(dimensions, factor):
            yield normalise(part(family, dimensions)), normalise(part(family, other))


def searched(data: Path, name: str) -> list[list[str]]:
    """Search a whole set as `prepare` does, with the points that it takes."""
    shapes = list_shapes(data / f"{name}.zip")
    clouds = [
        sample_surface(normalise(load_shape(shape)), 2048, shape_seed(0, shape.name))[0]
        for shape in shapes
    ]
    splits = [shape.split for shape in shapes]
    rows = []
    for count in (2048, 1024):
        start = process_time()
        pairs = find_twins(lambda i, count=count: clouds[i][:count], splits)
        cost = (process_time() - start) / len(shapes) * 1000
        named = [" of ".join(shapes[i].name for i in pair) for pair in pairs]
        tests = len({test for _, test in pairs})
        rows.append([f"{name}, {count:,}", len(pairs), tests, f"{cost:.0f}", ", ".join(named)])
    return rows


def page(data: Path) -> list[str]:
    """Measure, and return the page, paragraph by paragraph."""
    found = [
        [f"copies, {name}", *(counted(copies(data, name), sample) for sample in SAMPLERS.values())]
        for name in SETS
    ]
    parts = [
        [f"{family}, {factor - 1:.0%}"]
        + [counted(variants(family, factor), sample) for sample in SAMPLERS.values()]
        for factor in FACTORS
        for family in FAMILIES
    ]
    return [
        "# Twins: copies that are found, and parts that are taken for copies",
        f"Written by `python -m benchmarks.twins ../shared/data`: {COUNT} shapes of each set,"
        " sampled twice, the second turned at random, scaled and moved. The limits of the search"
        " were set on shapes of these sets and on these parts, by other samples. How it works:"
        " [honest numbers](../../docs/honest-numbers.md).",
        machine("scipy"),
        table(["pairs that are twins", *SAMPLERS], found),
        "## Whole sets",
        "Shapes of train that are twins of a test shape, with the points that `prepare` takes;"
        " milliseconds are those of one core for each shape of the set.",
        table(
            ["set, points", "pairs", "test shapes", "ms", "shape of train, of test"],
            [row for name in WHOLE for row in searched(data, name)],
        ),
        "## Parts of other proportions",
        "Simple parts, by their dimensions in [parts.py](parts.py), and the same with one dimension"
        " larger by some per cent, each dimension in turn. None of these pairs should be twins.",
        table(["pairs taken for twins", *SAMPLERS], [*parts, *summed(parts)]),
    ]


def summed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Add up the rows of each factor."""
    sums = []
    for factor in FACTORS:
        own = [row[1:] for row in rows if row[0].endswith(f", {factor - 1:.0%}")]
        pairs = [[cell.split(" of ") for cell in column] for column in zip(*own, strict=True)]
        cells = [f"{sum(int(a) for a, _ in c)} of {sum(int(b) for _, b in c)}" for c in pairs]
        sums.append([f"**all, {factor - 1:.0%}**", *cells])
    return sums


if __name__ == "__main__":
    write(PAGE, page(Path(sys.argv[1])))
