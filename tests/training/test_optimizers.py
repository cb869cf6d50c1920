"""Steps of the optimisers, by hand."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pointmcd.training.config import TrainConfig
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
