"""The comparison that all Triton kernels of a running maximum share."""

import triton.language as tl

from pointmcd.typing import gpu_kernel


@gpu_kernel
def beats(value: tl.tensor, best: tl.tensor) -> tl.tensor:
    """Tell whether a value replaces the best so far: the first of equals, or of NaNs, stays.

    As in torch, NaN is above every number, so that it is not hidden.
    """
    return (value > best) | ((value != value) & (best == best))
