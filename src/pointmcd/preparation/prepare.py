"""Prepare shapes: from meshes or clouds to a store of points, visibility and views."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pointmcd import __version__
from pointmcd.data.splits import assign_validation, part_notes, split_notes, twin_notes
from pointmcd.data.store import STORE_FORMAT, map_array
from pointmcd.datasets.folder import NO_CLASS
from pointmcd.datasets.registry import find_shapes
from pointmcd.errors import ConfigError, ShapeError, StoreError
from pointmcd.files import is_temporary, read_json, remove, write_json
from pointmcd.preparation.backends import WriteShards, open_backend
from pointmcd.preparation.config import LEAST_POINTS, PrepareConfig
from pointmcd.preparation.plan import Plan, make_plan, open_store
from pointmcd.preparation.shards import ShardTask
from pointmcd.preparation.twins import find_twins
from pointmcd.progress import Estimate, note, progress_bar, repeating
from pointmcd.typing import Floats
from pointmcd.views.ray_index import LibiglIndex, ray_caster
from pointmcd.views.render import RENDERER

#: Shapes above which the search for twins takes seconds, and is shown.
_MANY = 1000
#: Shapes that the time of all is estimated from.
_MEASURED = 20


@dataclass(frozen=True, repr=False)
class PrepareResult:
    """Outcome of a preparation.

    Attributes:
        store: the folder.
        done: number of shapes that it holds.
        skipped: {"name", "source", "reason"} of each shape that was left out.
        notes: {"name", "note"}: what a reader of results should know.
        sizes: fewest and most points in a file, where there are clouds.
        variants: number of deformed copies.
    """

    store: Path
    done: int
    skipped: list[dict[str, str]]
    notes: list[dict[str, str]]
    sizes: tuple[int, int] | None = None
    variants: int = 0

    def __repr__(self) -> str:
        counts = f"{self.done:,} shapes, {len(self.skipped):,} skipped, {len(self.notes):,} notes"
        return f"<store {self.store}: {counts}>"


def prepare(config: PrepareConfig) -> PrepareResult:
    """Sample, render and ray-cast every shape of a data set, folder or zip into a store.

    Clouds keep their points; those without a mesh are splatted, and seen by hidden point removal.
    May be killed at any moment; run again it goes on with the shards that are missing.

    Raises:
        ConfigError: for an unusable setting, or where nothing can cast rays at meshes.
        ShapeError: for an unusable shape if the settings are strict.
        StoreError: when the folder is in use for something else, or no shape is left.
    """
    config.check()
    with suppress(OSError):  # of a name that is too long
        if (Path(config.source) / "store.json").is_file():
            raise ConfigError(
                f"{config.source}: is a store already; give it to pointmcd teach or train"
            )
    found = find_shapes(config.source, config.columns)
    plan = make_plan(config, found)
    if RENDERER in plan.renderer and ray_caster() is LibiglIndex:
        note("embreex is not installed: libigl casts the rays, more slowly")
    # Connected before the store is touched: the address may be wrong.
    with open_backend(config) as write_shards:
        open_store(config.store, plan)
        _write_missing(plan, write_shards)
    notes = found.listing.notes
    if config.labels is not None:  # which says the classes
        notes = [note for note in notes if not note["note"].endswith(NO_CLASS)]
    return _finish(plan, notes)


def _write_missing(plan: Plan, write_shards: WriteShards) -> None:
    shards = plan.config.store.absolute() / "shards"
    tasks = [
        ShardTask(shards / name, plan.items[members], plan.rig, plan.config)
        for name, members in plan.shards()
        if not (shards / name).is_dir()
    ]
    total = len(plan.items)
    there = total - sum(len(task.items) for task in tasks)
    with progress_bar() as progress:
        bar = progress.add_task("prepare", total=total, completed=there, note="")

        def show() -> int:
            done = min(there + _count_unfinished(shards), total)
            progress.update(bar, completed=done)
            return done

        first = there
        # Of several workers the first shapes come together.
        estimate = Estimate(total - first, "shapes", least=_MEASURED)
        with repeating(lambda: estimate.reach(show() - first)):
            for count in write_shards(tasks):
                there += count
                show()


def _count_unfinished(shards: Path) -> int:
    """Count the shapes in shards that are being written, by whatever process or machine."""
    with suppress(OSError):  # a shard may be finished while it is looked at
        return sum(1 for _ in shards.glob(".*.tmp/views/*.png"))
    return 0


def _finish(plan: Plan, notes: Sequence[dict[str, str]]) -> PrepareResult:
    """Gather what the shards hold, settle validation, and write store.json: the store is whole."""
    store = plan.config.store
    # Of workers that were killed on the way; a live one has come second and drops its shard.
    for path in filter(is_temporary, (store / "shards").iterdir()):
        remove(path)
    shards = {name: read_json(store / "shards" / name / "shapes.json") for name, _ in plan.shards()}
    failed = [entry for shard in shards.values() for entry in shard["skipped"]]
    skipped = [entry for entry in failed if "variant" not in entry]
    if plan.config.strict and skipped:
        raise ShapeError(skipped[0]["reason"])
    full = {name: shard["shapes"] for name, shard in shards.items() if shard["shapes"]}
    if all("variant" in record for shapes in full.values() for record in shapes):
        reason = f"; first: {skipped[0]['reason']}" if skipped else ""
        raise StoreError(f"{plan.source}: none of {len(skipped)} shapes is usable{reason}")
    known = read_json(store / "store.json") if (store / "store.json").exists() else None
    twins = _twins(plan, full, known)
    content = {**_content(plan, full, twins), "skipped": skipped, "twins": twins}
    if known and "coordinates" not in known:  # teachers and runs know it as it was
        del content["coordinates"]
    noted = [note for shard in shards.values() for note in shard["notes"]]
    noted += _lost_variants(failed)
    told = twin_notes(twins, plan.config.twins == "drop", content["shapes"], plan.config.points)
    told += _lost_classes(plan, content["classes"])
    content["notes"] = [*notes, *noted, *content["notes"], *told]
    write_json(store / "store.json", content)
    read = [record["read"] for shapes in full.values() for record in shapes if "read" in record]
    sizes = (min(read), max(read)) if read else None
    done, variants = len(content["shapes"]), len(content["variant_of"])
    return PrepareResult(store, done, skipped, content["notes"], sizes, variants)


def _lost_classes(plan: Plan, kept: Collection[str]) -> list[dict[str, str]]:
    """Note the classes of which no shape can be used."""
    every = Counter(item.label for item in plan.items if not item.variant)
    return [
        {"name": f"class {label}", "note": f"none of its {count} shapes can be used"}
        for label, count in every.items()
        if label is not None and label not in kept
    ]


def _lost_variants(failed: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Note the variants that could not be made of a shape that could."""
    skipped = {entry["name"] for entry in failed if "variant" not in entry}
    return [
        {"name": entry["name"], "note": f"lacks variant {entry['variant']}: {entry['reason']}"}
        for entry in failed
        if "variant" in entry and entry["name"] not in skipped
    ]


def _twins(
    plan: Plan, full: Mapping[str, Sequence[dict[str, Any]]], known: dict[str, Any] | None
) -> list[list[str]]:
    """Return the names of each shape of train or val and the test shape that it is a twin of.

    `known` is the content of store.json where the store was whole before.
    """
    store, config = plan.config.store, plan.config
    if config.twins == "keep" or config.points < LEAST_POINTS:
        return []
    if known and "twins" in known:
        return list(known["twins"])  # the plan was the same
    places = [(shard, row) for shard, records in full.items() for row in range(len(records))]
    shapes = [record for records in full.values() for record in records if "variant" not in record]
    with progress_bar(shown=len(shapes) > _MANY) as progress:
        bar = progress.add_task("look for twins", total=None, note="")

        def points(index: int) -> Floats:
            progress.advance(bar)
            shard, row = places[index]
            return np.asarray(map_array(store / "shards" / shard / "points.npy")[row])

        twins = find_twins(points, [shape["split"] for shape in shapes])
    return [[shapes[i]["name"] for i in pair] for pair in twins]


def _content(
    plan: Plan, full: Mapping[str, Sequence[dict[str, Any]]], twins: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Return the content of store.json, its notes only those on splits and parts.

    Args:
        plan: of the store.
        full: records of the shapes in each shard that has any, by the shard's name.
        twins: names of shapes of train or val, each with its test shape.
    """
    records = [record for records in full.values() for record in records]
    shapes = [record for record in records if "variant" not in record]
    variants = records[len(shapes) :]
    names, labels = [s["name"] for s in shapes], [s["class"] for s in shapes]
    dropped = {name for name, _ in twins} if plan.config.twins == "drop" else set()
    # Rows of shards are counted through the shapes: one that is left out keeps its row.
    splits = ["none" if s["name"] in dropped else s["split"] for s in shapes]
    # Without a label of any part a shape is nothing to validate on.
    bare = {record["name"] for record in shapes if record.get("parts") == []}
    known = [None if name in bare else label for name, label in zip(names, labels, strict=True)]
    splits = assign_validation(names, known, splits, plan.config.val_fraction, plan.config.seed)
    parts = plan.parts or {}
    classes = sorted({label for label in labels if label is not None})
    place = {name: number for number, name in enumerate(names)}
    return {
        **identity(plan),
        "classes": classes,
        "parts": {label: list(parts[label]) for label in classes} if parts else None,
        "coordinates": _digest(plan, full, "points"),
        **({"part_labels": _digest(plan, full, "parts")} if parts else {}),
        **({"features": list(plan.config.features)} if plan.config.features else {}),
        "shards": list(full),
        "counts": [len(records) for records in full.values()],
        "notes": split_notes(labels, splits) + (part_notes(parts, shapes, splits) if parts else []),
        "shapes": [
            {"name": name, "class": label, "split": split}
            | ({"unlabelled": True} if name in bare else {})
            for name, label, split in zip(names, labels, splits, strict=True)
        ],
        # -1: of a shape that could not be read when its turn came.
        "variant_of": [place.get(record["name"], -1) for record in variants],
    }


def _digest(plan: Plan, shards: Iterable[str], array: str) -> str:
    """Return a hash of an array of all shards: names alone do not tell corrected shapes apart."""
    digest = hashlib.sha256()
    for shard in shards:
        digest.update((plan.config.store / "shards" / shard / f"{array}.npy").read_bytes())
    return digest.hexdigest()[:16]


def identity(plan: Plan) -> dict[str, Any]:
    """Return what decides the content, with a fingerprint that descriptors are checked against."""
    config = plan.config
    made: dict[str, Any] = {"rig": plan.rig.to_json(), "renderer": plan.renderer}
    made |= {"points": config.points, "seed": config.seed}
    if config.variants:  # stores without are described as before there were any
        made["variants"] = config.variants
    text = json.dumps(made, sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {**made, "format": STORE_FORMAT, "pointmcd": __version__, "fingerprint": fingerprint}
