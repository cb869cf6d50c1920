"""Types of numpy arrays, by what they hold, and typed decorators of kernels."""

from collections.abc import Callable
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
    import numba  # here: whoever needs a type alone is spared it

    compiled: F = numba.njit(cache=True)(function)
    return compiled


def gpu_kernel(function: Callable[..., None]) -> Any:
    """Compile for the GPU at the first call, with Triton: `kernel[grid](...)` runs it."""
    import triton

    return triton.jit(function)
