"""Sections of a report on part segmentation: images of truth and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pointmcd.data.store import Store, part_ranges
from pointmcd.errors import PointMCDError
from pointmcd.plots.colours import part_hex, part_paint
from pointmcd.plots.parts import BACK, FRONT, cloud_pictures
from pointmcd.plots.style import picture_uri
from pointmcd.tasks.results import RunResult, Section, Variant, unreadable

#: Shapes in each list of differences, and in the list from the worst to the best.
_CLEAREST, _SPREAD = 4, 6
#: Side of each of a cloud's two pictures in pixels.
_SIDE = 180

_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """One labelling of a shape: the true one or a variant's."""

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
        """Whether there is anything to show."""
        return any(side.picture for side in self.sides)


@dataclass(frozen=True)
class Kind:
    """Shapes that were chosen by one rule."""

    title: str
    shapes: tuple[LabelledShape, ...]


def part_sections(shown: Sequence[Variant], store: Store | str) -> list[Section]:
    """Shapes where two variants differ most and some evenly spread ones; see `Task.sections`."""
    chosen, fault = _chosen(shown), None
    if isinstance(store, str):
        kinds, fault = _kinds(chosen, shown, None), store
    else:
        try:
            kinds = _kinds(chosen, shown, store)
        except PointMCDError as error:
            kinds, fault = _kinds(chosen, shown, None), unreadable(store.path, error)
    truth = {
        "variant": shown[-1].label,
        "baseline": shown[0].label if len(shown) > 1 else None,
        "kinds": kinds,
        "no_pictures": fault,
    }
    return [Section("truth", "Truth and prediction", "truth.html.j2", {"truth": truth})]


def _chosen(variants: Sequence[Variant]) -> list[tuple[str, _Rows]]:
    """Titles and rows of shapes, of the last variant; compared with the first if there are two."""
    scores = variants[-1].joint_scores
    places = np.linspace(0, len(scores) - 1, min(_SPREAD, len(scores))).round().astype(int)
    spread = np.argsort(scores, kind="stable")[places]
    found = [(f"From the worst to the best shape of {variants[-1].label}, evenly spaced", spread)]
    if len(variants) == 1:
        return found
    gain = scores - variants[0].joint_scores
    lists = []
    for word, sign in (("Better", 1), ("Worse", -1)):
        rows = np.flatnonzero(sign * gain > 0)
        shown = rows[np.argsort(-sign * gain[rows], kind="stable")][:_CLEAREST]
        some = f", {len(shown)} shown" if len(shown) < len(rows) else ""
        lists.append((f"{word} with {variants[-1].label}: {len(rows)}{some}", shown))
    return lists + found


def _kinds(
    chosen: Sequence[tuple[str, _Rows]], variants: Sequence[Variant], store: Store | None
) -> list[Kind]:
    places = {shape.name: i for i, shape in enumerate(store.shapes)} if store else {}
    return [
        Kind(title, tuple(_shape(int(row), variants, store, places) for row in rows))
        for title, rows in chosen
    ]


def _shape(
    row: int, variants: Sequence[Variant], store: Store | None, places: dict[str, int]
) -> LabelledShape:
    first = _result(variants[0], row)
    name, label = first.names[row], first.classes[first.labels[row]]
    parts_of: dict[str, list[str]] = first.info["parts"]
    start = part_ranges(parts_of, first.classes)[first.labels[row], 0]
    truth, names = first.arrays["truth"][row], parts_of[label]
    said = [_result(variant, row).arrays["predictions"][row] for variant in variants]
    parts = np.stack([truth, *said]).astype(np.int64)
    local = np.where(parts < 0, -1, parts - start)
    pictures: list[str | None] = [None] * len(parts)
    if store and name in places:
        points = store.with_up("y").points(np.array([places[name]]), len(truth))[0]
        pictures = [*_pictures(points, local, len(names))]
    captions = ["truth", *(_caption(variant, row) for variant in variants)]
    sides = tuple(
        Side(caption, f"{name} from in front and from behind, {caption}", picture)
        for caption, picture in zip(captions, pictures, strict=True)
    )
    return LabelledShape(name, label, sides, _legend(names))


def _legend(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Part names with their colours, like `("leg", "#0072b2")`."""
    return tuple(zip(names, part_hex(len(names)), strict=True))


def _result(variant: Variant, row: int) -> RunResult:
    """The seed whose score of the shape is nearest to the mean."""
    mean = variant.joint_scores[row]
    return min(variant.results, key=lambda result: float(abs(result.scores[row] - mean)))


def _caption(variant: Variant, row: int) -> str:
    text = f"{variant.label}: {100 * variant.joint_scores[row]:.1f}"
    result = _result(variant, row)
    several = f" (seed {result.seed}: {100 * result.scores[row]:.1f})"
    return text + several if len(variant.seeds) > 1 else text


def _pictures(
    points: npt.NDArray[np.float32], parts: npt.NDArray[np.int64], count: int
) -> list[str]:
    """Images of each labelling [k, N] of a cloud, seen from both sides."""
    paint = np.stack([part_paint(labels, count) for labels in parts])
    views = [cloud_pictures(points, paint, _SIDE, view) for view in (FRONT, BACK)]
    return [picture_uri(picture, 256) for picture in np.concatenate(views, axis=2)]
