import json

import numpy as np
import pytest

from pointmcd.errors import ConfigError
from pointmcd.views.rig import Rig, get_rig, list_rigs


@pytest.mark.parametrize(("name", "views"), [("ring12", 12), ("ring16", 16)])
def test_named_rigs(name, views):
    rig = get_rig(name)
    assert name in list_rigs()
    assert len(rig) == len(set(rig.cameras)) == views
    assert (rig.size, rig.fov, rig.up) == (224, 30, "y")


def test_ring16_has_two_elevations_of_eight():
    elevations = [elevation for elevation, _ in get_rig("ring16").cameras]
    assert elevations == [30] * 8 + [-30] * 8


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_frames_are_right_handed_and_look_at_the_origin(up):
    poles = ((90.0, 0.0), (-90.0, 0.0), (90.0, 45.0), (-90.0, 120.0))
    rig = Rig("poles", get_rig("ring16").cameras + poles, distance=3, up=up)
    frames = rig.frames
    axes = np.stack([frames.right, frames.up, -frames.forward], axis=1)
    np.testing.assert_allclose(
        axes @ axes.transpose(0, 2, 1), np.tile(np.eye(3), (20, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(axes), 1)
    np.testing.assert_allclose(frames.position, -3 * frames.forward)


@pytest.mark.parametrize(("up", "axis"), [("x", 0), ("y", 1), ("z", 2)])
def test_up_axis_points_up_in_the_picture(up, axis):
    frames = get_rig("ring12", up=up).frames
    assert (frames.up[:, axis] > 0.8).all()
    np.testing.assert_allclose(frames.right[:, axis], 0, atol=1e-12)
    np.testing.assert_allclose(frames.position[:, axis], 4 * 0.5)


def test_up_axes_show_the_same_turned_shape():
    """A shape with z up, turned to y up, is seen alike by the cameras of both rigs."""
    turn = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # (x, y, z) with z up -> (x, z, -y)
    upright, other = get_rig("ring12").frames, get_rig("ring12", up="z").frames
    np.testing.assert_allclose(other.position @ turn.T, upright.position, atol=1e-12)


def test_json_round_trip(tmp_path):
    rig = Rig("own", ((0.0, 10.0), (-90.0, 0.0)), fov=50, distance=2, size=64, up="z")
    path = tmp_path / "own.json"
    path.write_text(json.dumps(rig.to_json()))
    assert get_rig(path) == rig
    assert get_rig(str(path)) == rig
    assert get_rig(path, up="x").up == "x"


def test_file_needs_only_cameras(tmp_path):
    path = tmp_path / "two.json"
    path.write_text('{"cameras": [[0, 0], [0, 90]]}')
    assert get_rig(path) == Rig("two", ((0.0, 0.0), (0.0, 90.0)))


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "cameras"),
        ({"cameras": []}, "cameras"),
        ({"cameras": [[1, 2, 3]]}, "cameras"),
        ({"cameras": [[1, "2"]]}, "cameras"),
        ({"cameras": [[float("nan"), 2]]}, "cameras"),
        ({"cameras": [[91, 0]]}, "cameras"),
        ({"cameras": [[0, 0]] * 257}, "cameras"),
        ({"cameras": [[0, 0]], "fov": 0}, "fov"),
        ({"cameras": [[0, 0]], "fov": "wide"}, "fov"),
        ({"cameras": [[0, 0]], "distance": -1}, "distance"),
        ({"cameras": [[0, 0]], "size": 3.5}, "size"),
        ({"cameras": [[0, 0]], "size": True}, "size"),
        ({"cameras": [[0, 0]] * 256, "size": 1024}, "size"),
        ({"cameras": [[0, 0]], "up": "w"}, "up"),
        ({"cameras": [[0, 0]], "up": ["y"]}, "up"),
        ({"cameras": [[0, 0]], "name": 3}, "name"),
        ({"cameras": [[0, 0]], "version": 0}, "version"),
        ({"cameras": [[0, 0]], "lens": 1}, "lens"),
    ],
)
def test_unusable_field_is_named_with_its_file(tmp_path, content, field):
    path = tmp_path / "rig.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as error:
        get_rig(path)
    assert str(path) in str(error.value)
    assert f"field '{field}'" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "\x00"])
def test_file_that_is_no_rig(tmp_path, content):
    path = tmp_path / "rig.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"rig\.json"):
        get_rig(path)


@pytest.mark.parametrize("name", ["ring13", "", "absent.json"])
def test_unknown_rig(name):
    with pytest.raises(ConfigError, match=r"ring12|does not exist"):
        get_rig(name)


def test_unknown_up_axis():
    with pytest.raises(ConfigError, match="'up'"):
        get_rig("ring12", up="u")
