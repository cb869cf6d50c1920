"""Preparation that is killed at any moment and run again equals one that was left in peace."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from pointmcd.files import write_json
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signal")

RUN = """
import sys
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
source, store, rig, workers, points, variants, size = sys.argv[1:]
options = {'points': int(points), 'workers': int(workers)}
options |= {'variants': int(variants), 'shard_size': int(size)}
prepare(PrepareConfig(source, store, rig=rig, **options))
"""


def start(source, store, rig, workers=1, points=32, variants=0, shard_size=2):
    command = [sys.executable, "-c", RUN, source, store, rig, workers, points, variants, shard_size]
    return subprocess.Popen(
        [str(part) for part in command], start_new_session=True, stderr=subprocess.DEVNULL
    )


def kill(process, group):
    """Kill it, or it with all its workers; return whether it had ended well by itself."""
    if process.poll() is None:
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
    return process.wait() == 0


def test_killed_after_the_first_shard(few_meshes, small_rig, files_of, tmp_path):
    store = tmp_path / "store"
    process = start(few_meshes, store, small_rig, points=4096)
    while not (store / "shards" / "00000").exists():
        assert process.poll() is None
        time.sleep(0.002)
    assert not kill(process, group=True)
    assert not (store / "store.json").exists()
    options = {"points": 4096, "rig": small_rig, "workers": 1, "shard_size": 2}
    prepare(PrepareConfig(few_meshes, store, **options))
    prepare(PrepareConfig(few_meshes, tmp_path / "calm", **options))
    assert files_of(store) == files_of(tmp_path / "calm")


def test_leftovers_of_dead_processes_are_removed_but_not_those_of_live_ones(
    few_meshes, quick, tmp_path
):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    store = tmp_path / "store"
    half = store / "shards" / f".00000.{ended.pid}.tmp"
    half.mkdir(parents=True)
    (half / "points.npy").write_bytes(b"half")
    plan = store / f".plan.json.{ended.pid}.tmp"
    plan.write_text("{")
    live = store / "shards" / f".00001.{os.getppid()}.tmp"
    live.mkdir()
    (store / "shards" / ".keep").touch()
    with pytest.raises(Exception, match="is not a store"):  # only our own leftovers are overlooked
        prepare(PrepareConfig(few_meshes, store, **quick))
    write_json(store / "plan.json", {})
    prepare(PrepareConfig(few_meshes, store, **quick, overwrite=True))
    assert not half.exists()
    assert not plan.exists()


def test_a_whole_store_holds_nothing_that_another_machine_left(few_meshes, quick, tmp_path):
    store = tmp_path / "store"
    prepare(PrepareConfig(few_meshes, store, **quick))
    (store / "store.json").unlink()
    left = store / "shards" / ".00000.1@elsewhere.tmp"
    left.mkdir()
    prepare(PrepareConfig(few_meshes, store, **quick))
    assert not left.exists()
    assert (store / "store.json").exists()


def test_killed_before_the_plan_was_whole(few_meshes, quick, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    store = tmp_path / "store"
    store.mkdir()
    (store / f".plan.json.{ended.pid}.tmp").write_text("{")
    assert prepare(PrepareConfig(few_meshes, store, **quick)).done == 14
    assert sorted(path.name for path in store.iterdir()) == ["plan.json", "shards", "store.json"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("group", [True, False])
def test_killed_at_random_times(few_meshes, small_rig, files_of, tmp_path, workers, group):
    store, chance = tmp_path / "store", random.Random(workers)
    points = 8192
    ended = False
    kills = 0
    while not ended:
        process = start(few_meshes, store, small_rig, workers, points)
        time.sleep(chance.uniform(0.3, 3.0) + 0.5 * kills)
        ended = kill(process, group)
        kills += not ended
    assert kills > 0
    calm = tmp_path / "calm"
    options = {"points": points, "rig": small_rig, "shard_size": 2}
    prepare(PrepareConfig(few_meshes, calm, workers=1, **options))
    time.sleep(1)  # a worker that outlived its parent may still hold its last shard
    prepare(PrepareConfig(few_meshes, store, workers=1, **options))
    assert files_of(store) == files_of(calm)


@pytest.mark.slow
def test_two_at_once_do_not_disturb_each_other(few_meshes, small_rig, files_of, tmp_path):
    store = tmp_path / "store"
    pair = [start(few_meshes, store, small_rig, 1, 8192) for _ in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    prepare(
        PrepareConfig(
            few_meshes, tmp_path / "calm", points=8192, rig=small_rig, shard_size=2, workers=1
        )
    )
    assert files_of(store) == files_of(tmp_path / "calm")
