"""A trainer as `train` makes it."""

from pointmcd.data.store import Store
from pointmcd.training.config import TrainConfig
from pointmcd.training.inputs import find_teacher
from pointmcd.training.trainer import Trainer


def trainer_of(config: TrainConfig) -> Trainer:
    store = Store(config.store, config.labels)
    return Trainer(config, store, find_teacher(config, store))
