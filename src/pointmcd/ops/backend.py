"""Which kernels serve a tensor, and one limit of threads for torch and numba."""

from functools import cache
from typing import Any

import numba
import scipy.linalg  # noqa: F401  (loads the BLAS that numba calls, before threadpoolctl looks)
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor


def numba_fits(*tensors: Tensor) -> bool:
    """Whether the kernels for a CPU and float32 may be used; an exported program has none."""
    fits = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
    return fits and not torch.compiler.is_compiling()


def with_torch_threads() -> None:
    """Let numba use as many threads as torch does, so that a limit set on one holds for both."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    # Where both share OpenMP, numba's first call lifts torch's limit, and sums change with it.
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def blas_on_one_thread() -> Any:
    """A context in which matrix products, numba's among them, keep to the thread they are on."""
    return _blas().limit(limits=1)


@cache
def _blas() -> Any:
    return ThreadpoolController().select(user_api="blas")
