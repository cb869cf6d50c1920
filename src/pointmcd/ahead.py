"""Results computed ahead of time by threads, for what waits for files or for a GPU."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

S = TypeVar("S")
T = TypeVar("T")


def map_ahead(call: Callable[[S], T], items: Iterable[S], threads: int) -> Generator[T, None, None]:
    """Yield `call(item)` for each item, in order; threads compute the next ones meanwhile.

    At most twice as many results as threads wait to be taken. An error comes out at the turn of
    its item. Once the generator is closed no call begins, and those that have begun are waited for.
    Without threads each is computed when it is asked for.
    """
    if not threads:
        yield from map(call, items)
        return
    pool = ThreadPoolExecutor(threads, initializer=_on_the_same_gpu())
    waiting: deque[Future[T]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(call, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _on_the_same_gpu() -> Callable[[], None] | None:
    """Return a thread initializer that selects the caller's GPU; None without CUDA."""
    if not torch.cuda.is_initialized():
        return None
    return partial(torch.cuda.set_device, torch.cuda.current_device())
