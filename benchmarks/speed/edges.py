"""Races of edge convolutions on given neighbours, forward and backward, and of the neighbours."""

import copy
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.shared.race import Race
from benchmarks.speed.projection import both_ways
from benchmarks.speed.published.edge_convolution import edge_convolution, nearest
from pointmcd.ops.nearest import nearest_neighbours
from pointmcd.students.dgcnn import EdgeConv, TwoLayerEdgeConv

#: Of DGCNN's classification network.
WIDTHS = ((3, 64), (64, 64), (64, 128), (128, 256))
BATCH, POINTS, K = 8, 1024, 20
#: Of its segmentation network.
PARTS_BATCH, PARTS_K = 4, 40
FLOOR = 10.0


def races() -> Iterator[Race]:
    """Yield the four layers, then one of two layers, then the search for neighbours."""
    for channels_in, channels in WIDTHS:
        part = f"EdgeConv {channels_in} to {channels}, B {BATCH}, N {POINTS}, k {K}"
        yield of_layer(EdgeConv(channels_in, channels, K), channels_in, BATCH, part, FLOOR)
    layer = TwoLayerEdgeConv(64, 64, PARTS_K)
    part = f"EdgeConv of two layers, 64 to 64 to 64, B {PARTS_BATCH}, N {POINTS}, k {PARTS_K}"
    yield of_layer(layer, 64, PARTS_BATCH, part, None)
    yield from of_neighbours()


def of_layer(layer: EdgeConv, channels_in: int, batch: int, part: str, floor: float | None) -> Race:
    """Return our layer beside its published form with the same weights."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(batch, POINTS, channels_in, generator=generator)
    channels = layer.second.out_features if isinstance(layer, TwoLayerEdgeConv) else None
    grad = torch.randn(batch, POINTS, channels or layer.linear.out_features, generator=generator)
    twin = copy.deepcopy(layer)
    index = nearest_neighbours(points, layer.k)
    return Race(
        part,
        both_ways(
            lambda leaf: edge_convolution(leaf, twin, index),
            points.transpose(1, 2).contiguous(),
            grad.transpose(1, 2).contiguous(),
        ),
        {"numba": both_ways(lambda leaf: layer.convolve(leaf, index), points, grad)},
        {} if floor is None else {"numba": floor},
        repeats=3,
        memory=True,
    )


def of_neighbours() -> Iterator[Race]:
    """Yield all pairs and a sort of the best, beside our kernel."""
    for channels in (3, 64, 128):
        points = torch.randn(BATCH, POINTS, channels, generator=torch.Generator().manual_seed(0))
        columns = points.transpose(1, 2).contiguous()
        yield Race(
            f"{K} nearest neighbours, B {BATCH}, N {POINTS}, C {channels}",
            partial(nearest, columns, K),
            {"numba": partial(nearest_neighbours, points, K)},
            {},
        )
