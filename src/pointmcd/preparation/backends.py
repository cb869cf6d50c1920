"""Write shards in parallel, by processes of this machine or by a dask or ray cluster.

Clusters by their own interfaces: joblib's backends for them do not serve. That for dask never
returns if dask gives up a task, that for ray hands nothing out before all is done.
"""

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pointmcd import __version__
from pointmcd.datasets.sources import CloudSource
from pointmcd.errors import ConfigError, StoreError, first_line
from pointmcd.extras import import_extra
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.shards import ShardTask, write_shard
from pointmcd.progress import console

#: Writes shards somewhere; yields the number of shapes gone through, shard by shard as they end.
WriteShards = Callable[[Sequence[ShardTask]], Iterator[int]]


def open_backend(config: PrepareConfig) -> AbstractContextManager[WriteShards]:
    """Return a context with a function that writes shards in parallel.

    Raises:
        ConfigError: on entering, when a cluster's package or the cluster is absent.
        StoreError: on entering, when a worker of the cluster has another pointmcd.
    """
    workers = config.workers or cpu_count()
    if config.backend == "processes":
        return nullcontext(partial(_write_by_processes, workers))
    return (_open_dask if config.backend == "dask" else _open_ray)(config.scheduler, workers)


def _write_by_processes(workers: int, tasks: Sequence[ShardTask]) -> Iterator[int]:
    workers = min(workers, max(len(tasks), 1))
    if workers == 1:
        yield from map(write_shard, tasks)
        return
    pool = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
    try:
        yield from pool(delayed(write_shard)(task) for task in tasks)
    except TerminatedWorkerError as error:
        raise _killed(tasks, "with fewer --workers") from error


@contextmanager
def _open_dask(scheduler: str | None, workers: int) -> Iterator[WriteShards]:
    """Connect to a dask cluster, or start one of `workers` processes on this machine."""
    distributed = import_extra("distributed", "dask", "--backend dask")
    from dask import config

    address = scheduler or config.get("scheduler-address", None)
    own = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    own["silence_logs"] = logging.CRITICAL  # it may be closed at work, and would tell at length
    try:
        if address:  # a Client closes badly if it is the one to find the address malformed
            distributed.comm.get_address_host_port(address)
        client = distributed.Client(address, set_as_default=False, **({} if address else own))
    except (OSError, ValueError) as error:
        raise _no_answer(address, "dask scheduler", "dask scheduler", error) from error
    with client:
        _check_workers(client)
        yield partial(_write_by_dask, client)


def _check_workers(client: Any) -> None:
    """Wait for the first worker, refuse workers without this pointmcd: they would die unheard."""
    start = f"`dask worker {client.scheduler.address} --nworkers -1 --nthreads 1`"
    if not client.nthreads():
        console.print(f"dask has no worker yet; {start} starts some; waiting", soft_wrap=True)
        client.wait_for_workers(1)
    found = client.get_versions(packages=["pointmcd"])
    for where, info in {"the scheduler": found["scheduler"], **found["workers"]}.items():
        _check_version(where, info["packages"]["pointmcd"], __version__)
    threads = max(client.nthreads().values(), default=1)
    if threads > 1:
        console.print(
            f"dask has workers of {threads} threads, of which one at a time writes a shard;"
            f" {start} starts one for each core",
            soft_wrap=True,
        )


def _check_version(where: str, found: str | None, wanted: str) -> None:
    if found != wanted:
        raise StoreError(
            f"{where}: has {f'pointmcd {found}' if found else 'no pointmcd'}, not {wanted};"
            " install the same on every machine"
        )


def _write_by_dask(client: Any, tasks: Sequence[ShardTask]) -> Iterator[int]:
    from distributed import KilledWorker, as_completed

    try:
        # No list of the futures: dask makes a result again that was lost with its worker, as
        # long as somebody holds its future.
        for future in as_completed(
            client.map(_write_elsewhere, tasks, version=__version__, pure=False), loop=client.loop
        ):
            yield future.result()
    except KilledWorker as error:
        raise _killed(tasks, "on workers with more memory") from error
    except CancelledError as error:
        raise StoreError(
            f"{tasks[0].store}: the dask scheduler is gone; run the command again to go on"
        ) from error


@contextmanager
def _open_ray(address: str | None, workers: int) -> Iterator[WriteShards]:
    """Connect to a ray cluster, or start one of `workers` processes on this machine."""
    ray = import_extra("ray", "ray", "--backend ray")
    begun = not ray.is_initialized()
    if begun:
        try:
            ray.init(address=address, **({} if address else {"num_cpus": workers}))
        except (OSError, ValueError, RuntimeError) as error:
            raise _no_answer(address, "ray cluster", "ray start --head", error) from error
    try:
        yield partial(_write_by_ray, ray)
    finally:
        if begun:
            ray.shutdown()


def _write_by_ray(ray: Any, tasks: Sequence[ShardTask]) -> Iterator[int]:
    remote = ray.remote(_write_elsewhere)
    waiting = [remote.remote(task, __version__) for task in tasks]
    try:
        while waiting:
            done, waiting = ray.wait(waiting)
            yield from ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise _killed(tasks, "on workers with more memory") from error


def _write_elsewhere(task: ShardTask, version: str) -> int:
    """Write a shard on a machine that may see other files, or have another pointmcd.

    A shape that this machine does not see must not be listed as a bad one.
    """
    host = socket.gethostname()
    _check_version(host, __version__, version)
    meshes = [item.mesh for item in task.items if isinstance(item, CloudSource) and item.mesh]
    for path in (task.store / "plan.json", *(item.file.path for item in task.items), *meshes):
        if not (path.exists() or path.is_symlink()):
            raise StoreError(
                f"{path}: not seen by the worker on {host}; shapes and store must lie where every"
                " machine sees them under the same path"
            )
    return write_shard(task)


def _no_answer(address: str | None, cluster: str, command: str, error: Exception) -> ConfigError:
    if address is None:
        return ConfigError(f"no {cluster} can be started here: {first_line(error)}")
    return ConfigError(
        f"--scheduler {address}: no {cluster} answers there ({first_line(error)});"
        f" `{command}` starts one and prints its address"
    )


def _killed(tasks: Sequence[ShardTask], remedy: str) -> StoreError:
    """Return what to raise when a worker was killed again and again."""
    return StoreError(
        f"{tasks[0].store}: a worker was killed, out of memory? Run the command again, {remedy}"
    )
