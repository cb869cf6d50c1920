"""Check any student against the contract, as scikit-learn's check_estimator does for estimators."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.checking import attempt, checking, close
from pointmcd.errors import ConfigError, first_line
from pointmcd.students.base import PointFeatures

Given = nn.Module | Callable[[], nn.Module]


_FORMS = {
    "embeddings": "[B, M, num_features]; M is N without an index",
    "index": "[B, M], the input point of each embedding",
    "local": "[B, N, num_local]",
    "logits": "[B, N, P], of its part_head",
    "penalty": "a scalar",
}


def check_student(student: Given, num_points: int = 128) -> None:
    """Check that a student keeps the contract of students.

    It is given points [B, N, 3 + F] with F its `extra_channels`, 0 where it has no such attribute.

    It checks `num_features`; shapes, types and finite values of all that `PointFeatures` holds, for
    several numbers of points; finite gradients, also where the points of a cloud coincide; that in
    evaluation outputs are the same from call to call and whatever else is in the batch, and no
    state changes; that the state dict carries all that was learnt; and the logits of its
    `part_head`, if it has one.

    Args:
        student: a module (a copy of it is checked, on its device) or, stricter, a class or function
            that makes one: a second one must become the first by its state dict alone.
        num_points: N of the random clouds, for a student that needs many points.

    Raises:
        ConfigError: one line that names the first rule broken, and how.
    """
    with checking(f"student {getattr(student, '__name__', type(student).__name__)}"):
        made, other = _make(student), _make(student)
        clouds = _clouds(made, num_points)
        _check_training(made.train(), clouds)
        _check_evaluation(made.eval(), clouds)
        _check_state_dict(made, other.eval(), clouds)
        for count in (num_points + 1, max(3 * num_points // 4, 1)):
            _features(made, _clouds(made, count))
        if hasattr(made, "part_head"):
            _check_part_head(made, clouds)


def _make(given: Given) -> nn.Module:
    student = copy.deepcopy(given) if isinstance(given, nn.Module) else given()
    if not isinstance(student, nn.Module):
        raise ConfigError(f"is of type {type(student).__name__}, not nn.Module")
    width = getattr(student, "num_features", None)
    if not isinstance(width, int) or width < 1:
        raise ConfigError(f"num_features is {width}; make it a positive integer attribute")
    if next(student.parameters(), None) is None:
        raise ConfigError("has no parameters; keep layers in attributes or an nn.ModuleList")
    return student


def _clouds(student: nn.Module, count: int) -> Tensor:
    """Three random clouds in the unit sphere, [3, N, 3 + F]; in the last, all points are one."""
    points = torch.randn(3, count, 3)
    points /= points.norm(dim=2).amax(dim=1)[:, None, None]
    if extra := int(getattr(student, "extra_channels", 0)):
        points = torch.cat([points, torch.rand(3, count, extra)], dim=2)
    points[2] = 0.5
    return points.to(next(student.parameters()))


def _check_training(student: nn.Module, points: Tensor) -> None:
    """Check gradients, and take two steps, so that no weights and statistics are at their start."""
    optimizer = torch.optim.SGD(student.parameters(), lr=1e-3)
    for _ in range(2):
        features = _features(student, points)
        if not features.embeddings.requires_grad:
            raise ConfigError("embeddings carry no gradient in training; is something detached?")
        terms = [x for name, x in _tensors(features).items() if name != "index"]
        optimizer.zero_grad()
        torch.stack([(torch.rand_like(x) * x).mean() for x in terms]).sum().backward()
        for name, parameter in student.named_parameters():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                raise ConfigError(
                    f"the gradient of {name} is not finite (one cloud's points coincide)"
                )
        optimizer.step()


def _check_evaluation(student: nn.Module, points: Tensor) -> None:
    before = copy.deepcopy(student.state_dict())
    first, second = _features(student, points), _features(student, points)
    _compare(first, second, "differ from call to call in evaluation; does a layer ignore eval()?")
    for name, tensor in student.state_dict().items():
        if not torch.equal(tensor, before[name]):
            raise ConfigError(f"{name} changes in evaluation; does a layer ignore eval()?")
    alone = _features(student, points[:1])
    rows = {name: x[:1] for name, x in _tensors(first).items() if name != "penalty"}
    _compare(PointFeatures(**rows), alone, "of a cloud change with the rest of its batch in eval()")


def _check_state_dict(student: nn.Module, other: nn.Module, points: Tensor) -> None:
    try:
        other.load_state_dict(student.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"its state dict does not load into another: {first_line(error)}"
        ) from error
    wanted, found = _features(student, points), _features(other, points)
    _compare(wanted, found, "differ once its state dict is in another; is some state no buffer?")


def _check_part_head(student: nn.Module, points: Tensor) -> None:
    """Check the logits of the student's own part segmentation head, for 2 classes and 5 parts."""
    make: Any = student.part_head
    head = attempt("part_head fails for 2 classes and 5 parts", partial(make, 2, 5))
    if not isinstance(head, nn.Module):
        raise ConfigError(f"part_head returns {type(head).__name__}, not nn.Module")
    onehot = torch.eye(2)[torch.arange(len(points)) % 2].to(points)
    with torch.no_grad():
        arguments = (points, _features(student, points), onehot)
        logits = attempt("its part_head fails", partial(head.to(points).eval(), *arguments))
    _check_tensor("logits", logits, [*points.shape[:2], 5])
    if not logits.isfinite().all():
        raise ConfigError("logits: its part_head gives some that are not finite")


def _features(student: nn.Module, points: Tensor) -> PointFeatures:
    """Return what the student gives, once its form is checked."""
    kept = points.clone()
    with torch.set_grad_enabled(student.training):
        features = attempt(f"fails on points {list(points.shape)}", partial(student, points))
    if not torch.equal(points, kept):
        raise ConfigError("forward writes into the points that it is given")
    if not isinstance(features, PointFeatures):
        raise ConfigError(f"forward returns {type(features).__name__}, not PointFeatures")
    for name, tensor in _tensors(features).items():
        if not isinstance(tensor, Tensor):
            raise ConfigError(f"{name}: of type {type(tensor).__name__}, must be a tensor")
    _check_form(student, features, points)
    for name, tensor in _tensors(features).items():
        if not tensor.isfinite().all():
            raise ConfigError(
                f"{name}: not finite for points {list(points.shape)} (one cloud's coincide)"
            )
    return features


def _check_form(student: nn.Module, features: PointFeatures, points: Tensor) -> None:
    """Check shapes and types of what points [B, N, 3] gave."""
    batch, count = points.shape[:2]
    index, width, num_local = features.index, student.num_features, getattr(student, "num_local", 0)
    kept = [count] if index is None else [*index.shape[-1:]]
    _check_tensor("embeddings", features.embeddings, [batch, *kept, width])
    if features.local is not None:
        _check_tensor("local", features.local, [batch, count, num_local])
    if features.penalty is not None:
        _check_tensor("penalty", features.penalty, [])
    if index is not None:
        _check_tensor("index", index, [batch, *kept], torch.int64)
        if index.min() < 0 or index.max() >= count:
            low, high = index.aminmax()
            raise ConfigError(f"index is from {low} to {high}, outside of {count} points")


def _check_tensor(
    name: str, tensor: Tensor, shape: list[Any], dtype: torch.dtype | None = None
) -> None:
    """Check one tensor; without a dtype it must be of floats."""
    right = tensor.is_floating_point() if dtype is None else tensor.dtype == dtype
    if not right or list(tensor.shape) != shape:
        raise ConfigError(
            f"{name}: {tensor.dtype} {list(tensor.shape)}, must be {dtype or 'floats'} {shape}"
            f" ({_FORMS[name]})"
        )


def _compare(wanted: PointFeatures, found: PointFeatures, fault: str) -> None:
    others = _tensors(found)
    for name, tensor in _tensors(wanted).items():
        if name not in others or not close(others[name], tensor):
            raise ConfigError(f"{name} {fault}")


def _tensors(features: PointFeatures) -> dict[str, Tensor]:
    """Return what is not None, by name."""
    return {name: tensor for name, tensor in vars(features).items() if tensor is not None}
