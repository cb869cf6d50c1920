"""A trainer as `train` makes it, and what the steps of a training are given."""

from pointmcd.data.store import Store
from pointmcd.training.config import TrainConfig
from pointmcd.training.inputs import find_teacher
from pointmcd.training.train import train
from pointmcd.training.trainer import Trainer


def trainer_of(config: TrainConfig) -> Trainer:
    store = Store(config.store, config.labels)
    return Trainer(config, store, find_teacher(config, store))


def steps_of(config, monkeypatch):
    """The batches of each step of a run."""
    seen, step = [], Trainer._step

    def spy(self, batch, weights, unlabelled=None):
        seen.append((batch, unlabelled))
        return step(self, batch, weights, unlabelled)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", spy)
        train(config)
    return seen
