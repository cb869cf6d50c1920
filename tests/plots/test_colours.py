import numpy as np
import pytest

from pointmcd.plots.colours import part_colours, part_paint

# Machado et al. 2009, table 1, severity 1: what is left of linear RGB without one kind of cones.
DEFICIENCIES = (
    np.eye(3),
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.052],
    ],
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
)
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.072175],
        [0.0193339, 0.119192, 0.9503041],
    ]
)


def as_seen(colours, deficiency):
    """CIELAB [n, 3] of sRGB colours [n, 3]."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.asarray(deficiency).T).clip(0, 1)
    x, y, z = np.cbrt(seen @ TO_XYZ.T / [0.95047, 1, 1.08883]).T  # all colours are light enough
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize(("count", "distance"), [(12, 16), (24, 13)])
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_parts_can_be_told_apart_by_any_vision(deficiency, count, distance):
    seen = as_seen(part_colours(count), deficiency)
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1)[np.triu_indices(count, 1)]
    assert apart.min() > distance


@pytest.mark.parametrize("count", [0, 1, 2, 12, 24, 25, 50])
def test_any_number_of_parts(count):
    colours = part_colours(count)
    assert colours.shape == (count, 3)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == min(count, 24)
    np.testing.assert_array_equal(colours, part_colours(60)[:count])


def test_points_take_the_colour_of_their_part_and_grey_without():
    colours = part_colours(3)
    paint = part_paint(np.array([2, 0, -1, 2]), 3)
    np.testing.assert_array_equal(paint[[0, 1, 3]], colours[[2, 0, 2]])
    assert len(set(paint[2].tolist())) == 1
    assert paint[2].tolist() not in part_colours(24).tolist()
    assert part_paint(np.array([], dtype=int), 3).shape == (0, 3)
