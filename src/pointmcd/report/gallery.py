"""Contact sheets: all views of a shape with the points that each sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.errors import PointMCDError
from pointmcd.plots.style import POINT, Picture, picture_uri
from pointmcd.tasks.results import Variant, unreadable
from pointmcd.training.run import Run
from pointmcd.typing import Bytes, Doubles
from pointmcd.views.places import stored_places
from pointmcd.views.rig import Rig

_SHEETS = 4
#: More points than this hide the shape.
_POINTS = 512
#: Views are enlarged before dots are drawn, so that the dots are round.
_ENLARGE = 2
_RADIUS = 3.8
#: How much of a view's darkness stays under the dots, so that they stand out.
_SHADE = 0.5


class Sheet(NamedTuple):
    """All views of one shape with the points that each sees."""

    name: str
    label: str
    views: list[Picture]


def open_store(variants: Sequence[Variant]) -> Store | str:
    """The store that variants were trained on, or one sentence that says why it is not there."""
    info = variants[0].results[0].info
    path = Path(info["store"])
    try:
        store = Run(variants[0].results[0].path).open_store()
        if store.fingerprint != info["store_fingerprint"]:
            return f"The store {path.name} is no longer the one that the runs were trained on."
        # A picture that cannot be read now should be told once, not shape by shape.
        store.views(0)
    except PointMCDError as error:
        return unreadable(path, error)
    return store


def contact_sheets(store: Store, points: int) -> list[Sheet]:
    """Sheets of a few shapes of different classes, showing at most `points` points.

    They are test shapes, or, where there are none, labelled ones.
    """
    rig = Rig.from_json(store.rig)
    count = min(points, _POINTS, store.num_points)
    return [_sheet(store, rig, index, count) for index in _spread_over_classes(store)]


def _spread_over_classes(store: Store) -> list[int]:
    """Indices of shapes, each of another class, evenly spread over the classes."""
    first: dict[str, int] = {}
    test = store.indices("test")
    for index in test if len(test) else labelled_train(store):
        first.setdefault(str(store.shapes[index].label), int(index))
    indices = [first[label] for label in sorted(first)]
    steps = np.linspace(0, len(indices), min(_SHEETS, len(indices)), endpoint=False)
    return [indices[step] for step in steps.astype(int)]


def _sheet(store: Store, rig: Rig, index: int, count: int) -> Sheet:
    row = np.array([index])
    visible = store.visibility(row, count)[0]
    places = stored_places(store, index, count)
    shape = store.shapes[index]
    views = []
    for number, view in enumerate(store.views(index)):
        seen = visible[:, number]
        caption = f"view {number + 1}: sees {seen.mean():.0%}"
        alt = f"{shape.name}, view {number + 1} of {len(rig)}: {seen.sum()} of {count} points seen"
        dotted = _dotted(view, places[number][seen])
        views.append(Picture(picture_uri(dotted), alt, caption))
    return Sheet(shape.name, str(shape.label), views)


def _dotted(view: Bytes, places: Doubles) -> Bytes:
    """Draw dots at places [n, 2] (column, row) over a grey view [S, S]; RGB [2 S, 2 S, 3]."""
    side = _ENLARGE * len(view)
    pale = (255 - _SHADE * (255.0 - view)).astype(np.uint8)
    picture = Image.fromarray(pale).resize((side, side), Image.Resampling.LANCZOS).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for column, row in _ENLARGE * places:
        draw.circle((column, row), _RADIUS, fill=POINT)
    return np.asarray(picture)
