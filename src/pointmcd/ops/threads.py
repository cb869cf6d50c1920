"""One limit of threads for torch and numba."""

import numba
import torch


def with_torch_threads() -> None:
    """Let numba use as many threads as torch does, so that a limit set on one holds for both."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    # Where both share OpenMP, numba's first call lifts torch's limit, and sums change with it.
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
