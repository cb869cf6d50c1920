"""Teaching that is killed at any moment and run again equals one that was left in peace."""

import os
import random
import time

import pytest
from killing import run_killed
from store_copies import copy_store, files_of

from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="kills by signal"),
    pytest.mark.usefixtures("one_thread"),
]


def killed_and_calm(tiny_store, tmp_path, kills, **options):
    """What is left of a killed lesson and of a calm one, and how many kills struck."""
    options = {"epochs": 3, "batch_size": 4, "device": "cpu"} | options
    store = copy_store(tiny_store, tmp_path / "killed")
    calm = copy_store(tiny_store, tmp_path / "calm")
    began = time.perf_counter()
    teach(TeachConfig(calm, **options))
    struck = run_killed("teach", options | {"store": store}, kills(time.perf_counter() - began))
    return files_of(store), files_of(calm), struck


@pytest.mark.slow
def test_killed_in_every_phase(tiny_store, tmp_path):
    def kills(_):
        # Encoding writes made-by.json and 4 shards, training a file an epoch, and the export 15.
        return [("rename", n) for n in (1, 3, 3, 4, 3, 3, 9)]

    killed, calm, struck = killed_and_calm(tiny_store, tmp_path, kills)
    assert struck == 7
    assert killed == calm


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_times(tiny_store, tmp_path, seed):
    chance = random.Random(seed)

    def kills(seconds):
        # The earliest first: after a kill that comes too late there is nothing left to kill.
        return [("after", s * seconds) for s in sorted(chance.uniform(0.05, 0.6) for _ in range(6))]

    killed, calm, struck = killed_and_calm(tiny_store, tmp_path, kills, epochs=60)
    assert struck > 0
    assert killed == calm


@pytest.mark.slow
def test_killed_before_many_a_file(tiny_store, tmp_path):
    def kills(_):
        return [("rename", n) for n in (1, 2, 3, 4, 5, 7, 9, 12, 15, 16)]

    killed, calm, struck = killed_and_calm(tiny_store, tmp_path, kills)
    assert struck == 10
    assert killed == calm


@pytest.mark.slow
def test_a_fine_tuned_one_killed(tiny_store, tmp_path):
    def kills(_):
        return [("rename", 2), ("rename", 3)]

    killed, calm, struck = killed_and_calm(tiny_store, tmp_path, kills, finetune=True, epochs=2)
    assert struck == 2
    assert killed == calm


@pytest.mark.slow
def test_a_part_segmentation_teacher_killed(parts_store, tmp_path):
    def kills(_):
        # Training writes a file an epoch, the export one for the weights and one a shard.
        return [("rename", n) for n in (2, 4)]

    options = {"task": "segmentation", "epochs": 2, "views_per_step": 1}
    killed, calm, struck = killed_and_calm(parts_store, tmp_path, kills, **options)
    assert struck == 2
    assert killed == calm
