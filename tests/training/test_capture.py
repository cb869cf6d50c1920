"""Recorded steps, with a recorder that calls the step again where a GPU would replay it."""

import pytest
import torch
from dtype_watch import CountOperations
from store_copies import copy_store
from torch import nn
from trainers import trainer_of

from pointmcd.data.resident import ResidentShapes, resident
from pointmcd.distill.objective import OBJECTIVES
from pointmcd.students.registry import list_students
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.capture import WARM_UP, CapturedStep
from pointmcd.training.train import train
from pointmcd.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
OPTIONS = {"ema_decay": 0.9, "clip_gradients": 1.0, "class_weights": "balanced", "dropout": 0.1}
DISTILLED = {"teacher": "lite0", "objective": ("vafp", "similarities"), "batch_size": 4}


class Again:
    """Replays by calling the step; what it logs stays in one place."""

    replays = 0

    def warm_up(self, step):
        return step()

    def record(self, step):
        logged = {}

        def replay():
            type(self).replays += 1
            for name, value in step().items():
                logged.setdefault(name, torch.empty_like(value)).copy_(value)

        return replay, logged

    def random_state(self):
        return torch.get_rng_state()

    def restore_random(self, state):
        torch.set_rng_state(state)


class Refuses(Again):
    def record(self, step):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")


@pytest.fixture
def recording(monkeypatch):
    """Let the CPU record; return what changes the recorder."""
    monkeypatch.setattr(Trainer, "_on_gpu", lambda self: True)
    monkeypatch.setattr(Again, "replays", 0)

    def use(kind):
        monkeypatch.setattr(Trainer, "_recorder", lambda self: kind())

    use(Again)
    return use


def weights_of(run):
    from pointmcd.checkpoint import load_checkpoint

    return load_checkpoint(run / "last.safetensors")[0]


def assert_same(first, second):
    first, second = weights_of(first), weights_of(second)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize(
    "own",
    [*(pytest.param({"optimizer": o}, marks=pytest.mark.slow) for o in ("sgd", "adamw")), OPTIONS],
    ids=str,
)
def test_replays_equal_plain_steps_over_a_schedule(make, own, recording):
    options = DISTILLED | {"epochs": 3, "warmup_epochs": 1} | own
    options |= {"distill_course": "first", "student": "pointnet"}
    recorded = train(make("a", **options))
    assert Again.replays == 6 - WARM_UP
    recording(Refuses)
    with pytest.warns(UserWarning, match="without CUDA graphs.*not permitted") as said:
        plain = train(make("b", **options))
    assert sum("without CUDA graphs" in str(one.message) for one in said) == 1
    assert_same(recorded, plain)


@pytest.mark.parametrize("task", [pytest.param("segmentation", marks=pytest.mark.slow), "pretrain"])
def test_other_tasks_are_recorded_too(make, taught_store, parts_store, recording, task, tmp_path):
    """Their models have buffers of other types: which parts a class has is a mask."""
    options = {"task": task, "student": "pointnet", "epochs": 3}
    if task == "segmentation":
        store = parts_store
    else:
        store, options["teacher"] = copy_store(taught_store, tmp_path / "store"), "lite0"
        teach(TeachConfig(store, task="features", device="cpu"))
    recorded = train(make("a", store, **options))
    assert Again.replays > 0
    recording(Refuses)
    with pytest.warns(UserWarning, match="not permitted"):
        plain = train(make("b", store, **options))
    assert_same(recorded, plain)


@pytest.mark.filterwarnings("error:training runs without CUDA graphs")
@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_every_objective_is_recorded(make, taught_store, taught_parts, recording, objective):
    dense = objective == "point_logits"
    options = {"task": "segmentation" if dense else "classification", "student": "pointnet"}
    store = taught_parts if dense else taught_store
    train(make("a", store, **DISTILLED | options | {"objective": (objective,), "epochs": 3}))
    assert Again.replays > 0


@pytest.mark.filterwarnings("error:training runs without CUDA graphs")
@pytest.mark.parametrize(
    "student",
    [pytest.param(s, marks=() if s == "pointnet" else pytest.mark.slow) for s in list_students()],
)
def test_every_student_is_recorded(make, recording, student):
    trainer = trainer_of(make("a", **DISTILLED, student=student))
    batch = trainer.dataset.__getitems__([0, 3, 6, 1])
    for _ in range(WARM_UP + 2):
        trainer.make_step(batch, (1.0, 1.0))
    assert Again.replays > 0


@pytest.mark.slow
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(make, recording, monkeypatch):
    options = DISTILLED | {"epochs": 4, "student": "pointnet"}
    whole = train(make("a", **options))
    epoch = Trainer.epoch

    def stop(self, number):
        if number == 2:
            raise KeyboardInterrupt
        return epoch(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            train(make("b", **options))
    assert_same(whole, train(make("b", **options)))


def test_a_plug_of_others_takes_plain_steps(make, recording):
    trainer = trainer_of(make("a", **DISTILLED, student="tiny_student:TinyStudent"))
    assert not trainer.captures
    assert trainer.make_step == trainer._step


def test_a_cpu_records_nothing(make):
    assert not trainer_of(make("a", **DISTILLED)).captures


def test_few_operations_are_left_outside_of_a_recording(make, recording):
    class OnlyTheFirst(Again):  # which is held to the plain step
        def record(self, step):
            right, logged = super().record(step)
            calls = iter([right])
            return (lambda: next(calls, int)()), logged

    recording(OnlyTheFirst)
    trainer = trainer_of(make("a", **DISTILLED, student="pointnet"))
    batch = trainer.dataset.__getitems__([0, 3, 6, 1])
    for _ in range(WARM_UP + 1):
        trainer.make_step(batch, (1.0, 1.0))
    with CountOperations() as counted:
        trainer.make_step(batch, (1.0, 0.5))
    assert 0 < sum(counted.launches.values()) < 20, counted.launches


def test_a_batch_on_a_gpu_is_made_by_few_operations(make, parts_store, taught_store):
    for store, own in ((parts_store, {"task": "segmentation"}), (taught_store, DISTILLED)):
        options = own | {"rotation": "up", "resample": True}
        source = resident(trainer_of(make("a", store, **options)).dataset, CPU)
        assert isinstance(source, ResidentShapes)
        with CountOperations() as counted:
            source.__getitems__([0, 3, 6, 1])
        assert 0 < sum(counted.launches.values()) < 30, counted.launches


def test_options_of_a_step_wait_for_nothing(make, monkeypatch):
    trainer = trainer_of(make("a", **DISTILLED, **OPTIONS, student="pointnet"))
    batch = trainer.dataset.__getitems__([0, 3, 6, 1])
    monkeypatch.setattr(trainer.optimizer, "step", lambda: None)  # torch's, fused on a GPU
    outputs = trainer.model(batch, None)
    with CountOperations():
        loss, _ = trainer.losses(outputs, batch, (1.0, 1.0))
    loss.backward()
    with CountOperations() as counted:
        trainer._update()
    tensors = len([*trainer.average.parameters(), *trainer.average.buffers()])
    assert tensors < sum(counted.launches.values()) < 1.5 * tensors, counted.launches


@pytest.mark.parametrize(
    "fault", ["twice", *(pytest.param(f, marks=pytest.mark.slow) for f in ("nan", "logs"))]
)
def test_a_replay_that_does_something_else_is_not_used(make, recording, fault):
    class Faulty(Again):
        def record(self, step):
            right, logged = super().record(step)

            def replay():
                right()
                if fault == "twice":
                    right()
                for value in logged.values():
                    value += {"nan": float("nan"), "logs": 0.5}.get(fault, 0)

            return replay, logged

    options = DISTILLED | {"epochs": 3, "student": "pointnet"}
    recording(Refuses)
    with pytest.warns(UserWarning, match="not permitted"):
        plain = train(make("plain", **options))
    recording(Faulty)
    with pytest.warns(UserWarning, match="a replay differs from the plain step"):
        found = train(make("faulty", **options))
    assert_same(plain, found)


def stepper(step, layer, recorder=None):
    return CapturedStep(step, lambda: [*layer.parameters(), *layer.buffers()], recorder, CPU)


def test_inputs_of_another_size_take_the_plain_step():
    seen, layer = [], nn.Linear(1, 1)

    def step(points, factor):
        seen.append(type(factor))
        return {"sum": points.sum() * factor}

    make_step = stepper(step, layer, Again())
    for number in range(2 * WARM_UP):
        assert make_step(torch.full((2,), float(number)), 0.5)["sum"] == number
    assert set(seen) == {torch.Tensor}
    assert make_step(torch.ones(3), 0.5)["sum"] == 1.5
    assert seen[-1] is float
    assert make_step(torch.ones(2), 2.0)["sum"] == 4


def test_a_buffer_that_a_step_replaces_ends_the_recording():
    layer = nn.BatchNorm1d(1)

    def step(points):
        layer.running_mean = layer.running_mean + points.mean()
        return {"mean": layer.running_mean.sum()}

    make_step = stepper(step, layer, Again())
    with pytest.warns(UserWarning, match="copy_"):
        found = [make_step(torch.ones(2))["mean"].item() for _ in range(6)]
    assert found == [1, 2, 3, 4, 5, 6]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("student", ["pointnet", "dgcnn", "pointnet2", "curvenet"])
def test_on_a_gpu_replays_are_near_plain_steps(make, student, monkeypatch):
    options = DISTILLED | {"epochs": 3, "student": student, "device": "cuda", "lr": 1e-4}
    recorded = trainer_of(make("a", **options))
    monkeypatch.setattr(Trainer, "captures", False)
    plain = trainer_of(make("b", **options))
    assert isinstance(recorded.make_step, CapturedStep)
    for epoch in range(3):
        found, wanted = recorded.epoch(epoch), plain.epoch(epoch)
        assert found["vafp_loss"] == pytest.approx(wanted["vafp_loss"], rel=0.02), epoch
    assert recorded.make_step.recorded is not None
