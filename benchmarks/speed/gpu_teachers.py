"""The teacher's part of `make bench-gpu`: features of a store's views, and a fine-tuning step."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from pointmcd.ahead import map_ahead
from pointmcd.data.store import Store
from pointmcd.datasets.furniture import furniture10
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.made_up import make_up_store
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.features import decoding_threads, encode_shapes
from pointmcd.teachers.lesson import LESSONS

ENCODER = "lite0"
#: ModelNet40's shapes, all together.
MODELNET40 = 12_311
#: How often the shapes of the store are encoded.
PASSES = 8
Timed = Callable[[Callable[[], Any]], tuple[float, float]]


def teacher_rows(device: torch.device, small: bool, time_it: Timed) -> Iterator[list[object]]:
    """Time what a teacher does on the embedded furniture, its views 224 x 224.

    Args:
        device: where.
        small: go through all of it on ten tiny shapes.
        time_it: returns the milliseconds of a call, and its peak extra MiB.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        if small:
            store = make_up_store(Path(folder))
        else:
            store = Store(prepare(PrepareConfig(furniture10(), path, points=256)).store)
        yield from _features(store, device, 1 if small else PASSES)
        yield _finetuning(store, device, 4 if small else 48, time_it)


def _features(store: Store, device: torch.device, passes: int) -> Iterator[list[object]]:
    """Views a second that are decoded, and that are decoded and encoded."""
    indices = np.tile(np.arange(len(store.shapes)), passes)
    encoder = ImageEncoder(ENCODER).to(device).eval()
    encoder.fold()
    encode_shapes(store, indices[:20], encoder, device)  # kernels are chosen
    threads = max(1, decoding_threads(device))

    def decode() -> None:
        with closing(map_ahead(store.views, indices.tolist(), threads)) as decoded:
            for _ in decoded:
                pass

    works: dict[str, Callable[[], object]] = {
        f"decoding by {threads} threads": decode,
        "features, decoding among them": lambda: encode_shapes(store, indices, encoder, device),
    }
    for name, work in works.items():
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        views = len(indices) * store.num_views
        whole = MODELNET40 * 12 * seconds / views
        yield [name, f"{views:,}", f"{views / seconds:,.0f}", f"{whole:.0f}", ""]


def _finetuning(store: Store, device: torch.device, shapes: int, time_it: Timed) -> list[object]:
    """A step on views drawn and decoded anew, forward, backward and Adam."""
    config = TeachConfig(store.path, ENCODER, finetune=True, device=str(device))
    lesson: Any = LESSONS.get(config.task)(store, config, device, ImageEncoder(ENCODER))
    lesson.prepare()
    lesson.teacher.train()
    optimizer = torch.optim.Adam(lesson.teacher.parameters(), lr=1e-4)
    indices = lesson.train[:shapes]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        lesson.loss(indices).backward()
        optimizer.step()

    milliseconds, peak = time_it(step)
    views = len(indices) * min(lesson.options.views_per_step, store.num_views)
    name = f"fine-tuning step, {len(indices)} shapes: {milliseconds:.0f} ms"
    return [name, views, f"{1e3 * views / milliseconds:,.0f}", "", f"{peak:,.0f}"]
