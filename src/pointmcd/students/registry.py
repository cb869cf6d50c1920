"""Students by name: `create_student("pointnet")`, or a user's own by `package.module:factory`."""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from torch import nn

import pointmcd.students
from pointmcd.errors import ConfigError

F = TypeVar("F", bound=Callable[..., nn.Module])
Factories = dict[str, Callable[..., nn.Module]]
_FACTORIES: Factories = {}
#: Factories that serve one task only, by task.
_SPECIAL: dict[str, Factories] = {}
_PLUMBING = {"base", "registry"}


def register_student(name: str, task: str | None = None) -> Callable[[F], F]:
    """Decorator: make a student class or factory known under `name`.

    The module must have `num_features` (C) and `forward(points [B, N, 3]) -> PointFeatures`; where
    it gives `local` features, also their number `num_local` (L).

    Args:
        name: what `create_student` and `--student` know it by.
        task: the one task that this factory serves, beside another of the same name that serves
            all others ("segmentation": an encoder whose published form has its own layers there).
    """

    def register(factory: F) -> F:
        factories = _FACTORIES if task is None else _SPECIAL.setdefault(task, {})
        if factories.setdefault(name, factory) is not factory:
            raise ConfigError(f"student {name}: the name is taken already; choose another")
        return factory

    return register


def list_students() -> list[str]:
    """Names of all registered students, sorted. Every file in students/ is looked at."""
    for module in iter_modules(pointmcd.students.__path__):
        if module.name not in _PLUMBING:
            import_module(f"pointmcd.students.{module.name}")
    return sorted(_FACTORIES)


def create_student(name: str, task: str = "classification", **kwargs: Any) -> nn.Module:
    """Build a student.

    Args:
        name: a registered name, or `package.module:factory` for one of your own.
        task: what it is for; most students are the same for every task.
        kwargs: passed to its factory.

    Raises:
        ConfigError: when there is no such student, or it lacks `num_features`.
    """
    known = list_students()
    special = _SPECIAL.get(task, {}).get(name)
    factory = _import_factory(name) if ":" in name else special or _FACTORIES.get(name)
    if factory is None:
        raise ConfigError(
            f"student {name}: unknown; use one of {', '.join(known)}, or package.module:factory"
        )
    student = factory(**kwargs)
    if not isinstance(getattr(student, "num_features", None), int):
        raise ConfigError(f"student {name}: needs an integer attribute num_features")
    return student


def _import_factory(path: str) -> Callable[..., nn.Module]:
    module, _, attribute = path.partition(":")
    try:
        factory: Callable[..., nn.Module] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"student {path}: cannot be imported: {error}") from error
    return factory
