"""Several processes that train one student: how they meet, take turns, and fail together."""

import atexit
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist
import torch.distributed.nn  # noqa: F401  (imported once a group is there, it would keep it alive)
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, PointMCDError

Result = TypeVar("Result")
#: How long processes wait for each other: the main one may describe large stores meanwhile.
_PATIENCE = timedelta(days=1)


def join(device: str) -> None:
    """Meet the other processes of this launch, if there are any.

    Args:
        device: as in the config.

    Raises:
        ConfigError: when it is not there.
    """
    try:
        on_cpu = pick_device(device).type == "cpu"
    except ConfigError as error:
        error.printed_elsewhere = os.environ.get("RANK", "0") != "0"
        raise
    on_cpu = on_cpu or parse_flag_from_env("ACCELERATE_USE_CPU")
    PartialState(cpu=on_cpu, timeout=_PATIENCE)
    if process_count() > 1:
        atexit.register(_leave)


def process_count() -> int:
    """Return how many processes train together: 1 where there is no launcher."""
    return dist.get_world_size() if _met() else 1


def process_index() -> int:
    """Return this process's number among them, from 0."""
    return dist.get_rank() if _met() else 0


def _met() -> bool:
    return dist.is_available() and dist.is_initialized()


def is_main() -> bool:
    """Whether this process writes files and prints."""
    return process_index() == 0


@contextmanager
def agreed() -> Iterator[None]:
    """Let an error of one process be the error of all; each waits here for the others.

    What runs inside must not wait for another process: one that failed would never come.

    Raises:
        PointMCDError: this process's own, or else the first of the others'.
    """
    mine: PointMCDError | None = None
    try:
        yield
    except PointMCDError as error:
        mine = error
    first = next((error for error in (mine, *_of_all(mine)) if error is not None), None)
    if first is not None:
        first.printed_elsewhere = not is_main()
        raise first


def main_first(work: Callable[[], Result]) -> Result:
    """Return what `work` returns; the main process calls it before the others do."""
    results = []
    for turn in (True, False):
        with agreed():
            if is_main() is turn:
                results.append(work())
    return results[0]


def _of_all(error: PointMCDError | None) -> list[PointMCDError | None]:
    """Return the values of all processes, in order."""
    if process_count() == 1:
        return [error]
    errors: list[PointMCDError | None] = [None] * process_count()
    dist.all_gather_object(errors, error)
    return errors


def check_shared(batch_size: int, shapes: int) -> None:
    """Refuse batches that processes cannot share evenly: statistics and losses are plain means.

    Args:
        batch_size: as in the config, over all processes.
        shapes: that there are to train with; a batch is never larger.

    Raises:
        ConfigError: saying which size fits.
    """
    size, processes = min(batch_size, shapes), process_count()
    if size % processes:
        fits = size - size % processes
        of_all = "" if size == batch_size else f" of all {size} shapes"
        raise ConfigError(
            f"--batch-size {batch_size}: {processes} processes cannot share a batch{of_all} evenly;"
            f" {f'use {fits}' if fits else 'launch fewer'}"
        )


def _leave() -> None:
    """Part from the other processes, whose threads would end a dying interpreter by a signal."""
    gc.collect()  # a model still wrapped would keep the group
    if process_count() > 1:
        dist.destroy_process_group()
