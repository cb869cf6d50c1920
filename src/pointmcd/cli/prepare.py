"""`pointmcd prepare`."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from pointmcd.cli.output import print_line
from pointmcd.progress import console


def prepare(
    source: Positional[str],
    store: Positional[Path],
    points: int = 2048,
    rig: str = "ring12",
    up: Literal["x", "y", "z"] | None = None,
    seed: int = 0,
    workers: int | None = None,
    backend: Literal["processes", "dask", "ray"] = "processes",
    scheduler: str | None = None,
    shard_size: int = 32,
    val_fraction: float = 0.15,
    test_fraction: float = 0.2,
    strict: bool = False,
    overwrite: bool = False,
) -> None:
    """Turn a data set, or a folder or zip of meshes or clouds, into a store.

    Args:
        source: CLASS/{train,test}/NAME, CLASS/NAME or flat files, or a data set as NAME:PATH.
        store: folder to make; run again to go on after an interruption.
        points: points per shape, in farthest-point order.
        rig: ring12, ring16 or a FILE.json.
        up: axis that points up in the shapes (y unless rig or data set says otherwise).
        seed: seed of samples and splits.
        workers: processes on this machine; all cores by default.
        backend: who works: processes, or a dask or ray cluster that sees the same files.
        scheduler: address of the cluster, like tcp://HOST:8786; by default it is on this machine.
        shard_size: shapes per shard.
        val_fraction: share of the train part held out for validation.
        test_fraction: share held out for the test where the source has no splits.
        strict: stop at the first bad shape.
        overwrite: replace a store made with other settings.
    """
    from pointmcd.preparation.prepare import prepare as run

    result = run(
        *(source, store),
        points=points,
        rig=rig,
        up=up,
        seed=seed,
        workers=workers,
        backend=backend,
        scheduler=scheduler,
        shard_size=shard_size,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        strict=strict,
        overwrite=overwrite,
    )
    for entry in result.skipped:
        console.print(f"skipped: {entry['reason']}", style="yellow", markup=False, soft_wrap=True)
    for note in result.notes:
        console.print(f"note: {note['name']}: {note['note']}", markup=False, soft_wrap=True)
    print_line(f"{store}: {result.done} shapes, {len(result.skipped)} skipped")
