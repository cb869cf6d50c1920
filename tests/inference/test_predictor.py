"""Clouds in memory: predicted as those of files."""

import numpy as np
import pytest
import torch

import pointmcd
from pointmcd.errors import ConfigError, PointMCDError, ShapeError
from pointmcd.inference.predict import predict
from pointmcd.inference.predictor import open_predictor
from pointmcd.training.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(400, 3)) * [3, 1, 2] + 5e5


def told(prediction):
    return (prediction.label, prediction.ranking, prediction.up)


def test_as_of_a_file(trained_run, cloud, tmp_path):
    np.save(tmp_path / "cloud.npy", cloud)
    (wanted,) = predict(trained_run, tmp_path / "cloud.npy", up="z", device="cpu")
    model = open_predictor(trained_run, device="cpu")
    assert told(model.predict(cloud, up="z")) == told(wanted)
    gaps = np.insert(cloud, [3, 7], np.nan, axis=0)
    assert told(model.predict(gaps, up="z")) == told(wanted)
    assert model.predict(cloud).read == wanted.read
    assert model.predict(gaps).read == f"without 2 points that are NaN; {wanted.read}"
    for given in (cloud, [cloud], torch.from_numpy(cloud)):
        (found,) = pointmcd.predict(trained_run, given, up="z", device="cpu")
        assert told(found) == told(wanted)
    assert told(model.predict(cloud))[2] == "y"


def test_one_point_and_whole_numbers(trained_run):
    model = open_predictor(trained_run, device="cpu")
    assert model.predict(np.array([[0, 0, 0], [1, 0, 0]])).label in model.labels.classes
    with pytest.raises(ShapeError, match="points: all points are at one place"):
        model.predict(np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (np.zeros((5, 2)), r"points: are \[5, 2\]; give numbers \[N, 3\]"),
        (np.zeros(3), r"points: are \[3\]; give numbers \[N, 3\]$"),
        (np.zeros((4, 5, 3)), r"\[N, 3\], as points.reshape\(-1, 3\) is$"),
        (np.zeros((9, 4)), r"\[N, 3\], as points\[:, :3\] is$"),
        (np.zeros((3, 2)), r"\[N, 3\], as points.T is$"),
        ("a.stl", r"a\.stl: is a path; give an array, or use pointmcd\.predict"),
        (np.zeros((0, 3)), "points: holds no points"),
        (np.full((4, 3), np.nan), "points: holds no points"),
        (np.array([[0, 0, 0], [1, np.inf, 2]]), "1 of 2 points are NaN or infinite"),
        (np.array([["a", "b", "c"]]), "give numbers"),
    ],
)
def test_what_is_no_cloud(trained_run, points, text):
    with pytest.raises(ShapeError, match=text):
        open_predictor(trained_run, device="cpu").predict(points)


def test_a_class_is_for_models_of_parts(trained_run, trained_parts_run, cloud):
    with pytest.raises(ConfigError, match="takes no class"):
        open_predictor(trained_run, device="cpu").predict(cloud, "chair")
    model = open_predictor(trained_parts_run, device="cpu")
    with pytest.raises(ConfigError, match="is not a class of"):
        model.predict(cloud, "zebra")
    with pytest.raises(ConfigError, match="needs the class of the shape: one of"):
        model.predict(cloud)
    label = model.labels.known[0]
    assert sum(model.predict(cloud, label).parts.values()) == pytest.approx(1)


def test_features_are_read_as_those_of_files(tmp_path):
    model = open_predictor("pointnet2-mfcad16", device="cpu")
    random = np.random.default_rng(0)
    cloud, normals = random.normal(size=(900, 3)), random.normal(size=(900, 3))
    names = " ".join(["x", "y", "z", "nx", "ny", "nz"])
    np.savetxt(tmp_path / "a.xyz", np.hstack([cloud, normals]), header=names, comments="")
    (wanted,) = predict("pointnet2-mfcad16", tmp_path / "a.xyz", device="cpu")
    found = model.predict(np.hstack([cloud, normals]))
    assert found.parts == wanted.parts
    assert model.predict(np.hstack([cloud, 7 * normals])).parts == found.parts
    np.testing.assert_array_equal(found.cloud_parts, wanted.cloud_parts)
    with pytest.raises(ShapeError, match=r"points: are \[900, 3\]; give numbers \[N, 6\]"):
        model.predict(cloud)


def test_every_point_has_its_part(trained_parts_run, cloud):
    model = open_predictor(trained_parts_run, device="cpu")
    cloud[[3, 8]] = np.nan
    found = model.predict(cloud, model.labels.known[0])
    assert np.flatnonzero(found.cloud_parts < 0).tolist() == [3, 8]
    assert {*found.cloud_parts.tolist()} - {-1} == {*found.point_parts.tolist()}


def test_the_row_that_is_wrong_is_named(trained_run, cloud):
    cloud[:4] = np.nan
    cloud[10, 1] = np.nan
    with pytest.raises(
        ShapeError, match="1 of 396 points are NaN or infinite, the first in row 11"
    ):
        open_predictor(trained_run, device="cpu").predict(cloud)


@pytest.mark.parametrize("option", [{"out": "parts"}, {"columns": "1,2,3"}])
def test_options_of_files(trained_run, cloud, option):
    with pytest.raises(ConfigError, match="out and columns are for files"):
        predict(trained_run, cloud, device="cpu", **option)


def test_an_axis_that_is_none(trained_run, cloud):
    with pytest.raises(ConfigError, match="--up Z: use one of"):
        predict(trained_run, cloud, device="cpu", up="Z")


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (np.zeros((4, 6)), r"a cloud is \[N, 3\], not \[4, 6\]"),
        (np.zeros((0, 3)), "holds no points"),
        (np.array([[0, 0, np.nan], [1, 2, 3]]), "1 of 2 points are NaN"),
    ],
)
def test_what_cannot_be_normalised(points, text):
    with pytest.raises(ShapeError, match=text):
        pointmcd.normalise_cloud(points)


def test_a_run_is_loaded_like_its_weights(trained_run, tmp_path):
    model = pointmcd.from_pretrained(trained_run)
    weights = pointmcd.from_pretrained(
        pointmcd.export_run(trained_run, "safetensors", tmp_path / "weights")
    )
    assert model.training
    assert model.about == weights.about
    state = weights.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    student = Run(trained_run).meta["student"]
    other = pointmcd.create_model(student, trained_run, num_classes=7)
    assert other(torch.rand(2, 64, 3)).shape == (2, 7)
    with pytest.raises(PointMCDError, match=r"neither a folder of exported weights"):
        pointmcd.from_pretrained(tmp_path)
    names = ", ".join(pointmcd.list_pretrained())
    with pytest.raises(PointMCDError, match=rf"^pointnet-none: is neither .* pointmcd: {names}$"):
        pointmcd.from_pretrained("pointnet-none")
