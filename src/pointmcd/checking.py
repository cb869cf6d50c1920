"""Common ground of all checkers of contracts: a broken rule is a ConfigError of one line."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pointmcd.errors import ConfigError, first_line, naming
from pointmcd.progress import silent

# Data sets have checkers too, and are listed without torch, in a third of the time.
if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@contextmanager
def checking(what: str) -> Iterator[None]:
    """Begin every ConfigError with `what`, show no progress, and draw from seed 0, apart."""
    import torch

    with silent(), naming(what), torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(0)
        yield


def attempt(fails: str, call: Callable[[], T]) -> T:
    """Return what a user's code returns; whatever it raises is a ConfigError, led by `fails`."""
    try:
        return call()
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ConfigError(f"{fails}: {reason}") from error


def check_derived(kind: Any, base: type[Any]) -> None:
    """Refuse what is not a class derived from `base`, or lacks some of its methods."""
    if not inspect.isclass(kind) or not issubclass(kind, base):
        raise ConfigError(f"is not a class derived from {base.__module__}.{base.__qualname__}")
    if lacking := sorted(getattr(kind, "__abstractmethods__", ())):
        raise ConfigError(f"lacks the methods {', '.join(lacking)}")


def close(found: "Tensor", wanted: "Tensor") -> bool:
    """Whether tensors differ by less than a thousandth of the largest value; integers by none."""
    import torch

    largest = float(wanted.abs().max()) if wanted.is_floating_point() and wanted.numel() else 0
    return found.shape == wanted.shape and torch.allclose(
        found, wanted, rtol=0, atol=1e-3 * largest
    )
