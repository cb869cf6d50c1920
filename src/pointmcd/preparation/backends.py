"""Where shards are written: by processes of this machine, or by a cluster."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal, get_args

from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pointmcd.errors import ConfigError
from pointmcd.preparation.clusters import WriteShards, killed, open_dask, open_ray
from pointmcd.preparation.shards import ShardTask, write_shard

Backend = Literal["processes", "dask", "ray"]


def open_backend(
    backend: str, scheduler: str | None, workers: int | None
) -> AbstractContextManager[WriteShards]:
    """Return a context with a function that writes shards in parallel.

    Args:
        backend: "processes", "dask" or "ray".
        scheduler: address of a cluster; None: dask and ray start one on this machine.
        workers: processes on this machine; None: one for each core.

    Raises:
        ConfigError: for options that do not fit together; on entering, as `open_dask` and
            `open_ray`.
    """
    if backend not in get_args(Backend):
        raise ConfigError(f"--backend {backend}: must be one of {', '.join(get_args(Backend))}")
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: must be 1 or more")
    if backend == "processes" and scheduler is not None:
        raise ConfigError(f"--scheduler {scheduler}: needs --backend dask or ray")
    if scheduler is not None and workers is not None:
        raise ConfigError(
            f"--workers {workers}: the workers of --scheduler {scheduler} do the work; leave it out"
        )
    count = workers or cpu_count()
    if backend == "processes":
        return nullcontext(partial(_write_by_processes, count))
    return (open_dask if backend == "dask" else open_ray)(scheduler, count)


def _write_by_processes(workers: int, tasks: Sequence[ShardTask]) -> Iterator[int]:
    workers = min(workers, max(len(tasks), 1))
    if workers == 1:
        yield from map(write_shard, tasks)
        return
    pool = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
    try:
        yield from pool(delayed(write_shard)(task) for task in tasks)
    except TerminatedWorkerError as error:
        raise killed(tasks, "with fewer --workers") from error
