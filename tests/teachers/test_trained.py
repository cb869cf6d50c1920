"""How a lesson trains: its optimiser, its learning rate, its order."""

import numpy as np
import pytest
import torch
from store_copies import copy_store
from torch import nn

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.teachers import trained as trained_module
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.trained import TrainedLesson

pytestmark = pytest.mark.usefixtures("one_thread")


class Sloped(TrainedLesson):
    """One number, whose loss has the slope that it is given."""

    slope = 0.0

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.teacher = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.teacher.weight, 2.0)
        self.batches, self.weights = [], []

    def loss(self, indices):
        assert self.teacher.training
        self.batches.append(indices.tolist())
        self.weights.append(self.teacher.weight.item())
        return self.slope * self.teacher.weight.sum()

    def scores(self):
        return {}

    def outputs(self, indices):
        return {}


@pytest.fixture
def fitted(tiny_store, tmp_path):
    """Fit a lesson on a store of its own: what it saw, and how its weight moved."""

    def fit(slope=0.0, **options):
        store = copy_store(tiny_store, tmp_path / f"store{len(list(tmp_path.iterdir()))}")
        config = TeachConfig(store, task="sloped:Sloped", device="cpu", **options)
        lesson = Sloped(Store(store), config, torch.device("cpu"), ImageEncoder("random:lite0"))
        lesson.slope = slope
        lesson.fit()
        return lesson

    return fit


def adam(slopes, rates, decay, weight=2.0):
    """The weight before each step of Adam (Kingma and Ba) with a penalty of decay / 2 * weight²."""
    mean = square = 0.0
    found = []
    for number, (slope, lr) in enumerate(zip(slopes, rates, strict=True), start=1):
        found.append(weight)
        slope += decay * weight
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        deviation = (square / (1 - 0.999**number)) ** 0.5
        weight -= lr * mean / (1 - 0.9**number) / (deviation + 1e-8)
    return found


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_the_weight_decay_is_an_l2_penalty(fitted, slope):
    options = {"epochs": 6, "batch_size": 9, "lr": 0.1, "final_lr": 0.02}
    lesson = fitted(slope, weight_decay=0.5, **options)
    rates = [0.02 + 0.08 * 0.5 * (1 + np.cos(np.pi * epoch / 6)) for epoch in range(6)]
    expected = adam([slope] * 6, rates, 0.5)
    assert lesson.weights == pytest.approx(expected, rel=1e-5)
    # Decoupled, a flat loss would leave it nearly where it was: 2 * (1 - 0.1 * 0.5).
    assert expected[1] == pytest.approx(1.9)


def test_each_epoch_has_every_train_shape_in_an_order_of_its_own(fitted):
    lesson = fitted(epochs=3, batch_size=4)
    train = lesson.train.tolist()
    assert len(train) == 9
    assert [len(rows) for rows in lesson.batches] == [4, 4] * 3  # one alone has no batch norm
    epochs = [lesson.batches[2 * at] + lesson.batches[2 * at + 1] for at in range(3)]
    for rows in epochs:
        assert len(set(rows)) == 8
        assert set(rows) <= set(train)
    assert len({tuple(rows) for rows in epochs}) == 3
    assert fitted(epochs=3, batch_size=4).batches == lesson.batches
    assert fitted(epochs=3, batch_size=4, seed=1).batches != lesson.batches


@pytest.mark.parametrize(("epochs", "told"), [(99, True), (100, False)])
def test_a_short_training_is_told(fitted, capsys, epochs, told):
    # Nine train shapes make two batches: with 200 steps or more nothing is said.
    lesson = fitted(epochs=epochs, batch_size=5)
    assert len(lesson.batches) == 2 * epochs
    note = "note: 198 steps in all (9 shapes, batches of 5, 99 epochs) are few for a teacher; "
    assert (
        f"{note}pointmcd teach with --epochs 500 makes 1,000" in capsys.readouterr().err
    ) == told


@pytest.mark.parametrize(("usual", "epochs"), [(1000, 250), (39, 20)])
def test_steps_not_epochs_are_the_default(fitted, capsys, monkeypatch, usual, epochs):
    # Seventeen machined blocks in batches of four were 80 steps of 20 epochs: too few for parts.
    monkeypatch.setattr(trained_module, "_STEPS", usual)
    lesson = fitted(batch_size=2)
    assert lesson.schedule == {"epochs": epochs, "steps": 4 * epochs}
    assert len(lesson.batches) == 4 * epochs  # nine train shapes, one of them left out
    assert "few for a teacher" not in capsys.readouterr().err  # the lesson's own choice
