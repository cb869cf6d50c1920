"""Students by name: `create_student("pointnet")`, or a user's own by `package.module:Name`."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, TypeVar

from torch import nn

from pointmcd.errors import ConfigError
from pointmcd.plugs import Plugs

Factory = Callable[..., nn.Module]
F = TypeVar("F", bound=Factory)
_STUDENTS: Plugs[Factory] = Plugs("student", "pointmcd.students")
#: Other forms of some of them, for tasks that label every point.
_DENSE: Plugs[Factory] = Plugs("dense student", "pointmcd.students")


def register_student(name: str, dense: bool = False) -> Callable[[F], F]:
    """Return a decorator that makes a student class or factory known under `name`.

    The module must have `num_features` (C) and `forward(points [B, N, 3]) -> PointFeatures`; where
    it gives `local` features, also their number `num_local` (L). One that can read normals or
    colours takes `extra_channels` (F, 0 by default), keeps it as an attribute, and is given points
    [B, N, 3 + F]. A class may carry the training values of its paper: `recipes`, by the name of a
    task.

    Args:
        name: what `create_student` and `--student` know it by.
        dense: whether it serves the tasks that label every point, beside another student of that
            name for whole shapes; without one, the same student serves all.

    Raises:
        ConfigError: when the name is taken.
    """
    return (_DENSE if dense else _STUDENTS).register(name)


def list_students() -> list[str]:
    """Return the names of all students, sorted."""
    return _STUDENTS.names()


def check_student_name(name: str) -> None:
    """Refuse a student that does not exist; none is built.

    Raises:
        ConfigError: naming those that do.
    """
    _STUDENTS.get(name)


def create_student(
    name: str,
    dense: bool = False,
    published: bool = True,
    extra_channels: int = 0,
    **kwargs: Any,
) -> nn.Module:
    """Build a student.

    Args:
        name: a registered name, or `package.module:Name` for one of your own.
        dense: whether for a task that labels every point; some students have a form for these.
        published: with `dense`, that form; otherwise the one that the method (PointMCD) distils,
            where a class names another, as its `method_form`.
        extra_channels: F, of the points [B, N, 3 + F] behind their coordinates.
        kwargs: passed to its factory.

    Raises:
        ConfigError: when there is no such student, or it lacks `num_features`, or reads points
            [B, N, 3] alone and extra channels are asked for.
    """
    factory = _STUDENTS.get(name)
    if dense and name in _DENSE:
        factory = _DENSE.get(name)
        if not published:
            factory = getattr(factory, "method_form", factory)
    if extra_channels:  # a student that reads coordinates alone need not know of others
        kwargs["extra_channels"] = _accepted(name, factory, extra_channels)
    student = factory(**kwargs)
    if getattr(student, "extra_channels", 0) != extra_channels:
        raise ConfigError(f"student {name}: must keep extra_channels as an attribute")
    if not isinstance(getattr(student, "num_features", None), int):
        raise ConfigError(f"student {name}: needs an integer attribute num_features")
    return student


def _accepted(name: str, factory: Factory, extra_channels: int) -> int:
    """Return the number of extra channels; refuse it for a student that has no place for them."""
    parameters = signature(factory).parameters
    if "extra_channels" in parameters or any(
        one.kind is Parameter.VAR_KEYWORD for one in parameters.values()
    ):
        return extra_channels
    raise ConfigError(
        f"student {name}: reads points [B, N, 3] alone; leave out --features, or let it take"
        " extra_channels, the number of channels behind the coordinates"
    )


def student_recipe(name: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the training values of a student's paper, by the name of a task; most have none.

    Raises:
        ConfigError: when there is no such student.
    """
    recipes: Mapping[str, Mapping[str, Any]] = getattr(_STUDENTS.get(name), "recipes", {})
    return recipes
