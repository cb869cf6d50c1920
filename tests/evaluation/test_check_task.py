import numpy as np
import pytest
import toy_task

from pointmcd import check_task
from pointmcd.errors import ConfigError
from pointmcd.tasks.task import TASKS

TINY = "tiny_student:TinyStudent"


@pytest.mark.parametrize("name", [*TASKS.names(), "pretrain,dense=true", "toy_task:Height"])
def test_the_packages_own_and_ones_own_pass(name):
    check_task(name, TINY)


class NoBest(toy_task.Height):
    best = "val_beauty"


class NoNumber(toy_task.Height):
    def validate(self, *given, **options):
        return super().validate(*given, **options) | {"val_closeness": None}


class Fails(toy_task.Height):
    def loss(self, logits, batch, label_smoothing):
        raise ValueError("no\nway")


class Restless(toy_task.Height):
    def measure(self, labels, arrays, known):
        metrics = super().measure(labels, arrays, known)
        scores = np.random.default_rng().random(len(metrics.scores))
        return toy_task.HeightMetrics(scores, metrics.per_class)


class Short(toy_task.Height):
    def measure(self, labels, arrays, known):
        metrics = super().measure(labels, arrays, known)
        return toy_task.HeightMetrics(metrics.scores[:1], metrics.per_class)


class NoName(toy_task.Height):
    leads = (0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("NoBest", r"must hold val_loss and val_beauty \(best\)"),
        ("NoNumber", "validate returns no number for val_closeness"),
        ("Fails", "training fails: ValueError: no$"),
        ("Restless", "a run differs from itself"),
        ("NoName", "best_name '': must be one of the metrics, as leads is set: "),
        ("Short", r"scores .*: expected 2 finite numbers"),
    ],
)
def test_what_is_broken_is_named_in_one_line(name, fault):
    with pytest.raises(ConfigError, match=fault) as told:
        check_task(f"{__name__}:{name}", TINY)
    assert str(told.value).startswith(f"task {__name__}:{name}: ")
    assert "\n" not in str(told.value)


def test_what_is_no_task():
    with pytest.raises(ConfigError, match="task builtins:dict: is not a class derived from"):
        check_task("builtins:dict")
    with pytest.raises(ConfigError, match="unknown"):
        check_task("nobody")
