"""Batches of shapes that do not stay on a GPU: gathered, pinned and sent by a thread."""

import threading

import pytest
import torch
from store_copies import copy_store
from trainers import trainer_of

from pointmcd.data import resident
from pointmcd.data.dataset import ShapeDataset
from pointmcd.errors import StoreError
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training import trainer as module
from pointmcd.training.train import train
from pointmcd.training.trainer import Trainer

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set"),  # there is no GPU
]
FEW = {"label_fraction": 0.34, "teacher": "lite0-features", "batch_size": 3}


@pytest.fixture
def small_gpu(monkeypatch):
    """Let the CPU train as a GPU does that has no room; list the threads that gather batches."""
    threads, gather = [], ShapeDataset.__getitems__

    def spy(self, items):
        threads.append(threading.current_thread())
        return gather(self, items)

    monkeypatch.setattr(Trainer, "_on_gpu", lambda self: True)
    monkeypatch.setattr(resident, "_room", lambda device: 0)
    monkeypatch.setattr(ShapeDataset, "__getitems__", spy)
    return threads


@pytest.fixture(scope="module")
def few_store(taught_store, tmp_path_factory):
    """A store with a teacher that read no label too. To be read only."""
    path = copy_store(taught_store, tmp_path_factory.mktemp("few") / "store")
    teach(TeachConfig(path, task="features", device="cpu"))
    return path


def gathered_by_main(threads):
    return [one is threading.main_thread() for one in threads]


@pytest.mark.parametrize(
    "options", [{"teacher": "lite0", "resample": True}, {"workers": 1}, FEW], ids=str
)
def test_a_run_is_what_it_is_without(make, few_store, content, request, options):
    options = options | {"store": few_store}
    plain = content(train(make("a", **options)))
    request.getfixturevalue("small_gpu")
    assert content(train(make("b", **options))) == plain


def test_a_thread_is_at_most_three_batches_ahead(make, small_gpu):
    trainer, steps, ahead = trainer_of(make("a", teacher="lite0", batch_size=2)), [], []

    def step(batch, weights):
        steps.append(len(batch.points))
        ahead.append(len(small_gpu) - len(steps))
        return {"loss": torch.zeros(())}

    trainer.make_step = step
    for epoch in range(2):
        del small_gpu[:], steps[:]
        trainer._train(epoch)
        assert len(steps) == len(small_gpu) == 4
        assert not any(gathered_by_main(small_gpu))
        assert not any(one.is_alive() for one in small_gpu)
    assert max(ahead) <= 3


def test_each_of_two_loaders_has_a_thread(make, few_store, small_gpu):
    trainer = trainer_of(make("a", few_store, **FEW))
    assert len(trainer.loaders) == 2
    trainer._train(0)
    assert len({*small_gpu}) == 2
    assert not any(gathered_by_main(small_gpu))


def test_what_stays_on_the_gpu_is_gathered_when_it_is_asked_for(make, small_gpu, monkeypatch):
    monkeypatch.setattr(resident, "_room", lambda device: float("inf"))
    trainer = trainer_of(make("a", teacher="lite0"))
    assert [loader.pin_memory for loader in trainer.loaders] == [False]


def test_batches_are_pinned_and_sent_without_a_wait_to_a_gpu_alone(make, small_gpu, monkeypatch):
    for kind, sent in (("cuda", True), ("mps", False)):
        monkeypatch.setattr(module, "pick_device", lambda name, kind=kind: torch.device(kind))
        (loader,) = trainer_of(make("a", teacher="lite0")).loaders
        assert loader._non_blocking == sent
        assert loader.pin_memory


def test_a_damaged_store_ends_the_run_with_its_one_line(make, small_gpu, taught_store, tmp_path):
    trainer = trainer_of(make("a", copy_store(taught_store, tmp_path / "store")))
    (tmp_path / "store/shards/00001/points.npy").write_bytes(b"")
    with pytest.raises(StoreError, match=r"00001/points\.npy: absent or damaged"):
        trainer._train(0)
