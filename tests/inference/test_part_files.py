import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from pointmcd.errors import PointMCDError
from pointmcd.inference.part_files import output_names, write_picture, write_ply
from pointmcd.plots.colours import part_colours
from pointmcd.plots.parts import PaintedCloud
from pointmcd.shapes.clouds import read_points

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


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ([], []),
        (["chair/1.off"], ["1-parts"]),
        (["a.b.off", "a.b.ply"], ["a.b-parts", "a.b-parts-2"]),
        (["chair/1.off", "bed/1.off", "Bed/1.OFF"], ["1-parts", "1-parts-2", "1-parts-3"]),
        (["x.off", "X.off"], ["x-parts", "X-parts-2"]),
        (["x.off", "out/x-parts.ply"], ["x-parts-2", "x-parts-parts"]),
        (["x.off", "out/X-Parts.ply"], ["x-parts-2", "X-Parts-parts"]),
        (["x.off", "x.off"], ["x-parts", "x-parts-2"]),
    ],
)
def test_each_file_gets_a_name_and_no_input_is_written_over(files, names):
    assert output_names([Path(file) for file in files], Path("out")) == names


def test_input_that_is_reached_through_a_link_is_safe(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "out", target_is_directory=True)
    files = [tmp_path / "x.off", tmp_path / "link" / "x-parts.ply"]
    assert output_names(files, tmp_path / "out")[0] == "x-parts-2"
