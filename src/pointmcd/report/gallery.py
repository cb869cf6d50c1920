"""Contact sheets: all views of a shape with the points that each sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from pointmcd.data.store import Store
from pointmcd.errors import PointMCDError, StoreError
from pointmcd.files import read_json
from pointmcd.plots.style import POINT, Picture, picture_uri
from pointmcd.tasks.results import Variant
from pointmcd.training.run import Run
from pointmcd.typing import Bytes, Doubles, Reals
from pointmcd.views.framing import Framing
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
            return f"The store {path} is no longer the one that the runs were trained on."
        # A picture that cannot be read now should be told once, not shape by shape.
        store.views(0)
    except PointMCDError as error:
        return f"The store cannot be read: {error}"
    return store


def contact_sheets(store: Store, points: int) -> list[Sheet]:
    """Sheets of a few test shapes of different classes, showing at most `points` points."""
    rig = Rig.from_json(store.rig)
    count = min(points, _POINTS, store.num_points)
    return [_sheet(store, rig, index, count) for index in _spread_over_classes(store)]


def _spread_over_classes(store: Store) -> list[int]:
    """Indices of test shapes, each of another class, evenly spread over the classes."""
    first: dict[str, int] = {}
    for index in store.indices("test"):
        first.setdefault(str(store.shapes[index].label), int(index))
    indices = [first[label] for label in sorted(first)]
    steps = np.linspace(0, len(indices), min(_SHEETS, len(indices)), endpoint=False)
    return [indices[step] for step in steps.astype(int)]


def _sheet(store: Store, rig: Rig, index: int, count: int) -> Sheet:
    row = np.array([index])
    visible = store.visibility(row, count)[0]
    places = project_points(store.points(row, count)[0], rig, _framing(store, index))
    shape = store.shapes[index]
    views = []
    for number, view in enumerate(store.views(index)):
        seen = visible[:, number]
        caption = f"view {number + 1}: sees {seen.mean():.0%}"
        alt = f"{shape.name}, view {number + 1} of {len(rig)}: {seen.sum()} of {count} points seen"
        dotted = _dotted(view, places[number][seen])
        views.append(Picture(picture_uri(dotted), alt, caption))
    return Sheet(shape.name, str(shape.label), views)


def project_points(points: Reals, rig: Rig, framing: Framing) -> Doubles:
    """Find the place of points [N, 3] in every view: the inverse of `views.raycast.pixel_rays`.

    Returns float64 [V, N, 2]: column and row in pixels from the upper left corner of the picture.
    """
    frames = rig.frames
    axes = np.stack([frames.right, frames.up, frames.forward], axis=1)
    relative = framing.apply(points)[None] - frames.position[:, None]
    across, above, depth = np.einsum("vad,vnd->avn", axes, relative)
    reach = depth * rig.tangent
    return rig.size * np.stack([1 + across / reach, 1 - above / reach], axis=-1) / 2


def _framing(store: Store, index: int) -> Framing:
    shard, row = store.locate(index)
    file = store.path / "shards" / shard / "shapes.json"
    try:
        frame = read_json(file)["shapes"][row]["frame"]
        return Framing(np.asarray(frame["centre"], dtype=np.float64), float(frame["scale"]))
    except (KeyError, IndexError, TypeError) as error:
        raise StoreError(f"{file}: does not say how shapes are framed; prepare again") from error


def _dotted(view: Bytes, places: Doubles) -> Bytes:
    """Draw dots at places [n, 2] (column, row) over a grey view [S, S]; RGB [2 S, 2 S, 3]."""
    side = _ENLARGE * len(view)
    pale = (255 - _SHADE * (255.0 - view)).astype(np.uint8)
    picture = Image.fromarray(pale).resize((side, side), Image.Resampling.LANCZOS).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for column, row in _ENLARGE * places:
        draw.circle((column, row), _RADIUS, fill=POINT)
    return np.asarray(picture)
