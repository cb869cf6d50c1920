import re

import numpy as np
import pytest
import trimesh
from PIL import Image

from pointmcd.errors import PointMCDError
from pointmcd.plots.colours import part_colours
from pointmcd.plots.parts import PaintedCloud
from pointmcd.shapes.clouds import read_points
from pointmcd.tasks.part_prediction import write_picture, write_ply

CLOUD = PaintedCloud(
    np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32), np.arange(30) % 3
)


def test_ply_holds_points_colours_and_global_ids(tmp_path):
    path = tmp_path / "made" / "chair.ply"
    write_ply(path, CLOUD, ["arm", "leg", "seat"], 7)
    read = trimesh.load(path)
    np.testing.assert_array_equal(read.vertices.astype(np.float32), CLOUD.points)
    np.testing.assert_array_equal(read.colors[:, :3], part_colours(3)[CLOUD.parts])
    rows = read.metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_array_equal(rows["part"], CLOUD.parts + 7)
    header = path.read_bytes().partition(b"end_header")[0].decode("ascii")
    assert header.startswith("ply\nformat binary_little_endian 1.0\n")
    properties = re.findall(r"property (\w+) (\w+)", header)
    assert properties[:3] == [("float", axis) for axis in "xyz"]
    assert properties[3:6] == [("uchar", colour) for colour in ("red", "green", "blue")]
    assert ("int", "part") in properties
    assert "comment part 7: arm\ncomment part 8: leg\ncomment part 9: seat\n" in header


def test_ply_is_read_back_as_points(tmp_path):
    write_ply(tmp_path / "a.ply", CLOUD, ["a", "b", "c"], 0)
    assert read_points(tmp_path / "a.ply", 30, seed=0).shape == (30, 3)


def test_names_of_parts_cannot_break_the_header(tmp_path):
    names = ["Lehne\nelement vertex 999", "座面", ""]
    write_ply(tmp_path / "a.ply", CLOUD, names, 0)
    assert len(trimesh.load(tmp_path / "a.ply").vertices) == 30


def test_picture_is_a_png(tmp_path):
    write_picture(tmp_path / "a.png", CLOUD, ["arm", "leg", "seat"])
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 400


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(PointMCDError, match="cannot be written") as error:
        write_ply(tmp_path / "out" / "a.ply", CLOUD, ["a", "b", "c"], 0)
    assert "\n" not in str(error.value)
