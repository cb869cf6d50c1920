"""Widths, radii, neighbours and counts of every student are those of its paper."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from pointmcd.students.dgcnn import EdgeConv
from pointmcd.students.pointnet2 import Grouping
from pointmcd.students.registry import create_student


def widths(module):
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


def chain(*channels):
    return list(pairwise(channels))


@pytest.mark.parametrize("dense", [False, True])
def test_pointnet(dense):
    student = create_student("pointnet", dense, published=False)
    assert widths(student.input_transform) == chain(3, 64, 128, 1024, 512, 256, 9)
    assert widths(student.first) == chain(3, 64, 64)
    assert widths(student.feature_transform) == chain(64, 64, 128, 1024, 512, 256, 64 * 64)
    assert widths(student.second) == chain(64, 64, 128, 1024)


def test_pointnet_vanilla():
    assert widths(create_student("pointnet-vanilla")) == chain(3, 64, 64, 64, 128, 1024)


def test_pointnet_for_parts():
    """Of Fig. 9 of the supplement: concatenated, 3,024 channels at each point."""
    student = create_student("pointnet", dense=True)
    assert widths(student.input_transform) == chain(3, 64, 128, 1024, 512, 256, 9)
    assert widths(student.first) == chain(3, 64, 128, 128)
    assert widths(student.feature_transform) == chain(128, 64, 128, 1024, 512, 256, 128 * 128)
    assert widths(student.second) + widths(student.third) == chain(128, 512, 2048)
    local, whole, *rest = widths(student.part_head(16, 50))
    assert local[0] + whole[0] == 64 + 128 + 128 + 128 + 512 + 2048 + 16 == 3024
    assert [local[1], whole[1]] == [256, 256]
    assert rest == chain(256, 256, 128, 50)


def test_pointnet_reads_every_layer_for_parts():
    student, found = create_student("pointnet", dense=True).eval(), []
    layers = [*student.first, student.second, student.third]
    for layer in layers:
        layer.register_forward_hook(lambda _, given, out: found.append((given[0], out)))
    features = student(torch.randn(2, 9, 3))
    (_, one), (_, two), (_, three), (aligned, four), (_, last) = found
    assert torch.equal(features.local, torch.cat([one, two, three, aligned, four], dim=2))
    assert torch.equal(features.embeddings, last)


def test_dgcnn():
    student = create_student("dgcnn")
    assert widths(student.edges) == [(2 * 3, 64), (2 * 64, 64), (2 * 64, 128), (2 * 128, 256)]
    assert widths(student)[4:] == [(64 + 64 + 128 + 256, 1024)]
    assert [m.k for m in student.modules() if isinstance(m, EdgeConv)] == [20] * 4


def test_dgcnn_for_parts():
    student = create_student("dgcnn", dense=True)
    edges = [(2 * 3, 64), (64, 128)]
    assert widths(student.transform) == edges + chain(128, 1024, 512, 256, 9)
    assert widths(student.edges) == [(6, 64), (64, 64), (128, 64), (64, 64), (128, 64)]
    assert widths(student.linear) == [(3 * 64, 1024)]
    assert [m.k for m in student.modules() if isinstance(m, EdgeConv)] == [40] * 4
    label, local, whole, *rest = widths(student.part_head(16, 50))
    assert label == (16, 64)
    assert local[0] + whole[0] == 3 * 64 + 1024 + 64
    assert rest == chain(256, 256, 128, 50)


@pytest.mark.parametrize(
    ("name", "dropout", "slope"),
    [
        ("pointnet", [0.2, 0.2], 0),
        ("pointnet2", [0.5], 0),
        ("pointnet2-msg", [0.5], 0),
        ("dgcnn", [0.5, 0.5], 0.2),
    ],
)
def test_dropout_and_activations_of_heads_for_parts(name, dropout, slope):
    modules = list(create_student(name, dense=True).part_head(16, 50).modules())
    assert [m.p for m in modules if isinstance(m, nn.Dropout)] == dropout
    slopes = {m.negative_slope for m in modules if isinstance(m, nn.LeakyReLU)}
    assert slopes == ({slope} if slope else set())
    assert any(isinstance(m, nn.ReLU) for m in modules) == (slope == 0)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("pointnet", 7_843_387),
        ("pointnet2", 1_406_706),
        ("pointnet2-msg", 1_751_898),
        ("dgcnn", 1_460_411),
        ("curvenet", 5_288_404),
    ],
)
def test_parameters_for_the_parts_of_shapenetpart(name, count):
    """16 classes and 50 parts; the papers give no numbers, these hold the docstrings."""
    student = create_student(name, dense=True)
    modules = (student, student.part_head(16, 50))
    assert sum(p.numel() for m in modules for p in m.parameters()) == count


#: Of each set abstraction, scale by scale: radius, neighbours, widths.
SECOND = [(0.4, 64, (128, 128, 256))]
FIRST_MULTI = [(0.1, 16, (32, 32, 64)), (0.2, 32, (64, 64, 128)), (0.4, 128, (64, 96, 128))]
SECOND_MULTI = [(0.2, 32, (64, 64, 128)), *SECOND, (0.8, 128, (128, 128, 256))]
FIRST_MULTI_PARTS = [(0.1, 32, (32, 32, 64)), (0.2, 64, (64, 64, 128)), (0.4, 128, (64, 96, 128))]
SECOND_MULTI_PARTS = [*SECOND, (0.8, 128, (128, 196, 256))]


@pytest.mark.parametrize(
    ("name", "dense", "first", "second"),
    [
        ("pointnet2", False, [(0.2, 32, (64, 64, 128))], SECOND),
        ("pointnet2", True, [(0.2, 64, (64, 64, 128))], SECOND),
        ("pointnet2-propagated", False, [(0.2, 32, (64, 64, 128))], SECOND),
        ("pointnet2-propagated", True, [(0.2, 64, (64, 64, 128))], SECOND),
        ("pointnet2-nearest", False, [(0.2, 32, (64, 64, 128))], SECOND),
        ("pointnet2-nearest", True, [(0.2, 64, (64, 64, 128))], SECOND),
        ("pointnet2-msg", False, FIRST_MULTI, SECOND_MULTI),
        ("pointnet2-msg", True, FIRST_MULTI_PARTS, SECOND_MULTI_PARTS),
    ],
)
def test_pointnet2(name, dense, first, second):
    student = create_student(name, dense)
    channels = 3
    for abstraction, published in ((student.first, first), (student.second, second)):
        groupings = [m for m in abstraction.modules() if isinstance(m, Grouping)]
        assert [(g.scale.radius, g.scale.k, g.scale.widths) for g in groupings] == published
        assert [widths(g) for g in groupings] == [chain(channels, *scale[2]) for scale in published]
        channels = 3 + sum(scale[2][-1] for scale in published)
    assert widths(student.last) == chain(channels, 256, 512, 1024)


@pytest.mark.parametrize(
    ("name", "fine", "coarse"), [("pointnet2", 128, 256), ("pointnet2-msg", 320, 512)]
)
def test_pointnet2_propagates_features_for_parts(name, fine, coarse):
    student = create_student(name, dense=True)
    assert widths(student.to_coarse) == chain(1024 + coarse, 256, 256)
    assert widths(student.to_fine) == chain(256 + fine, 256, 128)
    local, whole, *rest = widths(student.part_head(16, 50))
    assert (local, whole) == ((128 + 3, 128), (16, 128))
    assert rest == chain(128, 128, 128, 128, 50)


@pytest.mark.parametrize(
    ("name", "dense", "trunk", "biases"),
    [
        ("pointnet2", False, 805_184, 2_560),
        ("pointnet2-msg", False, 1_075_680, 3_744),
        ("pointnet2", True, 1_331_264, 3_456),
        ("pointnet2-msg", True, 1_676_456, 4_452),
    ],
)
def test_pointnet2_has_the_published_parameters_less_redundant_biases(name, dense, trunk, biases):
    student = create_student(name, dense)
    assert sum(p.numel() for p in student.parameters()) == trunk
    assert sum(channels for _, channels in widths(student)) == biases  # one a channel there


#: Of each block: its width, points (of 1,024, and of 2,048 for parts), radius, ratio, curves.
CURVENET = [
    (64, 1024, 0.05, 2, True),
    (64, 1024, 0.05, 4, True),
    (128, 1024, 0.05, 2, True),
    (128, 1024, 0.1, 4, True),
    (256, 256, 0.1, 2, False),
    (256, 256, 0.2, 4, False),
    (512, 64, 0.2, 2, False),
    (512, 64, 0.4, 4, False),
]
CURVENET_PARTS = [
    (64, 2048, 0.2, 2, True),
    (64, 2048, 0.2, 4, True),
    (128, 512, 0.4, 2, True),
    (128, 512, 0.4, 4, True),
    (256, 128, 0.8, 2, False),
    (256, 128, 0.8, 4, False),
    (512, 32, 1.2, 2, False),
    (512, 32, 1.2, 4, False),
    (1024, 8, 31, 2, False),
    (1024, 8, 31, 4, False),
    (1024, 8, 31, 4, False),
]


@pytest.mark.parametrize(
    ("dense", "points", "blocks", "k"),
    [(False, 1024, CURVENET, 20), (True, 2048, CURVENET_PARTS, 32)],
)
def test_curvenet(dense, points, blocks, k):
    encoder = create_student("curvenet", dense).encoder
    found = [(b.channels, points // b.share, b.radius, b.ratio, b.curves) for b in encoder.plan]
    assert (found, encoder.k) == (blocks, k)
    assert widths(encoder.first) == [(9, 32)]
    channels = 32
    for block, (width, _, _, ratio, curves) in zip(encoder.blocks, blocks, strict=True):
        assert (block.reduce.linear.in_features, block.expand.linear.out_features) == (
            channels,
            width,
        )
        assert block.lpfa.layer.linear.in_features == channels // ratio
        assert hasattr(block, "grouping") == hasattr(block, "aggregation") == curves
        if curves:
            assert (block.grouping.curves, block.grouping.length) == (100, 5)
        channels = width


def test_curvenet_has_as_many_parameters_as_published():
    trunk = sum(p.numel() for p in create_student("curvenet").parameters())
    assert trunk == 1_070_552
    head = 2048 * 512 + 2 * 512 + 512 * 40 + 40  # max and mean pooled, 40 classes
    assert round((trunk + head) / 2**20, 2) == 2.04


def test_curvenet_propagates_features_for_parts():
    student = create_student("curvenet", dense=True)
    assert [widths(up.first) + widths(up.second) for up in student.up] == [
        chain(1024 + 512, 512, 512),
        chain(512 + 256, 256, 256),
        chain(256 + 128, 128, 128),
        chain(128 + 64, 64, 64),
    ]
    assert [widths(up.gate) for up in student.up] == [
        [(1024, 256), (512, 256), (256, 1)],
        [(512, 128), (256, 128), (128, 1)],
        [(256, 64), (128, 64), (64, 1)],
        [(128, 32), (64, 32), (32, 1)],
    ]
    *blocks, last = (up.cic for up in student.up)
    assert last is None
    assert [(cic.block.channels, cic.block.ratio, cic.block.curves) for cic in blocks] == [
        (512, 4, False),
        (256, 4, False),
        (128, 4, True),
    ]
    assert widths(student.pool) == [(512, 64), (1024, 128)]


def test_curvenets_end_for_parts():
    student = create_student("curvenet", dense=True)
    head = student.part_head(16, 50)
    inner = [cic.reduce.linear for cic in head.blocks]
    channels = 3 + 64 + 64 + 128 + 16
    assert [(x.in_features, x.out_features) for x in inner] == [(channels, 68), (256, 64)]
    assert [(cic.block.channels, cic.block.curves) for cic in head.blocks] == [(256, True)] * 2
    end = (head.layer, head.squeeze, head.excite, head.classifier)
    assert [widths(x) if isinstance(x, nn.Module) else x for x in end] == [
        [(256, 256)],
        [(256, 32)],
        [(32, 256)],
        [(256, 50)],
    ]
    assert head.dropout.p == 0.5


def test_curvenet_pools_balls_of_the_radius_of_the_first_block_with_fewer_points(monkeypatch):
    balls = []

    def watch(centres, points, radius, k):
        balls.append((points.shape[1], centres.shape[1], radius, k))
        return torch.zeros(*centres.shape[:2], k, dtype=torch.int64)

    monkeypatch.setattr("pointmcd.students.curvenet.ball_group", watch)
    for dense, count in ((False, 1024), (True, 2048)):
        create_student("curvenet", dense).eval()(torch.randn(1, count, 3))
    assert balls == [
        (1024, 256, 0.1, 20),
        (256, 64, 0.2, 20),
        (2048, 512, 0.4, 32),
        (512, 128, 0.8, 32),
        (128, 32, 1.2, 32),
        (32, 8, 31, 32),
    ]
