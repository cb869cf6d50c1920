"""Races of distilled train steps of whole students."""

import copy
from collections.abc import Iterator
from functools import partial

from benchmarks.shared.race import Race
from benchmarks.shared.steps import POINTS, VIEWS, make_module, random_batch, step
from benchmarks.speed.published.students import FORWARD, distilled

#: Batch, repeats and floor of each student.
STUDENTS = {
    "pointnet": (32, 3, 6.0),
    "dgcnn": (8, 3, 10.0),
    "pointnet2": (8, 3, None),
    "curvenet": (8, 3, None),
}


def races() -> Iterator[Race]:
    """Yield one race a student."""
    for name, (batch, repeats, floor) in STUDENTS.items():
        yield of_student(name, batch, repeats, floor)


def of_student(name: str, batch: int, repeats: int, floor: float | None) -> Race:
    """Return a step of ours beside one of the same weights in the published formulation."""
    module = make_module(name)
    twin = copy.deepcopy(module)
    inputs = random_batch(batch)
    return Race(
        f"{name}, distilled step, B {batch}, N {POINTS}, V {VIEWS}",
        step(twin, inputs, partial(distilled, FORWARD[name], twin)),
        {"ours": step(module, inputs)},
        {} if floor is None else {"ours": floor},
        repeats=repeats,
        memory=True,
    )
