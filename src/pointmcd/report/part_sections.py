"""What only reports on part segmentation have: truth beside prediction, in pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_hex

from pointmcd.data.store import Store, part_ranges
from pointmcd.errors import PointMCDError
from pointmcd.evaluation.arms import Arm
from pointmcd.evaluation.compare import Comparison
from pointmcd.evaluation.run_result import SegmentationResult
from pointmcd.plots.colours import part_colours, part_paint
from pointmcd.plots.parts import BACK, FRONT, cloud_pictures
from pointmcd.plots.style import parts_uri
from pointmcd.report.headline import main_arm

#: Shapes in each list of differences, and in the list from the worst to the best.
_CLEAREST, _SPREAD = 4, 6
#: Side of each of a cloud's two pictures in pixels.
_SIDE = 180

_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """One labelling of a shape: the true one or an arm's."""

    caption: str
    alt: str
    picture: str | None


@dataclass(frozen=True)
class LabelledShape:
    """A test shape, the true labels first."""

    name: str
    label: str
    sides: tuple[Side, ...]
    legend: tuple[tuple[str, str], ...]

    @property
    def pictured(self) -> bool:
        """Whether there is anything to see."""
        return any(side.picture for side in self.sides)


@dataclass(frozen=True)
class Kind:
    """Shapes that were chosen by one rule."""

    title: str
    shapes: tuple[LabelledShape, ...]


def part_sections(comparison: Comparison, store: Store | str) -> dict[str, Any] | None:
    """Shapes where two arms differ most and some evenly spread ones; None for another task.

    Args:
        comparison: of segmentation runs, with or without a baseline.
        store: what they were tested on, or why it is not there.
    """
    if comparison.measure.task != "segmentation":
        return None
    arms = [*filter(None, [comparison.baseline]), comparison.arms[main_arm(comparison)]]
    chosen, fault = _chosen(arms), store if isinstance(store, str) else None
    try:
        kinds = _kinds(chosen, arms, None if isinstance(store, str) else store)
    except PointMCDError as error:
        kinds, fault = _kinds(chosen, arms, None), f"The store cannot be read: {error}"
    return {
        "arm": arms[-1].label,
        "baseline": arms[0].label if len(arms) > 1 else None,
        "kinds": kinds,
        "no_pictures": fault,
    }


def _chosen(arms: Sequence[Arm]) -> list[tuple[str, _Rows]]:
    """Titles and rows of shapes; of the last arm, held against the first if there are two."""
    scores = arms[-1].joint_scores
    places = np.linspace(0, len(scores) - 1, min(_SPREAD, len(scores))).round().astype(int)
    spread = np.argsort(scores, kind="stable")[places]
    found = [(f"From the worst to the best shape of {arms[-1].label}, evenly spaced", spread)]
    if len(arms) == 1:
        return found
    gain = scores - arms[0].joint_scores
    lists = []
    for word, sign in (("Better", 1), ("Worse", -1)):
        rows = np.flatnonzero(sign * gain > 0)
        shown = rows[np.argsort(-sign * gain[rows], kind="stable")][:_CLEAREST]
        some = f", {len(shown)} shown" if len(shown) < len(rows) else ""
        lists.append((f"{word} with {arms[-1].label}: {len(rows)}{some}", shown))
    return lists + found


def _kinds(
    chosen: Sequence[tuple[str, _Rows]], arms: Sequence[Arm], store: Store | None
) -> list[Kind]:
    places = {shape.name: i for i, shape in enumerate(store.shapes)} if store else {}
    return [
        Kind(title, tuple(_shape(int(row), arms, store, places) for row in rows))
        for title, rows in chosen
    ]


def _shape(
    row: int, arms: Sequence[Arm], store: Store | None, places: dict[str, int]
) -> LabelledShape:
    first = _result(arms[0], row)
    name, label = first.names[row], first.classes[first.labels[row]]
    start = part_ranges(first.parts, first.classes)[first.labels[row], 0]
    truth, names = first.truth[row], first.parts[label]
    parts = np.stack([truth, *(_result(arm, row).predictions[row] for arm in arms)])
    local = np.where(parts < 0, -1, parts - start)
    pictures: list[str | None] = [None] * len(parts)
    if store and name in places:
        points = store.points(np.array([places[name]]), len(truth))[0]
        pictures = [*_pictures(points, local, len(names))]
    captions = ["truth", *(_caption(arm, row) for arm in arms)]
    sides = tuple(
        Side(caption, f"{name} from in front and from behind, {caption}", picture)
        for caption, picture in zip(captions, pictures, strict=True)
    )
    return LabelledShape(name, label, sides, _legend(names))


def _legend(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Part names with their colours, like `("leg", "#0072b2")`."""
    colours = (to_hex(colour / 255) for colour in part_colours(len(names)))
    return tuple(zip(names, colours, strict=True))


def _result(arm: Arm, row: int) -> SegmentationResult:
    """The seed whose score of the shape is nearest to the mean."""
    mean = arm.joint_scores[row]
    result = min(arm.results, key=lambda result: float(abs(result.scores[row] - mean)))
    assert isinstance(result, SegmentationResult)
    return result


def _caption(arm: Arm, row: int) -> str:
    text = f"{arm.label}: {100 * arm.joint_scores[row]:.1f}"
    result = _result(arm, row)
    several = f" (seed {result.seed}: {100 * result.scores[row]:.1f})"
    return text + several if len(arm.seeds) > 1 else text


def _pictures(
    points: npt.NDArray[np.float32], parts: npt.NDArray[np.int64], count: int
) -> list[str]:
    """Each labelling [k, N] of a cloud as a picture of both its sides."""
    paint = np.stack([part_paint(labels, count) for labels in parts])
    views = [cloud_pictures(points, paint, _SIDE, view) for view in (FRONT, BACK)]
    return [parts_uri(picture) for picture in np.concatenate(views, axis=2)]
