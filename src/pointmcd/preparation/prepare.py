"""From a folder of meshes to a store of points, visibility and views."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pointmcd import __version__
from pointmcd.data.splits import assign_validation, part_notes, split_notes
from pointmcd.data.store import STORE_FORMAT
from pointmcd.datasets.registry import Found, find_shapes
from pointmcd.datasets.sources import ShapeSource
from pointmcd.errors import ShapeError, StoreError
from pointmcd.files import is_temporary, read_json, remove, write_json
from pointmcd.preparation.backends import Backend, open_backend
from pointmcd.preparation.plan import Plan, open_store, plan_items, plan_parts, plan_renderer
from pointmcd.preparation.shards import ShardTask
from pointmcd.progress import progress_bar
from pointmcd.views.rig import Rig, get_rig, list_rigs


@dataclass(frozen=True)
class PrepareResult:
    """What came of a preparation.

    Attributes:
        store: the folder.
        done: how many shapes it holds.
        skipped: {"name", "source", "reason"} of each shape that was left out.
        notes: {"name", "note"}: what a reader of results should know.
    """

    store: Path
    done: int
    skipped: list[dict[str, str]]
    notes: list[dict[str, str]]


def prepare(
    source: Path | str,
    store: Path,
    *,
    points: int = 2048,
    rig: str | Path | Rig = "ring12",
    up: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    backend: Backend = "processes",
    scheduler: str | None = None,
    shard_size: int = 32,
    val_fraction: float = 0.15,
    test_fraction: float = 0.2,
    strict: bool = False,
    overwrite: bool = False,
) -> PrepareResult:
    """Sample, render and ray-cast every shape of a data set, folder or zip into a store.

    Clouds keep their points; without meshes beside them their views are splatted and their
    visibility is found by hidden point removal.

    May be killed at any moment; run again it goes on with the shards that are missing. The same
    arguments give the same bytes, whatever the number of workers. The machines of a cluster must
    see the shapes and the store under the same paths.

    Args:
        source: a folder or zip of meshes or clouds: CLASS/{train,test}/NAME, CLASS/NAME or flat;
            or `NAME:PATH` of a data set that `list_data_sets` names, `module:Name:PATH` of one of
            your own; its options follow as `,OPTION=VALUE`.
        store: the folder to make.
        points: samples per shape.
        rig: a named rig, the path of a .json file, or a Rig.
        up: the axis that points up in the shapes, x, y or z; None: what the rig's file says, or
            the data set, or y.
        seed: of samples and splits.
        workers: processes on this machine; None for all cores.
        backend: who writes the shards: processes, dask or ray.
        scheduler: address of a dask or ray cluster; None: one is started on this machine.
        shard_size: shapes per shard, the unit of work and of resuming.
        val_fraction: the share of training shapes held out for validation.
        test_fraction: the share held out for the test where the source has no splits.
        strict: stop at the first bad shape, rather than list it and go on.
        overwrite: replace a store that was made in another way.

    Raises:
        ConfigError: for an unusable option.
        ShapeError: for a bad shape if `strict`.
        StoreError: when the folder is in use for something else, or no shape is left.
    """
    pool = open_backend(backend, scheduler, workers)
    store = Path(store)
    found = find_shapes(source)
    sources = found.listing.sources
    plan = Plan(
        source=found.text,
        points=points,
        seed=seed,
        rig=_rig(rig, up, found),
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        shard_size=shard_size,
        items=plan_items(sources, test_fraction, seed),
        parts=plan_parts(sources),
        renderer=plan_renderer(sources),
    )
    with pool as write_shards:  # before the store is touched: the address may be wrong
        open_store(store, plan, overwrite)
        tasks = _tasks(store.absolute(), plan, sources, strict)
        _show_progress(write_shards(tasks), tasks, len(plan.items))
    return _finish(store, plan, strict, found.listing.notes)


def _rig(rig: str | Path | Rig, up: str | None, found: Found) -> Rig:
    """The rig, turned as the option says, or else the rig's file, or else the data set."""
    if isinstance(rig, Rig):
        return rig
    return get_rig(rig, up or (found.up if rig in list_rigs() else None))


def _tasks(
    store: Path, plan: Plan, sources: Sequence[ShapeSource], strict: bool
) -> list[ShardTask]:
    """List the shards that are still missing."""
    return [
        ShardTask(
            folder=store / "shards" / name,
            items=tuple((plan.items[i], sources[i]) for i in members),
            rig=plan.rig,
            points=plan.points,
            seed=plan.seed,
            strict=strict,
        )
        for name, members in plan.shards()
        if not (store / "shards" / name).is_dir()
    ]


def _show_progress(counts: Iterator[int], tasks: Sequence[ShardTask], total: int) -> None:
    """Go through `counts`, shapes of each shard that is written, behind a progress bar."""
    missing = sum(len(task.items) for task in tasks)
    with progress_bar() as progress:
        bar = progress.add_task("prepare", total=total, completed=total - missing, note="shapes")
        for count in counts:
            progress.advance(bar, count)


def _finish(
    store: Path, plan: Plan, strict: bool, notes: Sequence[dict[str, str]]
) -> PrepareResult:
    """Gather what the shards hold, settle validation, and write store.json: the store is whole."""
    # Of workers that were killed on the way; a live one has come second and drops its shard.
    for path in filter(is_temporary, (store / "shards").iterdir()):
        remove(path)
    shards = {name: read_json(store / "shards" / name / "shapes.json") for name, _ in plan.shards()}
    skipped = [entry for shard in shards.values() for entry in shard["skipped"]]
    if strict and skipped:
        raise ShapeError(skipped[0]["reason"])
    full = {name: shard["shapes"] for name, shard in shards.items() if shard["shapes"]}
    shapes = [record for records in full.values() for record in records]
    if not shapes:
        reason = f"; first: {skipped[0]['reason']}" if skipped else ""
        raise StoreError(f"{plan.source}: none of {len(plan.items)} shapes is usable{reason}")
    names, labels = [s["name"] for s in shapes], [s["class"] for s in shapes]
    splits = assign_validation(
        names, labels, [s["split"] for s in shapes], plan.val_fraction, plan.seed
    )
    notes = [*notes, *(entry for shard in shards.values() for entry in shard["notes"])]
    notes += split_notes(labels, splits)
    if plan.parts is not None:
        notes += part_notes(plan.parts, shapes, splits)
    classes = sorted({label for label in labels if label is not None})
    content = {
        **_identity(plan),
        "classes": classes,
        "parts": {label: list(plan.parts[label]) for label in classes} if plan.parts else None,
        "shards": list(full),
        "counts": [len(records) for records in full.values()],
        "skipped": skipped,
        "notes": notes,
        "shapes": [
            {"name": name, "class": label, "split": split}
            for name, label, split in zip(names, labels, splits, strict=True)
        ],
    }
    write_json(store / "store.json", content)
    return PrepareResult(store, len(shapes), skipped, notes)


def _identity(plan: Plan) -> dict[str, Any]:
    """Return what made the store, with a fingerprint that descriptors are checked against."""
    made = {
        "rig": plan.rig.to_json(),
        "renderer": plan.renderer,
        "points": plan.points,
        "seed": plan.seed,
    }
    text = json.dumps(made, sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {**made, "format": STORE_FORMAT, "pointmcd": __version__, "fingerprint": fingerprint}
