"""Steps of the optimisers and of the trainer, by hand."""

import copy
from pathlib import Path

import pytest
import torch
from rich.progress import Progress
from torch import nn
from trainers import trainer_of

from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train
from pointmcd.training.trainer import _optimizer

START, SLOPES, LR, DECAY = 2.0, (0.5, -1.0, 0.25), 0.1, 0.04


def steps(name, slopes=SLOPES):
    """The weight after each step at which the loss has these slopes."""
    layer = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(layer.weight, START)
    config = TrainConfig(Path("store"), optimizer=name, lr=LR, weight_decay=DECAY)
    optimizer = _optimizer(config, layer)
    found = []
    for slope in slopes:
        layer.weight.grad = torch.full_like(layer.weight, slope)
        optimizer.step()
        found.append(layer.weight.item())
    return found


def test_sgd_has_momentum_and_an_l2_penalty():
    weight, velocity, expected = START, 0.0, []
    for slope in SLOPES:
        velocity = 0.9 * velocity + slope + DECAY * weight
        weight -= LR * velocity
        expected.append(weight)
    assert steps("sgd") == pytest.approx(expected, rel=1e-12)


def test_adamw_decays_the_weight_itself():
    weight, mean, square, expected = START, 0.0, 0.0, []
    for number, slope in enumerate(SLOPES, start=1):
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        deviation = (square / (1 - 0.999**number)) ** 0.5
        weight *= 1 - LR * DECAY
        weight -= LR * mean / (1 - 0.9**number) / (deviation + 1e-8)
        expected.append(weight)
    assert steps("adamw") == pytest.approx(expected, rel=1e-12)
    # Where the loss is flat, a penalty in the slope would be a whole step.
    assert steps("adamw", [0.0]) == pytest.approx([START * (1 - LR * DECAY)])


def gradients(training, batch, factor):
    """Of 0.3 of the task, 0.7 of the penalty, and 2 and 0.5 of two objectives, times a factor."""
    training = copy.deepcopy(training)
    logits, losses, penalty = training(batch)
    rows = torch.arange(len(logits))
    spread = torch.full_like(logits, 0.1 / (logits.shape[1] - 1))
    spread[rows, batch.labels] = 0.9
    task = -(spread * logits.log_softmax(dim=1)).sum(dim=1).mean()
    loss = 0.3 * task + 0.7 * penalty + factor * (2 * losses[0] + 0.5 * losses[1])
    return torch.autograd.grad(loss, tuple(training.parameters())), (task, *losses)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_a_step_goes_down_the_weighted_sum(make, factor):
    objective = ("vafp:2,distance=l1", "vafp:0.5,distance=cosine")
    options = {"teacher": "lite0", "objective": objective, "regulariser_weight": 0.7}
    sgd = {"optimizer": "sgd", "lr": 0.01, "weight_decay": 0.0, "label_smoothing": 0.1}
    trainer = trainer_of(make("a", **options, **sgd))
    batch = trainer.dataset.__getitems__([0, 3, 6, 8])
    velocity = [0.0 for _ in trainer.training.parameters()]
    for seed in range(3):
        torch.manual_seed(seed)  # of the dropout
        slopes, losses = gradients(trainer.training, batch, factor)
        before = [p.detach().clone() for p in trainer.training.parameters()]
        velocity = [0.9 * v + slope for v, slope in zip(velocity, slopes, strict=True)]
        torch.manual_seed(seed)
        logged = trainer._step(batch, (0.3, factor))
        for p, old, v in zip(trainer.training.parameters(), before, velocity, strict=True):
            torch.testing.assert_close(p.detach(), old - 0.01 * v, rtol=1e-4, atol=1e-6)
        said = [float(logged[name]) for name in ("task_loss", "vafp_loss", "vafp2_loss")]
        assert said == pytest.approx([float(loss.detach()) for loss in losses], rel=1e-5)


def test_progress_goes_on_within_an_epoch(make, monkeypatch):
    seen, update = [], Progress.update
    monkeypatch.setattr(
        Progress,
        "update",
        lambda self, task, **told: (seen.append(told["completed"]), update(self, task, **told)),
    )
    train(make("a", epochs=2, batch_size=4))
    steps = len(seen) // 2 - 1
    assert steps > 1
    within = [min(number / steps, 0.99) for number in range(1, steps + 1)]
    assert seen == pytest.approx([*within, 1, *(1 + share for share in within), 2])
