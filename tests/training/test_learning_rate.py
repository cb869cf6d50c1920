from pathlib import Path

import pytest

from pointmcd.training.config import TrainConfig
from pointmcd.training.trainer import learning_rate, loss_weights


def config(**options):
    return TrainConfig(Path("store"), **({"epochs": 10, "lr": 0.1, "final_lr": 0.001} | options))


def course(**options):
    return [learning_rate(config(**options), epoch) for epoch in range(10)]


def test_the_step_falls_from_its_start_towards_its_end():
    steps = course()
    assert steps[0] == 0.1
    assert steps == sorted(steps, reverse=True)
    assert len(set(steps)) == 10
    assert learning_rate(config(), 5) == pytest.approx((0.1 + 0.001) / 2)
    assert learning_rate(config(), 10) == pytest.approx(0.001)
    assert 0.001 < steps[-1] < 0.005


def test_warm_up_rises_evenly_to_the_start_of_the_cosine():
    steps = course(warmup_epochs=3)
    assert steps[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert steps[3:] == sorted(steps[3:], reverse=True)
    assert learning_rate(config(warmup_epochs=3), 10) == pytest.approx(0.001)


@pytest.mark.parametrize("warmup", [10, 50])
def test_warm_up_alone(warmup):
    steps = course(warmup_epochs=warmup)
    assert steps == sorted(steps)
    assert steps[-1] < 0.1


def test_one_epoch_takes_the_whole_step():
    assert learning_rate(config(epochs=1), 0) == 0.1
    assert learning_rate(config(epochs=1, warmup_epochs=1), 0) == 0.05


def test_a_constant_step():
    assert course(final_lr=0.1) == pytest.approx([0.1] * 10)


WEIGHTS = {"task_weight": 0.3}


def weights(**options):
    return [loss_weights(config(**WEIGHTS, **options), epoch) for epoch in range(10)]


def test_constant_weights():
    assert weights() == [(0.3, 1.0)] * 10


def test_decaying_distillation():
    task, distill = zip(*weights(distill_course="decay"), strict=True)
    assert set(task) == {0.3}
    assert distill[0] == 1
    assert distill[5] == pytest.approx(0.5)
    assert list(distill) == sorted(distill, reverse=True)
    assert 0 < distill[-1] < 0.05
    last = loss_weights(config(**WEIGHTS, distill_course="decay"), 10)
    assert last == (0.3, pytest.approx(0))


@pytest.mark.parametrize(("share", "first"), [(0.3, 3), (0.25, 3), (0.01, 1), (0.99, 10)])
def test_distilling_first(share, first):
    found = weights(distill_course="first", distill_share=share)
    assert found == [(0.0, 1.0)] * first + [(0.3, 0.0)] * (10 - first)


@pytest.mark.parametrize("name", ["constant", "decay", "first"])
def test_a_baseline_fits_its_task_throughout(name):
    assert weights(teacher=None, distill_course=name) == [(0.3, 0.0)] * 10
