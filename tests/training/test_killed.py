"""Training that is killed at any moment and run again equals one that was left in peace."""

import itertools
import os
import random
import time
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from killing import run_killed
from store_copies import edit_json

from pointmcd import checkpoint
from pointmcd.training import keeper as keeper_module
from pointmcd.training import train as train_module
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
by_signal = pytest.mark.skipif(os.name != "posix", reason="kills by signal")

WAYS = {
    "sgd": {"optimizer": "sgd", "lr": 0.05},
    "adamw": {"teacher": "lite0", "optimizer": "adamw", "resample": True},
    "first": {"teacher": "lite0", "distill_course": "first", "distill_share": 0.5},
    "averaged": {
        "teacher": "lite0",
        "ema_decay": 0.9,
        "clip_gradients": 0.5,
        "sampling": "balanced",
        "class_weights": "balanced",
    },
    "decay": {
        "teacher": "lite0",
        "distill_course": "decay",
        "objective": ("vafp:1,standardise=true",),
    },
}


def interrupt_at(monkeypatch, owner, name, number):
    """Let the `number`-th call of a function be interrupted before it does anything."""
    calls = []
    function = getattr(owner, name)

    def interrupted(*arguments, **options):
        calls.append(name)
        if len(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("owner", "name", "number"),
    [
        (Trainer, "epoch", 1),
        (Trainer, "_step", 6),
        (Run, "append", 3),
        (keeper_module, "save_checkpoint", 1),  # the first best
        (keeper_module, "save_checkpoint", 2),  # the first last: metrics and best are ahead
        (Run, "finish", 1),
    ],
)
def test_interrupted_and_run_again(make, content, monkeypatch, way, owner, name, number):
    config = make("a", epochs=4, **WAYS[way])
    calm = content(train(make("b", epochs=4, **WAYS[way])))
    with monkeypatch.context() as patch:
        interrupt_at(patch, owner, name, number)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert not Run(config.out).finished
    train(config)
    assert content(config.out) == calm


def test_it_goes_on_where_it_stood(make, monkeypatch):
    config = make("a", epochs=4)
    with monkeypatch.context() as patch:
        interrupt_at(patch, Trainer, "epoch", 3)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    epochs = []
    epoch = Trainer.epoch
    monkeypatch.setattr(Trainer, "epoch", lambda self, n: epochs.append(n) or epoch(self, n))
    train(config)
    assert epochs == [2, 3]


def write_every_third_epoch(monkeypatch):
    """Let 0.4 s pass from one epoch to the next, of 1 s between checkpoints."""
    clock = itertools.count(step=0.4)
    monkeypatch.setattr(checkpoint, "SAVE_EVERY", 1.0)
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(perf_counter=lambda: next(clock)))


def test_short_epochs_are_written_together(make, content, monkeypatch):
    written = content(train(make("b", epochs=5, **WAYS["adamw"])))
    config, states = make("a", epochs=5, **WAYS["adamw"]), []
    save = keeper_module.save_checkpoint

    def noted(path, tensors, state):
        states.append((path.stem, state["epoch"]))
        save(path, tensors, state)

    monkeypatch.setattr(keeper_module, "save_checkpoint", noted)
    write_every_third_epoch(monkeypatch)
    with monkeypatch.context() as patch:
        interrupt_at(patch, Trainer, "epoch", 5)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert [m["epoch"] for m in Run(config.out).metrics()] == [1, 2, 3]
    train(config)
    assert [epoch for name, epoch in states if name == "last"] == [3, 5]
    assert content(config.out) == written


def test_a_best_epoch_before_the_interruption_stays_the_best(make, monkeypatch):
    accuracies = iter([0.3, 0.9, 0.5, 0.9])
    epoch = Trainer.epoch

    def scored(self, number):
        return epoch(self, number) | {"val_accuracy": next(accuracies)}

    monkeypatch.setattr(Trainer, "epoch", scored)
    config = make("a", epochs=4)
    with monkeypatch.context() as patch:
        interrupt_at(patch, Run, "append", 4)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    accuracies = iter([0.9])
    train(config)
    assert train_module.load_checkpoint(config.out / "best.safetensors")[1]["epoch"] == 2


def test_an_unfinished_run_of_other_settings_is_not_gone_on_with(make):
    config = make("a")
    train(config)
    edit_json(config.out / "run.json", lambda meta: meta.update(finished=False))
    with pytest.raises(train_module.RunError, match="differs in lr"):
        train(make("a", lr=0.5))


def options_of(config):
    return {k: v for k, v in asdict(config).items() if v is not None} | {"teacher": config.teacher}


@by_signal
@pytest.mark.slow
def test_killed_with_files_half_in_place(make, content):
    options = {"epochs": 4, **WAYS["adamw"]}
    calm = content(train(make("calm", **options)))
    config = make("killed", **options)
    # config.yaml, run.json; then metrics, perhaps best, and last in each epoch
    kills = [("rename", n) for n in (1, 2, 4, 5, 2, 3)]
    assert run_killed("train", options_of(config), kills) == 6
    assert content(config.out) == calm


@by_signal
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_random_times(make, content, way):
    chance = random.Random(way)
    options = {"epochs": 40, **WAYS[way]}
    began = time.perf_counter()
    calm = content(train(make("calm", **options)))
    seconds = time.perf_counter() - began
    config = make("killed", **options)
    kills = [("after", chance.uniform(0.02, 0.4) * seconds) for _ in range(10)]
    assert run_killed("train", options_of(config), kills) > 0
    assert content(config.out) == calm


@by_signal
@pytest.mark.slow
def test_killed_before_many_a_file(make, content):
    options = {"epochs": 8, **WAYS["first"]}
    calm = content(train(make("calm", **options)))
    config = make("killed", **options)
    kills = [("rename", n) for n in (*range(1, 8), *range(6, 0, -1))]
    assert run_killed("train", options_of(config), kills) > 6
    assert content(config.out) == calm


@by_signal
@pytest.mark.slow
@pytest.mark.parametrize("student", ["pointnet", "dgcnn"])
def test_real_students_killed(make, content, student):
    options = {"student": student, "teacher": "lite0", "epochs": 3}
    calm = content(train(make("calm", **options)))
    config = make("killed", **options)
    assert run_killed("train", options_of(config), [("rename", n) for n in (4, 5, 3)]) > 1
    assert content(config.out) == calm
