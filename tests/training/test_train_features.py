"""`train --features`: from the store through training to every command that takes the run."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from tiny_student import TinyStudent
from torch import nn
from toy_task import Height

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.inference.export import export_run
from pointmcd.inference.guesses import guess
from pointmcd.inference.predict import predict
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.probing.config import ProbeConfig
from pointmcd.probing.embed import embed, similar
from pointmcd.probing.probe import probe
from pointmcd.robustness.evaluate import evaluate_corrupted
from pointmcd.shapes.clouds import read_points
from pointmcd.tasks.task import Labels, get_task
from pointmcd.training.config import TrainConfig
from pointmcd.training.model import build_model, load_model
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
NORMALS = {"features": ("normals",), "student": f"{__name__}:Wide"}


class Wide(TinyStudent):
    """The tiny student with a place for more channels."""

    def __init__(self, extra_channels=0):
        super().__init__()
        self.extra_channels = extra_channels
        self.rise = nn.Linear(3 + extra_channels, self.num_features, bias=False)


@pytest.fixture(scope="module")
def rich_store(tiny_store, taught_store, tmp_path_factory):
    """The tiny store with normals; points and views are the same, so that its teacher serves."""
    folder = tmp_path_factory.mktemp("rich")
    options = {"points": 128, "shard_size": 5, "val_fraction": 0.25, "workers": 1}
    meshes, rig = tiny_store.parent / "meshes", tiny_store.parent / "rig.json"
    store = folder / "store"
    prepare(PrepareConfig(meshes, store, rig=rig, features=("normals",), **options))
    shutil.copytree(taught_store / "teachers", store / "teachers")
    return store


@pytest.fixture(scope="module")
def rich_run(rich_store, tmp_path_factory):
    """A distilled run of two epochs with normals. To be read only."""
    out = tmp_path_factory.mktemp("rich-run") / "run"
    options = {"epochs": 2, "batch_size": 4, "points": 64, "device": "cpu"}
    return train(TrainConfig(rich_store, out, **options, **NORMALS))


def test_the_run_knows_its_features(rich_run, rich_store, make):
    run = Run(rich_run)
    assert run.features == run.config.features == ("normals",)
    assert yaml.safe_load((rich_run / "config.yaml").read_text())["features"] == ["normals"]
    assert load_model(run, "last", torch.device("cpu")).student.rise.in_features == 6
    before = (rich_run / "last.safetensors").stat().st_mtime_ns
    assert train(run.config) == rich_run  # the same command goes on with it
    assert (rich_run / "last.safetensors").stat().st_mtime_ns == before
    name = TrainConfig(rich_store, features="colours,normals").folder.name
    assert name == "store-normals-colours-pointnet-distilled-s0"


def test_without_features_a_run_is_what_it_was(make):
    run = Run(train(make("plain")))
    assert run.features == ()
    assert "features" not in run.meta["settings"]
    settings = yaml.safe_load((run.path / "config.yaml").read_text())
    del settings["features"]  # as runs of before have none
    (run.path / "config.yaml").write_text(yaml.safe_dump(settings))
    assert Run(run.path).config.features == ()
    assert train(make("plain")) == run.path


def test_every_command_takes_the_run(rich_run, rich_store, tiny_store, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(rich_run, run)
    assert {*evaluate(run, voting=2)} == {"last", "best"}
    assert {*evaluate(run)} == {"last", "best", "teacher"}
    assert {*evaluate_corrupted(run, ("shear", "cutout"))} == {"last", "best"}
    assert probe(ProbeConfig(run, rich_store, device="cpu"))
    assert len(embed(rich_store, run).names) == 18
    assert guess(run, Store(rich_store)).probabilities.shape == (18, 3)
    mesh = next((tiny_store.parent / "meshes" / "chair" / "test").glob("*.off"))
    assert similar(run, mesh, rich_store)[0].similarity > 0.5


def test_normals_are_learnt_from(rich_run, rich_store):
    model = load_model(Run(rich_run), "last", torch.device("cpu"))
    points = torch.from_numpy(Store(rich_store).points(np.arange(4), 64, ("normals",)))
    other = points.clone()
    other[..., 3:] = -other[..., 3:]
    assert not torch.allclose(model(points), model(other))


def test_predict_takes_normals_from_the_file(rich_run, tiny_store, tmp_path):
    mesh = next((tiny_store.parent / "meshes" / "chair" / "test").glob("*.off"))
    bare, full = tmp_path / "bare.xyz", tmp_path / "full.xyz"
    points = np.random.default_rng(0).normal(size=(80, 3))
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    np.savetxt(bare, points)
    np.savetxt(full, np.column_stack([points, normals]))
    of_mesh, of_bare, of_full = predict(rich_run, [mesh, bare, full], device="cpu")
    assert of_mesh.fault is of_full.fault is None
    assert of_bare.fault.startswith(f"{bare}: has no normals; a mesh, or a file with nx, ny, nz")


@pytest.mark.slow
def test_export_names_the_channels(rich_run, tmp_path):
    pytest.importorskip("onnxruntime")
    import onnx

    path = export_run(rich_run, out=tmp_path / "a.onnx")
    model = onnx.load(path)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert shape[2].dim_value == 6
    told = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert told["channels"][:4] == ["x", "y", "z", "normal x (-1..1)"]
    card = export_run(rich_run, "safetensors", tmp_path / "card") / "README.md"
    assert "points float32 [B, N, 6]: x, y, z, normal x" in card.read_text()


def test_a_store_without_says_what_to_prepare(make):
    with pytest.raises(StoreError, match=r"holds no normals of its points; prepare it again with"):
        train(make("a", **NORMALS))


def test_a_store_of_unlabelled_shapes_needs_them_too(make, rich_store, tiny_store, tmp_path):
    meshes, rig = tiny_store.parent / "meshes", tiny_store.parent / "rig.json"
    plain = prepare(PrepareConfig(meshes, tmp_path / "s", rig=rig, points=96, workers=1)).store
    config = make("a", rich_store, unlabelled=(plain,), **NORMALS)
    with pytest.raises(StoreError, match=f"{plain}: holds no normals of its points"):
        train(config)


def test_a_student_without_a_place_for_them(make, rich_store):
    with pytest.raises(ConfigError, match=r"TinyStudent: reads points \[B, N, 3\] alone"):
        train(make("a", rich_store, features=("normals",)))


def test_a_task_without_a_place_for_them():
    task = Height("toy_task:Height", Height.Options())
    with pytest.raises(ConfigError, match="its build_model takes no extra_channels, which --feat"):
        build_model(task, NORMALS["student"], Labels(["a", "b"]), ("normals",))
    assert build_model(task, "tiny_student:TinyStudent", Labels(["a", "b"]), ())


def test_fine_tuning_needs_the_same_features(make, rich_run, rich_store):
    config = make("a", rich_store, init=rich_run, student=NORMALS["student"])
    with pytest.raises(ConfigError, match="takes normals, the run no features; give --features n"):
        train(config)
    tuned = Run(train(make("b", rich_store, init=rich_run, **NORMALS)))
    assert tuned.features == ("normals",)
    plain = train(make("c"))
    with pytest.raises(ConfigError, match="takes no features, the run normals; leave out --feat"):
        train(
            make("d", rich_store, init=plain, **NORMALS | {"student": "tiny_student:TinyStudent"})
        )


def test_compare_says_that_features_differ(make, rich_store):
    runs = [make("a", rich_store, student=NORMALS["student"]), make("b", rich_store, **NORMALS)]
    first, second = map(train, runs)
    for run in (first, second):
        evaluate(run)
    text = str(compare([second], [first]))
    assert "normals" in text


def test_every_augmentation(make, rich_store):
    options = {"rotation": "any", "resample": True, "scale": 2.0}
    run = Run(train(make("p", rich_store, **NORMALS, **options)))
    assert all(np.isfinite(record["task_loss"]) for record in run.metrics())


@pytest.mark.parametrize("task", ["classification", "pretrain", "segmentation"])
def test_every_task_builds_its_student_so(task):
    labels = Labels(["a", "b"], {"a": ["x"], "b": ["y", "z"]})
    model = build_model(get_task(task), "dgcnn", labels, ("normals", "colours"))
    assert model.student.extra_channels == 6


def test_parts(labelled_meshes, small_rig, tmp_path):
    options = {"points": 64, "rig": small_rig, "workers": 1, "features": ("normals",)}
    store = prepare(PrepareConfig(labelled_meshes, tmp_path / "s", **options)).store
    settings = {"epochs": 1, "batch_size": 4, "points": 64, "device": "cpu", "teacher": None}
    run = train(TrainConfig(store, tmp_path / "r", task="segmentation", **settings, **NORMALS))
    assert evaluate(run)
    mesh = next((labelled_meshes / "bed").glob("*.off"))
    (found,) = predict(run, [mesh], label="bed", out=tmp_path / "out", device="cpu")
    assert read_points(found.ply, 64, 0).shape == (64, 3)
