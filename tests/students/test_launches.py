"""What a step asks of a GPU, counted on torch's meta device: launches, waits, types."""

from itertools import product

import numpy as np
import pytest
import torch
from dtype_watch import CountOperations, NoDoubles, like_a_gpu

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import OBJECTIVES, Objectives, Setup, Term
from pointmcd.distill.statistics import ChannelStatistics
from pointmcd.students.registry import list_students
from pointmcd.tasks.task import TASKS, Labels, get_task
from pointmcd.training.trainer import StudentTraining

B, VIEWS, SIZE = 4, 3, 8
#: At most so many launches of forward and backward pass; a recorded step makes one.
MOST = {"pointnet": 900, "dgcnn": 1000, "curvenet": 6500, "pointnet2": 900, "pointnet2-msg": 1700}
SIZES = {
    "descriptors": (VIEWS, SIZE),
    "features": (VIEWS, SIZE),
    "view_logits": (VIEWS, 4),
    "logits": (4,),
    "shape": (SIZE,),
}
CHANNELS = ChannelStatistics(np.zeros(SIZE), np.ones(SIZE), np.zeros(SIZE))


def training_of(student, task, objectives):
    """A student with its task and objectives, on the meta device."""
    torch.manual_seed(0)
    labels = Labels([*"abcd"], {name: ["p", "q"] for name in "abcd"})
    made = get_task(task)
    model = made.build_model(student, labels)
    terms = []
    for name in objectives:
        objective = OBJECTIVES.get(name)
        terms.append(Term(name, name, objective, 1.0, objective.Options()))
    setup = Setup(
        model.student.num_features, SIZES, lambda _: CHANNELS, lambda _: torch.zeros(4, SIZE)
    )
    return StudentTraining(made, model, Objectives(terms, setup)).to("meta").train()


def batch_of(count):
    teacher = {name: torch.empty(B, *size, device="meta") for name, size in SIZES.items()}
    return Batch(
        torch.empty(B, count, 3, device="meta"),
        torch.empty(B, dtype=torch.int64, device="meta"),
        torch.empty(B, count, dtype=torch.int64, device="meta"),
        torch.empty(B, count, VIEWS, dtype=torch.bool, device="meta"),
        teacher,
    )


def launches(student, task, count, monkeypatch, objectives=("vafp",)):
    training, batch = training_of(student, task, objectives), batch_of(count)
    with monkeypatch.context() as patch, NoDoubles(), CountOperations() as counted:
        like_a_gpu(patch, counted.launches)
        logits, losses, penalty = training(batch)
        (training.task.loss(logits, batch, 0.1) + losses.sum() + penalty).backward()
        if training.task.labelled:
            training.task.training_metrics(logits.detach(), batch)
    return counted.launches


def cases():
    """Every student and task; CurveNet's many operations take seconds."""
    for student, task in product(list_students(), TASKS.names()):
        slow = student == "curvenet" and task != "classification"
        yield pytest.param(student, task, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("student", "task"), [*cases()])
def test_a_step_waits_for_nothing_and_no_loop_runs_over_points(student, task, monkeypatch):
    few, many = (launches(student, task, count, monkeypatch) for count in (256, 1024))
    more = {name: many[name] - few[name] for name in many if many[name] > few[name]}
    assert sum(more.values()) < 10, more  # rows of a large product in parts
    most = max(value for name, value in MOST.items() if student.startswith(name))
    assert sum(many.values()) < most, many


def test_every_objective_waits_for_nothing(monkeypatch):
    kinds = {name: OBJECTIVES.get(name) for name in OBJECTIVES.names()}
    fitting = [n for n, kind in kinds.items() if SIZES.keys() >= {*kind.outputs(kind.Options())}]
    assert len(fitting) > 6
    assert launches("pointnet", "classification", 256, monkeypatch, fitting)


def test_the_kernels_of_a_gpu_are_those_that_are_launched(monkeypatch):
    made = launches("pointnet2", "classification", 256, monkeypatch)
    assert made["farthest_kernel"] == 1
    assert made["group_kernel"] == 2
    assert launches("dgcnn", "classification", 256, monkeypatch)["nearest_kernel"] == 4
    assert launches("curvenet", "classification", 256, monkeypatch)["query_kernel"] == 3
