"""Races of VAFP, forward and backward."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.shared.race import Race
from benchmarks.speed.published.projection import repeated_max
from pointmcd.ops.masked_max import masked_max

POINTS, VIEWS, CHANNELS = 1024, 12, 1024
FLOORS = {"numba": 40.0, "torch": 10.0}


def races() -> Iterator[Race]:
    """Yield the smallest and the largest batch of the method."""
    for batch in (8, 32):
        yield of_batch(batch)


def of_batch(batch: int) -> Race:
    """Return the race of one batch; two fifths of the points are seen, as on real shapes."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.rand(batch, POINTS, CHANNELS, generator=generator)
    seen = torch.rand(batch, POINTS, VIEWS, generator=generator) < 0.4
    grad = torch.randn(batch, VIEWS, CHANNELS, generator=generator)
    columns = embeddings.transpose(1, 2).contiguous()
    mask = seen.transpose(1, 2).contiguous().float()
    return Race(
        f"VAFP, B {batch}, N {POINTS}, V {VIEWS}, C {CHANNELS}",
        both_ways(lambda leaf: repeated_max(leaf, mask), columns, grad),
        {
            how: both_ways(partial(masked_max, visibility=seen, backend=how), embeddings, grad)
            for how in FLOORS
        },
        FLOORS,
        repeats=5 if batch == 8 else 3,
        memory=True,
        memory_floor=15.0,
    )


def both_ways(
    function: Callable[[Tensor], Tensor], start: Tensor, grad: Tensor
) -> Callable[[], Tensor | None]:
    """Return a call that goes through a function of a tensor and back."""

    def call() -> Tensor | None:
        leaf = start.detach().requires_grad_()
        function(leaf).backward(grad)
        return leaf.grad

    return call
