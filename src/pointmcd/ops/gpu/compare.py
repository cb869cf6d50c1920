"""What the Triton kernels share: how a running extreme is beaten."""

import triton.language as tl

from pointmcd.typing import gpu_kernel


@gpu_kernel
def beats(value: tl.tensor, best: tl.tensor) -> tl.tensor:
    """Whether a value takes the place of the best so far: the first of equals, or of NaNs, stays.

    As in torch, NaN is above every number, so that it is not hidden.
    """
    return (value > best) | ((value != value) & (best == best))
