"""Types of numpy arrays, by what they hold, and typed decorators of kernels."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int32]
Indices = npt.NDArray[np.int64]
#: Integers of any size.
Integers = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
#: Floating point numbers of any size.
Reals = npt.NDArray[np.floating[Any]]

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile for the CPU at the first call, with numba; later processes load it from disk."""
    compiled: F = compiled_with(function)
    return compiled


def compiled_with(function: Callable[..., Any], **options: Any) -> Any:
    """Compile with numba's options, and keep the machine code where there is a place for it.

    That is beside the code, else in the user's cache folder, else among temporary files.
    """
    import numba  # here: whoever needs a type alone is spared it

    compile_cached = numba.njit(cache=True, **options)
    with suppress(RuntimeError):  # "cannot cache function: no locator available"
        return _careless(compile_cached(function))
    with suppress(RuntimeError, OSError):
        numba.config.CACHE_DIR = str(_private_folder())
        return _careless(compile_cached(function))
    return numba.njit(**options)(function)


def _careless(compiled: Any) -> Any:
    """Let a kernel's cache fail: it may be on a full disk, damaged, or another user's."""
    cache = getattr(compiled, "_cache", None)  # none where NUMBA_DISABLE_JIT is set
    if cache is not None:
        cache.save_overload = _attempt(cache.save_overload)
        cache.load_overload = _attempt(cache.load_overload)
    return compiled


def _attempt(call: Callable[..., Any]) -> Callable[..., Any]:
    def attempt(*arguments: Any) -> Any:
        with suppress(Exception):  # the kernel is compiled then, and not kept
            return call(*arguments)
        return None

    return attempt


def _private_folder() -> Path:
    """Make a temporary folder that nobody else can write to: numba runs what it finds there."""
    user = getattr(os, "getuid", lambda: 0)()
    folder = Path(tempfile.gettempdir()) / f"pointmcd-numba-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat()
    if hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o022):
        raise PermissionError(f"{folder}: can be written to by others")
    return folder


def gpu_kernel(function: Callable[..., Any]) -> Any:
    """Compile for the GPU at the first call, with Triton: `kernel[grid](...)` runs it."""
    import triton

    return triton.jit(function)
