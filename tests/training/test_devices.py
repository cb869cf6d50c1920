"""Steps on a device without kernels and without float64, such as MPS."""

import pytest
import torch
from accelerate import PartialState
from dtype_watch import NoDoubles, NoRounding, without_kernels
from trainers import trainer_of

from pointmcd.distill.objective import OBJECTIVES

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = {"ema_decay": 0.9, "clip_gradients": 1.0, "class_weights": "balanced"}


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("student", ["pointnet", "pointnet2", "dgcnn", "tiny_student:TinyStudent"])
def test_a_step_with_every_objective(make, monkeypatch, student, precision):
    kinds = {name: OBJECTIVES.get(name) for name in OBJECTIVES.names()}
    said = {"descriptors", "shape", "logits", "view_logits"}
    objective = tuple(n for n, kind in kinds.items() if said >= {*kind.outputs(kind.Options())})
    made = make("a", student=student, teacher="lite0", objective=objective, precision=precision)
    trainer = trainer_of(made)
    batch = trainer.dataset.__getitems__([0, 3, 6, 1, 4])
    without_kernels(monkeypatch, doubles=False)
    with NoDoubles(), NoRounding(5, made.points):
        logged = trainer._step(batch, (1.0, 1.0))
    assert all(value.isfinite() for value in logged.values())
    assert logged.keys() >= {f"{name}_loss" for name in objective}


def test_a_step_in_parts_with_every_option(make, parts_store, monkeypatch):
    trainer = trainer_of(make("a", parts_store, task="segmentation", dropout=0.1, **OPTIONS))
    batch = trainer.dataset.__getitems__([0, 3, 6])
    without_kernels(monkeypatch, doubles=False)
    with NoDoubles():
        logged = [trainer._step(batch, (1.0, 0.0)) for _ in range(2)]
    assert all(torch.isfinite(value) for one in logged for value in one.values())


def test_a_trainer_is_on_its_own_device_after_one_on_another(make):
    PartialState()._shared_state["device"] = torch.device("meta")
    assert trainer_of(make("a", device="cpu")).accelerator.device.type == "cpu"
