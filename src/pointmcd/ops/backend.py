"""Compile kernels, choose those that serve a tensor, and limit them to torch's threads."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache, wraps
from importlib.util import find_spec
from typing import Any, ParamSpec, TypeVar

import numba
import scipy.linalg  # noqa: F401  (loads the BLAS that numba calls, before threadpoolctl looks)
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from pointmcd.typing import Array, compiled_with, kernel

#: Devices on which Triton's kernels are chosen; tests add the CPU, for Triton's interpreter.
TRITON_DEVICES = ["cuda"]
#: Triton's kernels were compiled for this and later; older GPUs take the torch path.
_TRITON_CAPABILITY = (8, 0)
#: Devices that have no float64 (MPS), or a slow one (most GPUs); tests add the CPU.
DEVICES_WITHOUT_DOUBLE = ["cuda", "mps"]
_TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_IN_TORCH: ContextVar[bool] = ContextVar("in_torch", default=False)


@contextmanager
def in_torch() -> Iterator[None]:
    """Compute in torch's own operations alone, which its transforms (torch.func) know."""
    token = _IN_TORCH.set(True)
    try:
        yield
    finally:
        _IN_TORCH.reset(token)


def torch_alone() -> bool:
    """Return whether only torch's own operations may be used: `in_torch`, or while exporting."""
    # In this order: torch.compile cannot trace a ContextVar, and stops at the first term.
    return torch.compiler.is_compiling() or _IN_TORCH.get()


def full_precision(tensor: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which autocast is off on the device of a tensor."""
    kind = tensor.device.type
    # Only where it is on: an exporter makes each such context a program of its own.
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def without_gradient(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Make what a function returns a constant: no gradients pass back through it."""

    @wraps(function)
    def run(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        if torch.compiler.is_compiling():  # no context, for the reason in `full_precision`
            constants: Any = [_constant(value) for value in arguments]
            named: Any = {name: _constant(value) for name, value in options.items()}
            return function(*constants, **named)
        with torch.no_grad():
            return function(*arguments, **options)

    return run


def _constant(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def triton_fits(*tensors: Tensor) -> bool:
    """Return whether to use Triton's kernels; an exported program has none."""
    return all(t.device.type in TRITON_DEVICES for t in tensors) and triton_runs(*tensors)


def triton_runs(*tensors: Tensor) -> bool:
    """Return whether Triton's kernels run: on a GPU, or with TRITON_INTERPRET=1 on a CPU."""
    if torch_alone() or find_spec("triton") is None:
        return False
    return all(t.dtype in _TRITON_DTYPES and _has_triton(t.device) for t in tensors)


def _has_triton(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _TRITON_CAPABILITY and _triton_starts()
    return device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"


@cache
def _triton_starts() -> bool:
    """Return whether Triton reaches the GPU: it first builds a driver, with a C compiler."""
    from triton.runtime import driver

    try:
        driver.active.get_current_device()
    except Exception as error:  # of any kind: no compiler, no Python.h, no driver
        warnings.warn(f"Triton does not start, so torch serves on the GPU: {error}", stacklevel=2)
        return False
    return True


def numba_fits(*tensors: Tensor) -> bool:
    """Return whether the CPU kernels, of float32, may be used; an exported program has none."""
    fits = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
    return fits and not torch_alone()


def double_of(tensor: Tensor) -> torch.dtype:
    """Return float64, or float32 where a tensor's device has no fast one."""
    has_none = tensor.device.type in DEVICES_WITHOUT_DOUBLE
    return torch.float32 if has_none else torch.float64


def smaller(first: int, second: int) -> int:
    """Return the smaller of two sizes; in a program that is traced for any size it stays open."""
    return _open(torch.sym_min(first, second))


def larger(first: int, second: int) -> int:
    """Return the larger of two sizes, as `smaller` does the smaller."""
    return _open(torch.sym_max(first, second))


def _open(size: int) -> int:
    """Return a fresh symbolic size: guards on a formula of sizes would fix those in it."""
    if not isinstance(size, torch.SymInt):
        return size
    opened: int = torch.scalar_tensor(size, dtype=torch.int64).item()
    torch._check(opened >= 2)
    return opened


@kernel
def beats(value: float, best: float) -> bool:
    """Tell whether a value replaces the best so far: the first of equals, or of NaNs, stays.

    As in torch, NaN is above every number, so that it is not hidden.
    """
    return (value > best) | ((value != value) & (best == best))


def parallel_kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile with numba at the first call, to run on as many threads as torch does.

    Tensors are handed on as arrays in C order. What a kernel fills must be contiguous: only then
    does the array share its memory.
    """
    compiled = compiled_with(function, parallel=True)

    @wraps(function)
    def run(*arguments: Any) -> None:
        _with_torch_threads()
        compiled(*(_array(a) if isinstance(a, Tensor) else a for a in arguments))

    return run


def _array(tensor: Tensor) -> Array:
    return tensor.detach().contiguous().numpy()


def _with_torch_threads() -> None:
    """Let numba use as many threads as torch does, so that a limit set on one holds for both."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    # Where both share OpenMP, numba's first call lifts torch's limit, and sums change with it.
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def blas_on_one_thread() -> Any:
    """Return a context in which matrix products, numba's among them, stay on the calling thread."""
    return _blas().limit(limits=1)


@cache
def _blas() -> Any:
    return ThreadpoolController().select(user_api="blas")
