import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, PointMCDError, RunError
from pointmcd.files import write_json
from pointmcd.inference import export_onnx
from pointmcd.inference.export import export_run
from pointmcd.inference.model_card import about
from pointmcd.inference.predictor import open_trained
from pointmcd.inference.pretrained import from_pretrained
from pointmcd.students.base import PointFeatures
from pointmcd.students.registry import list_students
from pointmcd.training.config import TrainConfig
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.training.weights import list_pretrained

ort = pytest.importorskip("onnxruntime")
#: Each task and what its file gives.
OUTPUTS = {"classification": "logits", "segmentation": "logits", "pretrain": "embedding"}
CASES = [(student, task) for student in list_students() for task in OUTPUTS]


def cloud(batch, count, seed=5):
    points = torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed))
    return points / points.norm(dim=2).amax(dim=1)[:, None, None]


def session_of(path):
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def told_by(path):
    found = session_of(path).get_modelmeta().custom_metadata_map
    return {key: json.loads(value) for key, value in found.items()}


def agrees(run, path, sizes, checkpoint="last"):
    """On any sizes: the file gives what the run's model gives."""
    opened, session = Run(run), session_of(path)
    model = load_model(opened, checkpoint, torch.device("cpu"))
    for batch, count in sizes:
        inputs = [cloud(batch, count)]
        if opened.meta["task"] == "segmentation":
            inputs.append(torch.arange(batch) % 2)
        with torch.inference_mode():
            wanted = model(*inputs).numpy()
        names = ("points", "labels")
        given = {n: t.numpy() for n, t in zip(names, inputs, strict=False)}
        (found,) = session.run([OUTPUTS[opened.meta["task"]]], given)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * max(1, np.abs(wanted).max()))


SIZES = [(1, 2), (1, 3), (3, 17), (2, 64), (1, 700), (2, 1500)]


def test_any_batch_and_any_number_of_points(trained_run, exported_run):
    agrees(trained_run, exported_run, SIZES)
    assert [path.name for path in exported_run.parent.iterdir()] == ["model.onnx"]


def test_the_file_says_what_it_is(trained_run, exported_run):
    told, meta = told_by(exported_run), Run(trained_run).meta
    assert told["classes"] == ["bed", "chair", "lamp"]
    assert (told["task"], told["student"], told["points"]) == ("classification", "pointnet", 64)
    assert told["run"]["seed"] == 0
    assert told["run"]["store_fingerprint"] == meta["store_fingerprint"]
    assert told["run"]["settings"] == meta["settings"]
    assert "distance 1" in told["preprocessing"]["scale"]
    assert "parts" not in told
    assert (told["temperature"], told["calibrated"]) == (1, False)
    (given,) = session_of(exported_run).get_inputs()
    assert (given.name, given.type, given.shape[2]) == ("points", "tensor(float)", 3)
    assert all(isinstance(size, str) for size in given.shape[:2])


def test_a_run_of_parts_names_them(trained_parts_run):
    run = Run(trained_parts_run)
    told = about(run, load_model(run, "best", torch.device("cpu")), "best")
    bed, chair = ["low", "high"], ["legs", "seat", "back"]
    parts = {"bed": {"first": 0, "names": bed}, "chair": {"first": 2, "names": chair}}
    assert told["parts"] == parts


def made(student, task, store, parts_store, out):
    """A run of one epoch."""
    store = parts_store if task == "segmentation" else store
    teacher = "seen" if task == "pretrain" else None
    small = {"epochs": 1, "points": 64, "batch_size": 4, "device": "cpu"}
    return train(TrainConfig(store, out, student=student, task=task, teacher=teacher, **small))


@pytest.fixture(scope="module")
def seen_store(taught_store, tmp_path_factory):
    """A store with a teacher that read no labels."""
    from pointmcd.teachers.config import TeachConfig
    from pointmcd.teachers.teach import teach

    store = tmp_path_factory.mktemp("seen") / "store"
    shutil.copytree(taught_store, store)
    teach(TeachConfig(store, task="features", device="cpu", name="seen"))
    return store


@pytest.mark.slow
@pytest.mark.parametrize(("student", "task"), CASES)
def test_every_student_of_every_task(student, task, seen_store, parts_store, tmp_path):
    run = made(student, task, seen_store, parts_store, tmp_path / "run")
    agrees(run, export_run(run), SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("student", ["pointnet2", "curvenet"])
def test_students_that_sample_take_a_fixed_number_too(student, taught_store, tmp_path):
    run = made(student, "classification", taught_store, None, tmp_path / "run")
    agrees(run, export_run(run, points=64), [(1, 64), (5, 64)])


@pytest.fixture
def quick_run(taught_store, tmp_path):
    """A run of the tiny student, which is exported_run in a second."""

    def train_one(student="tiny_student:TinyStudent"):
        options = {"epochs": 1, "points": 32, "batch_size": 4, "device": "cpu"}
        out = tmp_path / "run"
        return train(TrainConfig(taught_store, out, student=student, teacher=None, **options))

    return train_one


def test_a_fixed_number_of_points_is_the_only_one(quick_run):
    run = quick_run()
    path = export_run(run, points=32)
    agrees(run, path, [(1, 32), (7, 32)])
    with pytest.raises(Exception, match="invalid dimensions"):
        agrees(run, path, [(1, 33)])


def test_without_its_store_it_is_checked_on_other_clouds(quick_run):
    run = quick_run()
    write_json(run / "run.json", Run(run).meta | {"store": "/gone"})
    agrees(run, export_run(run, checkpoint="last"), [(2, 9)], "last")


def test_one_that_differs_is_not_kept(quick_run, monkeypatch):
    run = quick_run()
    true = export_onnx.write_onnx

    def damaged(model, *arguments, **options):
        torch.nn.init.normal_(model.head.classifier.weight)
        true(model, *arguments, **options)
        torch.nn.init.normal_(model.head.classifier.weight)

    monkeypatch.setattr(export_onnx, "write_onnx", damaged)
    before = sorted(run.iterdir())
    with pytest.raises(PointMCDError, match=r"export.onnx: not written: on 1 x 32 .* differs"):
        export_run(run)
    assert sorted(run.iterdir()) == before


class OneSize(torch.nn.Module):
    """Its number of points must be known when it is traced."""

    num_features = 4

    def __init__(self):
        super().__init__()
        self.rise = torch.nn.Linear(3, 4)

    def forward(self, points):
        order = torch.arange(int(points.shape[1]))
        return PointFeatures(self.rise(points[:, order]))


def test_a_student_of_one_size_names_the_way_out(quick_run):
    run = quick_run(f"{__name__}:OneSize")
    with pytest.raises(ConfigError, match=r"cannot be exported.*--points 32 fixes") as error:
        export_run(run)
    assert "\n" not in str(error.value)
    agrees(run, export_run(run, points=32), [(1, 32), (4, 32)])


def test_refused_before_any_work(run_copy, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        export_run(run_copy, out=tmp_path)
    with pytest.raises(ConfigError, match="--points 0"):
        export_run(run_copy, points=0)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"needs onnxruntime; pip install 'pointmcd\[onnx\]'"):
        export_run(run_copy)
    write_json(run_copy / "run.json", Run(run_copy).meta | {"finished": False})
    with pytest.raises(RunError, match="not finished"):
        export_run(run_copy)


def test_from_the_command_line(cli, quick_run, tmp_path):
    run, path = quick_run(), tmp_path / "a b.onnx"
    status, out, err = cli("export", run, "--out", path, "--checkpoint", "last")
    assert (status, out) == (0, f"{path}\n")
    latency, note, size = err.splitlines()
    assert note.startswith("note: confidences are not calibrated: 3 shapes were held out, 20 are")
    assert re.fullmatch(
        r"[\d.e-]+ ms for a shape of 32 points, in ONNX Runtime on \d+ thread.*", latency
    )
    assert size == f"{path.name}: {path.stat().st_size / 1e6:.1f} MB"
    assert told_by(path)["checkpoint"] == "last"


def test_no_file_of_another_is_replaced_unasked(cli, trained_run, tmp_path):
    mesh = tmp_path / "chair.stl"
    mesh.write_text("mine")
    _, _, err = cli("export", trained_run, "--out", mesh)
    assert err == f"pointmcd: --out {mesh}: exists; name another file, or give --overwrite\n"
    assert mesh.read_text() == "mine"


def test_clouds_of_the_store_are_what_it_is_checked_on(trained_run, taught_store):
    trained, store = open_trained(trained_run, "last", torch.device("cpu")), Store(taught_store)
    found = [inputs[0] for inputs in export_onnx._examples(trained, None, store)]
    assert [tuple(points.shape[:2]) for points in found] == [
        (1, 64),
        (2, 32),
        (2, 64),
        (2, 128),
        (5, 64),
    ]
    wanted = store.points(np.arange(2), 32)
    assert np.array_equal(found[1].numpy(), wanted)


@pytest.mark.slow
def test_exported_weights_give_the_file_that_their_run_gives(
    trained_run, exported_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    export_run(trained_run, "safetensors", "weights")
    file = export_run("weights")
    assert file == Path("weights.onnx")
    assert told_by(file) == told_by(exported_run)
    agrees(trained_run, file, [(1, 3), (2, 64)])
    with pytest.raises(ConfigError, match="--to safetensors: weights: is of that kind already"):
        export_run("weights", "safetensors", "again")
    assert {path.name for path in tmp_path.iterdir()} == {"weights", "weights.onnx"}


@pytest.mark.slow
def test_weights_that_come_along_are_exported_by_name(tmp_path):
    name = list_pretrained()[0]
    file = export_run(name, out=tmp_path / "model.onnx")
    model, points = from_pretrained(name).eval(), cloud(2, 100)
    calibrated = model.about.get("temperature", 1) != 1
    assert told_by(file) == {"calibrated": calibrated} | model.about | {"up": "y"}
    inputs = {"points": points.numpy()}
    if "labels" in [one.name for one in session_of(file).get_inputs()]:
        inputs["labels"] = np.zeros(2, np.int64)
    with torch.inference_mode():
        wanted = model(*map(torch.from_numpy, inputs.values())).numpy()
    (found,) = session_of(file).run(None, inputs)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * max(1, np.abs(wanted).max()))
