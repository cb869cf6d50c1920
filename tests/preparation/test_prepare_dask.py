"""Preparation by the workers of a dask cluster, some of them killed, equals that of one process."""

import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import dask
import pytest
from distributed import Client, LocalCluster

from pointmcd.errors import ConfigError, ShapeError, StoreError
from pointmcd.preparation import backends, shards
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare

#: Slow enough to be killed in the middle: seven shards of some tenths of a second.
OPTIONS = {"points": 4096, "shard_size": 2}
QUIET = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, **QUIET) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def calm(few_meshes, small_rig, tmp_path_factory):
    store = tmp_path_factory.mktemp("calm") / "store"
    return prepare(PrepareConfig(few_meshes, store, rig=small_rig, workers=1, **OPTIONS)).store


def kill_one_at_work(cluster, store):
    """Kill a worker that executes, once a shard is there; return how many shards there are."""
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2)
        pids = client.run(os.getpid)
        while not list(store.glob("shards/0*")):
            time.sleep(0.005)
        at_work = [where for where, keys in client.processing().items() if keys]
        os.kill(pids[at_work[0]], signal.SIGKILL)
        return len(list(store.glob("shards/0*")))


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_nothing(
    cluster, calm, few_meshes, small_rig, files_of, tmp_path
):
    options = {"rig": small_rig, "backend": "dask", "scheduler": cluster.scheduler_address}
    store = tmp_path / "store"
    with ThreadPoolExecutor(1) as thread:
        killing = thread.submit(kill_one_at_work, cluster, store)
        assert prepare(PrepareConfig(few_meshes, store, **OPTIONS, **options)).done == 14
    assert killing.result() < 7
    assert files_of(store) == files_of(calm)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_a_shard_that_dask_gives_up_is_one_clear_line(
    cluster, calm, few_meshes, small_rig, files_of, tmp_path, monkeypatch
):
    options = {"rig": small_rig, "backend": "dask", "scheduler": cluster.scheduler_address}
    store = tmp_path / "store"
    with ThreadPoolExecutor(1) as thread, monkeypatch.context() as patch:
        patch.setattr(cluster.scheduler, "allowed_failures", 0)
        killing = thread.submit(kill_one_at_work, cluster, store)
        with pytest.raises(StoreError, match=r"a worker was killed.*again, on workers") as error:
            prepare(PrepareConfig(few_meshes, store, **OPTIONS, **options))
    assert "\n" not in str(error.value)
    assert killing.result() < 7
    assert not (store / "store.json").exists()
    prepare(PrepareConfig(few_meshes, store, **OPTIONS, **options))
    assert files_of(store) == files_of(calm)


@pytest.mark.slow
def test_relative_paths_strictness_and_versions(cluster, few_meshes, quick, tmp_path, monkeypatch):
    options = {**quick, "workers": None, "backend": "dask", "scheduler": cluster.scheduler_address}
    monkeypatch.chdir(tmp_path)
    assert prepare(PrepareConfig(few_meshes, "store", **options)).done == 14
    (tmp_path / "bad" / "lamp").mkdir(parents=True)
    (tmp_path / "bad" / "lamp" / "a.off").write_text("OFF\n")
    with pytest.raises(ShapeError, match=r"a\.off"):
        prepare(PrepareConfig(tmp_path / "bad", "strict", strict=True, **options))
    monkeypatch.setattr(backends, "__version__", "9.9")
    with pytest.raises(StoreError, match=r"the scheduler: has pointmcd .*, not 9\.9; install"):
        prepare(PrepareConfig(few_meshes, "other", **options))
    assert not (tmp_path / "other").exists()


def test_threads_of_one_worker_take_turns(
    few_meshes, small_rig, calm, files_of, tmp_path, monkeypatch
):
    inside, others, said = [], [], []
    limit = shards.threadpool_limits

    @contextmanager
    def watched(count):
        inside.append(len(inside))
        with limit(count):
            yield
            time.sleep(0.02)
        inside.pop()
        others.append(len(inside))

    monkeypatch.setattr(shards, "threadpool_limits", watched)
    with LocalCluster(
        n_workers=0, threads_per_worker=2, processes=False, protocol="tcp", **QUIET
    ) as cluster:

        def hear(text, **_):
            said.append(text)
            cluster.scale(1)

        monkeypatch.setattr(backends, "console", SimpleNamespace(print=hear))
        options = {"rig": small_rig, "backend": "dask", "scheduler": cluster.scheduler_address}
        store = prepare(PrepareConfig(few_meshes, tmp_path / "store", **OPTIONS, **options)).store
    assert others == [0] * 7
    assert files_of(store) == files_of(calm)
    assert said[0].startswith("dask has no worker yet; `dask worker tcp://")
    assert said[1].startswith("dask has workers of 2 threads")


def test_without_a_scheduler_one_is_started_here(few_meshes, quick, files_of, tmp_path):
    here = prepare(PrepareConfig(few_meshes, tmp_path / "here", **quick)).store
    there = prepare(PrepareConfig(few_meshes, tmp_path / "there", **quick, backend="dask")).store
    assert files_of(here) == files_of(there)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "foo://127.0.0.1:9"])
def test_wrong_address(few_meshes, quick, tmp_path, address):
    options = {**quick, "workers": None, "backend": "dask", "scheduler": address}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}),
        pytest.raises(ConfigError, match=f"--scheduler {address}: no dask scheduler") as error,
    ):
        prepare(PrepareConfig(few_meshes, tmp_path / "store", **options))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "store").exists()
