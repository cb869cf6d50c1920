"""Shapes to turn by hand: one self-contained page of points, what views see, and predictions."""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, ShapeError
from pointmcd.evaluation.results import read_result
from pointmcd.extras import import_extra
from pointmcd.files import write_page
from pointmcd.inference.files import find_files
from pointmcd.inference.predict import predictions
from pointmcd.metrics.calibration import soften
from pointmcd.options import Axis
from pointmcd.plots.colours import part_hex
from pointmcd.progress import console, note
from pointmcd.shapes.axes import turn
from pointmcd.shapes.clouds import read_points
from pointmcd.tables import first_few
from pointmcd.tasks.part_prediction import PartPrediction
from pointmcd.tasks.results import RunResult
from pointmcd.tasks.task import Prediction
from pointmcd.teachers.stored import is_teacher
from pointmcd.templates import load_template, template_text
from pointmcd.training.run import Run
from pointmcd.typing import Floats, Integers

#: Points of a file, and shapes on one page where none is named.
POINTS, SHAPES = 2048, 24
_SEEN, _HIDDEN, _UNKNOWN = "#d55e00", "#b9c2cd", "#c8c8c8"


@dataclass(frozen=True)
class Paint:
    """Groups of points: the group of each [N], and names and colours of the groups."""

    groups: Integers
    names: Sequence[str]
    colours: Sequence[str]


@dataclass(frozen=True)
class Scene:
    """A shape to look at: points [N, 3], a line about it, and ways to colour it by their names."""

    name: str
    note: str
    points: Floats
    paints: dict[str, Paint] = field(default_factory=dict)


def _part_groups(parts: Integers, names: Sequence[str]) -> Paint:
    """Colour points by their parts [N], counted from 0; -1: without a label."""
    colours = [*part_hex(len(names)), _UNKNOWN]
    return Paint(np.where(parts < 0, len(names), parts), [*names, "no label"], colours)


def view(
    subject: str | Path | Sequence[str | Path],
    out: str | Path,
    run: str | Path | None = None,
    shapes: Sequence[str] = (),
    label: str | None = None,
    up: Axis | None = None,
) -> Path:
    """Write a page on which shapes can be turned, and return the file.

    Args:
        subject: mesh or cloud files and folders of them; a store, with what each view sees; or an
            evaluated run, with what it predicts for test shapes, the wrong ones first.
        out: the page, or a folder in which to write view.html.
        run: of files: a run, or a teacher, that predicts on them.
        shapes: of a store or run: names of shapes; by default 24, spread over all.
        label: of files: their class, for a run that labels parts.
        up: of files: the axis that points up in them; by default that of the run's own shapes, or
            y. On the page all shapes stand upright.

    Raises:
        ShapeError, StoreError, RunError: when file, store or run cannot be read.
        ConfigError: when plotly is absent, a shape has no such name, or there are several stores or
            runs, or nothing.
    """
    import_extra("plotly.offline", "view", "view")
    paths = [Path(one) for one in ([subject] if isinstance(subject, str | Path) else subject)]
    store, trained = ([(p / file).is_file() for p in paths] for file in ("store.json", "run.json"))
    if len(paths) != 1 and (not paths or any(store + trained)):
        raise ConfigError("view: give files and folders of them, or one store, or one run")
    if taught := next(filter(is_teacher, paths), None):
        raise ConfigError(f"{taught}: is a teacher; give files, and the teacher as --run")
    if up and any(store + trained):
        raise ConfigError(f"--up {up}: is for files; {paths[0]} knows what is up in its shapes")
    if store[0]:
        scenes = _of_store(Store(paths[0]).with_up("y"), shapes)
    elif trained[0]:
        scenes = run_scenes(paths[0], shapes)
    else:
        scenes = _of_files(paths, run, label, up)
    html = load_template("pointmcd.report", "view.html.j2").render(
        title=first_few([path.resolve().name for path in paths]), turned=turned(scenes)
    )
    return write_page(html, out, "view.html")


def turned(scenes: Iterable[Scene]) -> dict[str, Any]:
    """Return the variables of turned.html.j2: the scenes, and the scripts that draw them.

    Raises:
        ConfigError: when plotly is absent.
    """
    library = import_extra("plotly.offline", "view", "view").get_plotlyjs()
    script = template_text("pointmcd.report", "view.js")
    return {"data": [_json(scene) for scene in scenes], "library": library, "script": script}


def _of_files(
    paths: Sequence[Path], run: str | Path | None, label: str | None, up: Axis | None
) -> Iterator[Scene]:
    """Yield the scenes of the first files; of several, those that cannot be read are told."""
    found, _ = find_files(paths)
    if run is None:
        made: Iterator[Scene | str] = (_unpredicted(file, up or "y") for file in found)
    else:
        made = map(_predicted, predictions(run, found, label, up=up))
    shown, faults = 0, list[str]()
    for scene in made:
        if isinstance(scene, str):
            faults.append(scene)
            continue
        yield scene
        shown += 1
        if shown == SHAPES:
            break
    if not shown:
        raise ShapeError(faults[-1])
    for fault in faults:
        console.print(f"skipped: {fault}", soft_wrap=True)
    if shown + len(faults) < len(found):
        note(f"{shown} of {len(found)} files are shown; name others to see them")


def _unpredicted(file: Path, up: Axis) -> Scene | str:
    """The points of a file, or why it cannot be read."""
    notes: list[str] = []
    try:
        points = read_points(file, POINTS, seed=0, notes=notes)
    except ShapeError as error:
        return str(error)
    return Scene(file.name, "; ".join(notes) or "mesh", turn(points, up, "y"))


def _predicted(said: Prediction) -> Scene | str:
    """The points of a file with what a run says of it, or why it says nothing."""
    if said.fault is not None:
        return said.fault
    note = ", ".join(f"{name} {text}" for name, text in said.cells().items() if text)
    if isinstance(said, PartPrediction):
        paints = {"predicted parts": _part_groups(said.point_parts, list(said.parts))}
        return Scene(said.path.name, note, turn(said.points, said.up, "y"), paints)
    points = read_points(said.path, POINTS, seed=0)
    return Scene(said.path.name, note, turn(points, said.up, "y"))


def _of_store(store: Store, shapes: Sequence[str]) -> Iterator[Scene]:
    for index in _chosen(store, shapes, np.arange(len(store.shapes))):
        shape = store.shapes[index]
        yield _scene(
            store, index, f"{shape.label or 'no label'}, {shape.split}", _parts(store, index)
        )


def run_scenes(path: Path, shapes: Sequence[str] = (), split: str = "test") -> Iterator[Scene]:
    """Yield shapes that a run was evaluated on, those of these names or its worst, as scenes."""
    run, result = Run(path), read_result(path, split=split)
    store = run.open_store().with_up("y")
    place = {shape.name: index for index, shape in enumerate(store.shapes)}
    rows = np.argsort(result.scores, kind="stable")  # the worst first
    known = [place[result.names[row]] for row in rows if result.names[row] in place]
    row_of = {name: row for row, name in enumerate(result.names)}
    for index in _chosen(store, shapes, np.array(known, dtype=np.int64), spread=False):
        row = row_of[store.shapes[index].name]
        yield _scene(
            store, index, _told(result, row), _parts(store, index) | _said(result, row, run)
        )


def _chosen(store: Store, names: Sequence[str], among: Integers, spread: bool = True) -> list[int]:
    """Indices of named shapes, or of some of those there are.

    Raises:
        ConfigError: when there is no shape of that name.
    """
    if not names:
        count = min(SHAPES, len(among))
        picked = np.linspace(0, len(among), count, endpoint=False).astype(int)
        return [int(i) for i in (among[picked] if spread else among[:count])]
    place = {store.shapes[int(index)].name: int(index) for index in among}
    if unknown := next((name for name in names if name not in place), None):
        raise ConfigError(f"--shapes {unknown}: no such shape; `pointmcd map` shows the names")
    return [place[name] for name in names]


def _scene(store: Store, index: int, note: str, paints: dict[str, Paint]) -> Scene:
    """A shape of a store, coloured by its parts if they are known, and by what each view sees."""
    row, count = np.array([index]), store.num_points
    seen = store.visibility(row, count)[0]
    views = {
        f"seen by view {number + 1}": Paint(
            np.where(seen[:, number], 0, 1), ["seen", "hidden"], [_SEEN, _HIDDEN]
        )
        for number in range(seen.shape[1])
    }
    return Scene(store.shapes[index].name, note, store.points(row, count)[0], paints | views)


def _parts(store: Store, index: int) -> dict[str, Paint]:
    """The labelled parts of a shape, where the store has some."""
    label = store.shapes[index].label
    if store.parts is None or label is None:
        return {}
    row = np.array([index])
    first = store.part_ranges[store.classes.index(label), 0]
    labels = store.part_labels(row, store.num_points)[0] - first
    return {"labelled parts": _part_groups(labels, store.parts[label])}


def _told(result: RunResult, row: int) -> str:
    """The class of a test shape, and what the run says of it."""
    label = result.classes[result.labels[row]]
    if "probabilities" not in result.arrays:
        return f"{label}, {100 * result.scores[row]:.0f}% mIoU"
    said = result.arrays["predictions"][row]
    sure = soften(result.arrays["probabilities"][row : row + 1], result.temperature).max()
    return f"is {label}, predicted as {result.classes[said]} ({sure:.0%})"


def _said(result: RunResult, row: int, run: Run) -> dict[str, Paint]:
    """The parts that a run predicts for the first points of a test shape."""
    if "truth" not in result.arrays or run.labels.parts is None:
        return {}
    first = run.labels.part_ranges[result.labels[row], 0]
    names = run.labels.parts[result.classes[result.labels[row]]]
    return {"predicted parts": _part_groups(result.arrays["predictions"][row] - first, names)}


def _json(scene: Scene) -> dict[str, Any]:
    """A scene as JSON; points beyond the groups of a paint are not shown with it."""
    return {
        "name": scene.name,
        "note": scene.note,
        "points": _base64(scene.points.astype("<f4")),
        "paints": [
            {
                "name": name,
                "groups": _base64(paint.groups.astype(np.uint8)),
                "names": list(paint.names),
                "colours": list(paint.colours),
            }
            for name, paint in scene.paints.items()
        ],
    }


def _base64(array: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
