"""Coordinates under mixed precision, and students on devices without float64."""

import copy

import numpy as np
import pytest
import torch
from dtype_watch import NoDoubles, NoRounding, without_kernels
from tiny_student import TinyStudent
from torch import nn

from pointmcd.students.precision import protect_coordinates
from pointmcd.students.registry import create_student, list_students
from pointmcd.tasks.classification import Classifier
from pointmcd.tasks.segmentation import Segmenter

B, N = 5, 64
TASKS = ("classification", "segmentation")


def model_of(student, task, extra_channels=0):
    torch.manual_seed(0)
    dense = task == "segmentation"
    made = create_student(student, dense=dense, extra_channels=extra_channels)
    ranges = np.array([[0, 2], [2, 5], [5, 6], [6, 8]])
    return Segmenter(made, 4, ranges) if dense else Classifier(made, 4)


def inputs(task, extra_channels=0):
    points = torch.nn.functional.normalize(torch.randn(B, N, 3), dim=2)
    points = torch.cat([points, torch.rand(B, N, extra_channels)], dim=2)
    return (points,) if task == "classification" else (points, torch.arange(B) % 4)


@pytest.mark.parametrize("extra_channels", [0, 4])
@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("student", list_students())
def test_coordinates_are_not_rounded(student, task, kernels, extra_channels, monkeypatch):
    if not kernels:
        without_kernels(monkeypatch)
    model, given = model_of(student, task, extra_channels).train(), inputs(task, extra_channels)
    with torch.autocast("cpu", torch.bfloat16), NoRounding(B, N, 3 + extra_channels):
        logits, _ = model.with_features(*given)
    assert logits.isfinite().all()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("student", list_students())
def test_nothing_needs_float64(student, task, monkeypatch):
    model, given = model_of(student, task).train(), inputs(task)
    expected = copy.deepcopy(model).with_features(*given)[1].embeddings
    without_kernels(monkeypatch, doubles=False)
    with NoDoubles():
        logits, features = model.with_features(*given)
        logits.square().mean().backward()
        model.eval()
        model(*given)
    if "curvenet" not in student:  # whose walks choose otherwise at ties by rounding
        torch.testing.assert_close(features.embeddings, expected, rtol=1e-3, atol=1e-3)


class Convolutions(nn.Module):
    """The other layers that users begin with."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv1d(3, 8, 1), nn.Conv2d(6, 8, 1)

    def forward(self, points):
        rows = points.transpose(1, 2)
        return self.one(rows), self.two(torch.cat([rows, rows], dim=1)[..., None])


@pytest.mark.parametrize("kind", [TinyStudent, Convolutions])
def test_first_layers_of_ones_own_student_are_protected(kind):
    torch.manual_seed(0)
    student, (points,) = kind().eval(), inputs("classification")
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(AssertionError, match="are rounded"), NoRounding(B, N):
            student(points)
        protected = copy.deepcopy(student)
        protect_coordinates(protected)
        protected = copy.deepcopy(protected)
        with NoRounding(B, N):
            protected(points)
        layers = [m for m in protected.modules() if hasattr(m, "weight") and m.weight.ndim > 1]
        plain = [m for m in student.modules() if hasattr(m, "weight") and m.weight.ndim > 1]
        assert protected.state_dict().keys() == student.state_dict().keys()
        for ours, theirs in zip(layers, plain, strict=True):
            shape = [B, N, 3] if isinstance(ours, nn.Linear) else [B, ours.in_channels, N]
            given = torch.randn(*shape, *([1] if isinstance(ours, nn.Conv2d) else []))
            found = ours(given)
            with torch.autocast("cpu", enabled=False):
                assert torch.equal(found, theirs(given))


def test_wide_layers_stay_as_they_are():
    layers = nn.ModuleList([nn.Linear(13, 4), nn.Linear(12, 4)])
    protect_coordinates(layers)
    assert type(layers[0]) is nn.Linear
    assert type(layers[1]) is not nn.Linear
