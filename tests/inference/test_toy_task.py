"""A task from one file outside the package predicts and is exported like the package's own."""

import json

import numpy as np
import pytest
import torch

from pointmcd.errors import ConfigError
from pointmcd.inference.export import export_run
from pointmcd.inference.predict import predict
from pointmcd.shapes.clouds import read_points
from pointmcd.training.config import TrainConfig
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.train import train

POINTS = 32


@pytest.fixture(scope="module")
def run(tiny_store, tmp_path_factory):
    """A tiny student of one epoch that has learnt heights."""
    out = tmp_path_factory.mktemp("toy") / "run"
    options = {"epochs": 1, "points": POINTS, "batch_size": 4, "device": "cpu", "teacher": None}
    tiny = "tiny_student:TinyStudent"
    return train(TrainConfig(tiny_store, out, task="toy_task:Height", student=tiny, **options))


@pytest.fixture
def chair(furniture_root):
    return min((furniture_root / "chair" / "test").glob("*.off"))


def test_it_predicts_and_writes_what_it_writes(run, chair, tmp_path):
    (found, fault) = predict(run, [chair, tmp_path / "no.off"], out=tmp_path / "out", device="cpu")
    model = load_model(Run(run), "last", torch.device("cpu"))
    points = torch.from_numpy(read_points(chair, POINTS, seed=0))[None]
    with torch.inference_mode():
        assert found.height == pytest.approx(float(model(points)))
    (written,) = (tmp_path / "out").iterdir()
    assert (written.name, written.read_text()) == (
        f"{chair.stem}-height.txt",
        f"{found.height:.4f}\n",
    )
    assert fault.height is None
    assert "no.off" in fault.fault
    with pytest.raises(ConfigError, match="takes no class"):
        predict(run, [chair], label="chair")


def test_the_command_line_prints_its_columns(cli, run, chair, tmp_path):
    (found,) = predict(run, [chair], device="cpu")
    status, table, err = cli("predict", run, chair, "--out", tmp_path, "--device", "cpu")
    assert (status, err) == (
        0,
        "note: y is taken to point up in the files; --up names another axis\n",
    )
    assert "height" in table
    assert f"{found.height:.2f}" in table


def test_it_is_exported_with_its_own_names(run, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    path = export_run(run, out=tmp_path / "height.onnx")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["unit"]) == "radii of the sphere"
    assert "classes" not in told
    points = np.random.default_rng(0).uniform(-1, 1, (3, 50, 3)).astype(np.float32)
    (found,) = session.run(["height"], {"points": points})
    with torch.inference_mode():
        wanted = load_model(Run(run), "last", torch.device("cpu"))(torch.from_numpy(points))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)


def test_its_weights_have_a_card(run, tmp_path):
    text = (export_run(run, "safetensors", tmp_path / "weights") / "README.md").read_text()
    assert "- Task: toy_task:Height" in text
