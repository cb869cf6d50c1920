"""Steps on a device without kernels and without float64, such as MPS."""

import pytest
import torch
from accelerate import PartialState
from dtype_watch import NoRounding, OnMPS, without_kernels
from store_copies import copy_store
from trainers import trainer_of

from pointmcd.data.store import Store
from pointmcd.distill.objective import OBJECTIVES
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.ops import packed_convolution
from pointmcd.students.registry import list_students
from pointmcd.tasks.task import TASKS
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import LESSONS
from pointmcd.teachers.teach import teach
from pointmcd.training.model import evaluating

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
    with OnMPS(), NoRounding(5, made.points):
        logged = trainer._step(batch, (1.0, 1.0))
    assert all(value.isfinite() for value in logged.values())
    assert logged.keys() >= {f"{name}_loss" for name in objective}


def test_a_step_in_parts_with_every_option(make, parts_store, monkeypatch):
    trainer = trainer_of(make("a", parts_store, task="segmentation", dropout=0.1, **OPTIONS))
    batch = trainer.dataset.__getitems__([0, 3, 6])
    without_kernels(monkeypatch, doubles=False)
    with OnMPS():
        logged = [trainer._step(batch, (1.0, 0.0)) for _ in range(2)]
    assert all(torch.isfinite(value) for one in logged for value in one.values())


@pytest.fixture(scope="module")
def stores(taught_store, parts_store, tmp_path_factory):
    """Stores with what each task learns from."""
    path = copy_store(taught_store, tmp_path_factory.mktemp("stores") / "store")
    teach(TeachConfig(path, task="features", device="cpu"))
    parts = copy_store(parts_store, tmp_path_factory.mktemp("parts") / "store")
    return {"classification": taught_store, "pretrain": path, "segmentation": parts}


@pytest.mark.parametrize("task", TASKS.names())
@pytest.mark.parametrize("student", list_students())
def test_every_student_trains_with_what_mps_has(make, stores, monkeypatch, student, task):
    teacher = None if task == "segmentation" else "lite0"
    trainer = trainer_of(make("a", stores[task], student=student, task=task, teacher=teacher))
    batch = trainer.dataset.__getitems__([0, 3, 6, 1])
    without_kernels(monkeypatch, doubles=False)
    with OnMPS():
        logged = trainer._step(batch, (1.0, 1.0))
        with evaluating(trainer.training):
            logits, *_ = trainer.training(batch)
    assert all(value.isfinite() for value in (*logged.values(), logits.sum()))


@pytest.mark.parametrize("finetune", [False, True])
@pytest.mark.parametrize("task", ["classification", "autoencoder", "segmentation"])
def test_every_lesson_that_trains_does_so_with_what_mps_has(stores, monkeypatch, task, finetune):
    monkeypatch.setattr(packed_convolution, "_fuses", lambda images: False)
    config = TeachConfig(stores["segmentation"], task=task, finetune=finetune, device="cpu")
    store = Store(config.store)
    lesson = LESSONS.get(task)(store, config, torch.device("cpu"), ImageEncoder("lite0"))
    lesson.prepare()
    lesson.teacher.train()
    with OnMPS():
        loss = lesson.loss(lesson.train[:2])
        loss.backward()
        with evaluating(lesson.teacher):
            outputs = lesson.outputs(lesson.train[:2])
    assert loss.isfinite()
    assert all(output.isfinite().all() for output in outputs.values())


def test_what_mps_has_not_is_refused():
    with OnMPS():
        torch.ones(3) + 1
        with pytest.raises(AssertionError, match="gives float64"):
            torch.ones(3).double()
        with pytest.raises(AssertionError, match=r"linalg_eig is not there"):
            torch.linalg.eig(torch.eye(3))


def test_a_trainer_is_on_its_own_device_after_one_on_another(make):
    PartialState()._shared_state["device"] = torch.device("meta")
    assert trainer_of(make("a", device="cpu")).accelerator.device.type == "cpu"
