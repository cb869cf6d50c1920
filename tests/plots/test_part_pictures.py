import numpy as np
import pytest

from pointmcd.plots.parts import (
    BACK,
    FRONT,
    PaintedCloud,
    _balls,
    cloud_picture,
    parts_figure,
)

RED, BLUE = [220, 0, 0], [0, 0, 220]
AHEAD, BEHIND = (0.0, 0.0), (0.0, 180.0)


def picture(points, colours, size=48, view=AHEAD):
    return cloud_picture(np.array(points, float), np.array(colours, np.uint8), size, view)


def places(drawn, colour):
    """Mean row and column of the pixels in which this primary alone is left."""
    found = (drawn[..., np.argmax(colour)] > 60) & (drawn.sum(axis=-1) < 256)
    return np.argwhere(found).mean(axis=0) if found.any() else None


@pytest.fixture
def cloud():
    generator = np.random.default_rng(0)
    return generator.normal(size=(300, 3)), generator.integers(0, 256, (300, 3)).astype(np.uint8)


def test_right_is_right_and_up_is_up():
    flat = picture([[-1, 0, 0], [1, 0, 0]], [RED, BLUE])
    assert places(flat, RED)[1] < 12
    assert places(flat, BLUE)[1] > 36
    tall = picture([[0, 1, 0], [0, -1, 0]], [RED, BLUE])
    assert places(tall, RED)[0] < 12
    assert places(tall, BLUE)[0] > 36


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_is_nearer_hides_what_is_behind(order):
    points, colours = np.array([[0, 0, 1], [0, 0, -1]])[list(order)], np.array([RED, BLUE])
    ahead, behind = (picture(points, colours[list(order)], view=v) for v in (AHEAD, BEHIND))
    assert places(ahead, RED) is not None
    assert places(ahead, BLUE) is None
    assert places(behind, BLUE) is not None
    assert places(behind, RED) is None


def test_from_above_the_top_is_seen():
    points, colours = [[0, 1, 0], [0, -1, 0]], [RED, BLUE]
    assert places(picture(points, colours, view=(90.0, 0.0)), BLUE) is None
    assert places(picture(points, colours, view=(-90.0, 0.0)), RED) is None


def test_balls_are_what_rays_hit_first():
    generator = np.random.default_rng(1)
    points, radius, side = generator.uniform(-0.8, 0.8, (40, 3)), 0.15, 31
    owner, depth, height = _balls(points, radius, side)
    for row in range(side):
        for column in range(side):
            across, up = 2 * (column + 0.5) / side - 1, 1 - 2 * (row + 0.5) / side
            best = (-1, -np.inf, 0.0)
            for index, (x, y, z) in enumerate(points):
                left = 1 - ((across - x) ** 2 + (up - y) ** 2) / radius**2
                if left > 0 and z + radius * np.sqrt(left) > best[1]:
                    best = (index, z + radius * np.sqrt(left), np.sqrt(left))
            found = (owner[row, column], depth[row, column], height[row, column])
            assert found == pytest.approx(best)


@pytest.mark.parametrize("view", [FRONT, BACK, AHEAD])
def test_fills_the_picture_and_keeps_off_its_edge(cloud, view):
    drawn = cloud_picture(*cloud, 100, view)
    assert drawn.shape == (100, 100, 3)
    assert drawn.dtype == np.uint8
    rows, columns = np.nonzero((drawn < 255).any(axis=-1))
    reach = max(np.ptp(rows), np.ptp(columns))
    assert 88 <= reach <= 96
    for found in (rows, columns):
        assert found.min() > 0
        assert found.max() < 99
        assert abs(found.min() + found.max() - 99) <= 4


def test_place_size_and_order_of_the_points_do_not_matter(cloud):
    points, colours = cloud
    before = cloud_picture(points, colours, 64)
    moved = cloud_picture(1000 * points + [3e4, -7, 5], colours, 64)
    assert np.mean(np.abs(before.astype(int) - moved).max(axis=-1) > 8) < 0.01
    order = np.random.default_rng(2).permutation(len(points))
    np.testing.assert_array_equal(before, cloud_picture(points[order], colours[order], 64))


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.ones((7, 3)), np.eye(3)[:2], np.eye(3)])
@pytest.mark.parametrize("view", [AHEAD, FRONT])
def test_few_points(points, view):
    drawn = cloud_picture(points, np.full((len(points), 3), RED, np.uint8), 48, view)
    assert places(drawn, RED) is not None
    assert (drawn[0] == 255).all()


def test_float32_and_one_pixel(cloud):
    points, colours = cloud
    assert cloud_picture(points.astype(np.float32), colours, 1).shape == (1, 1, 3)


def test_a_surface_looks_closed():
    z, turn = np.linspace(-1, 1, 1500), 2.39996 * np.arange(1500)  # even, by the golden angle
    ring = np.sqrt(1 - z**2)
    sphere = np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)
    drawn = cloud_picture(sphere, np.full((1500, 3), RED, np.uint8), 64)
    row, column = np.mgrid[:64, :64] - 31.5
    assert (drawn[np.hypot(row, column) < 28][:, 1] < 10).all()


def test_figure_shows_both_sides_with_one_legend():
    points = np.random.default_rng(0).normal(size=(20, 3))
    parts = np.arange(20) % 3 - 1
    figure = parts_figure(PaintedCloud(points, parts, "cloud_1 $x$"), ["leg", "a_b $c$"])
    assert len(figure.axes) == 2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["leg", r"a b \$c\$"]
    assert figure.get_suptitle() == r"cloud 1 \$x\$"


def test_same_cloud_gives_the_same_file(tmp_path):
    cloud = PaintedCloud(np.eye(3), np.array([0, 1, 0]))
    for name in ("one.png", "two.png"):
        parts_figure(cloud, ["a", "b"]).savefig(tmp_path / name, dpi=60)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize(("letter", "longest"), [("n", 3), ("n", 30), ("W", 12), ("W", 30)])
def test_the_legend_names_the_parts_that_occur_and_fits(letter, longest):
    """Sixteen kinds of faces, as in mfcad16, of which a block has a few."""
    points = np.random.default_rng(0).normal(size=(200, 3))
    names = [f"{number}" + letter * longest for number in range(16)]
    parts = np.random.default_rng(1).choice([-1, 0, 3, 4, 9, 15], 200)
    figure = parts_figure(PaintedCloud(points, parts, "a block"), names)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert [text.get_text().rstrip(letter) for text in legend.get_texts()] == [*"0349", "15"]
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
