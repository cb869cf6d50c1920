"""A paper plan for large collections, from unit costs."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.growth.units import Units
from benchmarks.shared.page import table

#: Shapes of the collections, as published.
SETS = {"ModelNet40": 12_311, "ShapeNetCore": 52_000, "Objaverse": 800_000}
CORES, SHARD_SIZE, FILES_A_SHARD = 16, 1024, 3
HOUR, DAY = 3600, 86_400


@dataclass(frozen=True)
class Costs:
    """Unit costs of one run.

    Attributes:
        units: of real shapes.
        by_faces: seconds of preparing a shape by its faces.
        step: seconds of a training step for each shape in it, by student.
        load: seconds of loading a shape, where all maps are kept and where most are not.
        open: seconds of opening a store, by shapes.
        listing: bytes of store.json, by shapes.
        memory: bytes of memory at the peak of opening a store, by shapes; None: not told.
    """

    units: Units
    by_faces: Mapping[int, float]
    step: Mapping[str, float]
    load: tuple[float, float]
    open: Mapping[int, float]
    listing: Mapping[int, int]
    memory: Mapping[int, int | None]


def plan_table(costs: Costs) -> str:
    """Return a table with a row for each need and a column for each set."""
    faces = list(costs.by_faces)
    chosen = faces[1], faces[3]
    seconds = costs.units.seconds
    prepare = {f"{count:,} faces each": costs.by_faces[count] for count in chosen}
    look = seconds["features"]
    rows = {
        f"prepare as measured on furniture ({costs.units.faces:,.0f} faces), core hours": _hours(
            seconds["prepare"]
        ),
        **{f"prepare, {text}, core hours": _hours(each) for text, each in prepare.items()},
        "features of lite0, 12 views, core hours": _hours(look),
        "heads of a teacher of labels, core hours": _hours(seconds["heads, all epochs"]),
    }
    for text, each in prepare.items():
        day = [_machines(count * (each + look)) for count in SETS.values()]
        rows[f"machines of {CORES} cores to prepare and compute features in a day, {text}"] = day
    rows["store on disk, GB"] = _each(sum(costs.units.bytes.values()) / 1e9, "{:,.1f}")
    rows["of these the views, GB"] = _each(costs.units.bytes["views"] / 1e9, "{:,.1f}")
    rows["what an epoch reads, GB"] = _each(read_bytes(costs.units) / 1e9, "{:,.1f}")
    shards = [-(-count // SHARD_SIZE) for count in SETS.values()]
    rows[f"shards of {SHARD_SIZE:,}"] = [f"{count:,}" for count in shards]
    rows["files to keep open in training"] = [f"{FILES_A_SHARD * count:,}" for count in shards]
    rows["the same with shards of 32 (the default)"] = [
        f"{-(-count // 32) * FILES_A_SHARD:,}" for count in SETS.values()
    ]
    rows["store.json, MB"] = [f"{costs.listing[count] / 1e6:,.1f}" for count in SETS.values()]
    rows["opening the store, s"] = [f"{costs.open[count]:,.1f}" for count in SETS.values()]
    peaks = [costs.memory[count] for count in SETS.values()]
    rows["memory for that at its peak, MB"] = [
        "not told" if peak is None else f"{peak / 1e6:,.0f}" for peak in peaks
    ]
    for student, each in costs.step.items():
        rows[f"an epoch of {student}, 1,024 points, core hours"] = _hours(each)
    rows["loading in an epoch, all maps kept, core hours"] = _hours(costs.load[0])
    rows["loading in an epoch, most maps opened anew, core hours"] = _hours(costs.load[1])
    head = ["", *(f"{name} ({count:,})" for name, count in SETS.items())]
    return table(head, [(name, *cells) for name, cells in rows.items()])


def read_bytes(units: Units) -> float:
    """Return the bytes that a distilled epoch reads of a shape, at all its points."""
    return sum(units.bytes[kind] for kind in ("points", "visibility", "descriptors"))


def unit_table(costs: Costs) -> str:
    """Return the unit costs, one a row."""
    rows = {f"{name}, s": f"{value:.4f}" for name, value in costs.units.seconds.items()}
    for name, value in costs.units.bytes.items():
        rows[f"{name}, bytes"] = f"{value:,.0f}"
    for count, value in costs.by_faces.items():
        rows[f"prepare at {count:,} faces, s"] = f"{value:.4f}"
    for name, value in costs.step.items():
        rows[f"training step of {name}, 1,024 points, s"] = f"{value:.4f}"
    rows["loading, all maps kept, s"] = f"{costs.load[0]:.6f}"
    rows["loading, most maps opened anew, s"] = f"{costs.load[1]:.6f}"
    return table(["of one shape", "cost"], rows.items())


def _hours(each: float) -> list[str]:
    return _each(each / HOUR, "{:,.1f}")


def _each(value: float, form: str) -> list[str]:
    return [form.format(value * count) for count in SETS.values()]


def _machines(seconds: float) -> str:
    return f"{seconds / DAY / CORES:,.2f}"
