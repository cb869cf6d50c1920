"""A teacher predicts on files and is exported: what it then says is what the store holds of it."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from store_copies import copy_store

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import as_images
from pointmcd.errors import ConfigError, PointMCDError, StoreError
from pointmcd.evaluation.evaluate import evaluate_teacher
from pointmcd.inference.export import export_run
from pointmcd.inference.predict import predict
from pointmcd.inference.teacher import open_teacher
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
JOINED = "lite0+module:own_encoders:Means"  # which resizes the views


@pytest.fixture(scope="module")
def teachers(taught_store, tmp_path_factory):
    """A store with the teacher lite0, one of two encoders, and one without labels."""
    store = copy_store(taught_store, tmp_path_factory.mktemp("teachers") / "store")
    teach(TeachConfig(store, JOINED, name="joined", epochs=2, device="cpu"))
    teach(TeachConfig(store, "module:own_encoders:Means", name="means", epochs=2, device="cpu"))
    teach(TeachConfig(store, task="features", device="cpu"))
    return store


def stored_logits(store, name):
    opened = Store(store)
    return map_output(opened, name, "logits", np.arange(len(opened.shapes)))[:]


def probabilities(prediction, classes):
    shares = dict(prediction.ranking)
    return [shares[label] for label in classes]


@pytest.mark.parametrize("name", ["lite0", "joined"])
def test_its_predictions_on_the_stores_own_meshes(teachers, tiny_store, name):
    opened = Store(teachers)
    files = [tiny_store.parent / "meshes" / f"{shape.name}.off" for shape in opened.shapes]
    found = predict(teachers / "teachers" / name, files, device="cpu")
    assert [(p.path, p.fault, p.read) for p in found] == [(f, None, "mesh") for f in files]
    wanted = torch.from_numpy(stored_logits(teachers, name)).softmax(1)
    said = np.array([probabilities(p, opened.classes) for p in found])
    assert np.allclose(said, wanted, atol=2e-3)  # features are stored in half precision
    assert [p.label for p in found] == [opened.classes[i] for i in wanted.argmax(1)]
    assert np.ptp(said, axis=0).max() > 0.05


def test_its_predictions_on_the_stores_own_clouds(tmp_path, quick):
    """Clouds are splatted, also one that has more points than the store keeps."""
    generator = np.random.default_rng(0)
    files = []
    for label, stretch in (("flat", [1, 1, 0.1]), ("long", [0.2, 0.2, 1])):
        (tmp_path / "clouds" / label).mkdir(parents=True)
        for number in range(3):
            files.append(tmp_path / "clouds" / label / f"{number}.npy")
            np.save(files[-1], generator.normal(size=(100 + number, 3)) * stretch)
    store = tmp_path / "store"
    prepare(PrepareConfig(tmp_path / "clouds", store, test_fraction=0, **quick))
    folder = teach(TeachConfig(store, "module:own_encoders:Means", epochs=2, device="cpu"))
    found = predict(folder, files, device="cpu")
    wanted = torch.from_numpy(stored_logits(store, folder.name)).softmax(1)
    assert [shape.name for shape in Store(store).shapes] == [
        f"{file.parent.name}/{file.stem}" for file in files
    ]
    said = np.array([probabilities(p, ["flat", "long"]) for p in found])
    assert np.allclose(said, wanted, atol=2e-3)
    assert [p.read for p in found][:2] == ["100 points", "101 points"]


def test_one_that_learnt_from_a_label_file(teachers, tiny_store, tmp_path):
    """It knows the file's classes, also once the file is gone."""
    opened = Store(teachers)
    train = [opened.shapes[i].name for i in opened.indices("train")]
    table = tmp_path / "labels.csv"
    table.write_text("path,class\n" + "".join(f"{n},{n.split('/')[0]}s\n" for n in train[:6]))
    folder = teach(TeachConfig(teachers, labels=table, epochs=2, name="filed", device="cpu"))
    table.unlink()
    meta = json.loads((folder / "teacher.json").read_text())
    file = tiny_store.parent / "meshes" / f"{opened.shapes[0].name}.off"
    (found,) = predict(folder, [file], device="cpu")
    assert found.fault is None
    wanted = np.concatenate([np.load(p) for p in sorted((folder / "logits").glob("*.npy"))])
    said = probabilities(found, meta["classes"])
    assert np.allclose(said, torch.from_numpy(wanted[0]).softmax(0), atol=2e-3)


def test_its_accuracy(teachers, cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    opened, folder = Store(teachers), teachers / "teachers" / "joined"
    for split in ("test", "val"):
        indices = opened.indices(split)
        said = stored_logits(teachers, "joined")[indices].argmax(axis=1)
        wanted = float((said == opened.labels(indices)).mean())
        assert evaluate_teacher(folder, split).overall_accuracy == pytest.approx(wanted)
    status, out, err = cli("evaluate", folder, "--split", "val")
    assert (status, err) == (0, "")
    assert "val, 3 shapes, in percent" in out
    assert f"{100 * wanted:.1f}" in out
    status, out, err = cli("evaluate", folder, "--voting", "4")
    assert (status, out) == (1, "")
    assert err == "pointmcd: --voting 4: is for runs; leave it out with a teacher\n"
    with pytest.raises(ConfigError, match="lite0-features: a teacher of --task features names nei"):
        evaluate_teacher(teachers / "teachers" / "lite0-features")


def test_bad_files_and_renderings_that_it_never_learnt_from(teachers, tmp_path, cli):
    cloud, bad, other = (tmp_path / name for name in ("cloud.ply", "bad.off", "notes.md"))
    header = "ply\nformat ascii 1.0\nelement vertex 9\n"
    header += "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n"
    rows = np.random.default_rng(0).normal(size=(9, 3))
    cloud.write_text(header + "".join("{} {} {}\n".format(*row) for row in rows))
    bad.write_text("OFF\n3 1 0\n")
    other.write_text("# none\n")
    files = [bad, cloud, tmp_path / "absent.off", other]
    first, second, third, fourth = predict(teachers / "teachers" / "lite0", files, device="cpu")
    assert first.fault.startswith(f"{bad}: ")
    assert second.fault is None
    assert second.read == (
        "9 points; 9 points, repeated to 128; seen as splats; the teacher learnt from meshes"
    )
    assert "absent.off" in third.fault
    assert fourth.fault.startswith(f"{other}: is not a mesh or point cloud")
    status, out, err = cli("predict", teachers / "teachers/lite0", bad, cloud, "--device", "cpu")
    assert status == 1
    assert f"\npointmcd: {bad}: " in err
    assert "9 points" in out


@pytest.mark.parametrize(
    "name", ["means", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lite0", "joined"))]
)
def test_the_onnx_file_gives_the_stored_logits(teachers, tmp_path, name):
    ort = pytest.importorskip("onnxruntime")
    path = export_run(teachers / "teachers" / name, out=tmp_path / "teacher.onnx")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.shape[2:]) == ("images", [3, 64, 64])
    opened = Store(teachers)
    views = np.stack([opened.views(i) for i in range(18)])
    images = as_images(torch.from_numpy(views)).numpy()
    wanted = stored_logits(teachers, name)
    for rows in (slice(0, 1), slice(2, 5), slice(0, 18)):
        (found,) = session.run(["logits"], {"images": images[rows]})
        assert np.allclose(found, wanted[rows], atol=5e-3 * np.abs(wanted).max())
    assert session.run(None, {"images": images[:3, :2]})[0].shape == (3, 3)  # fewer views
    told = session.get_modelmeta().custom_metadata_map
    about = {key: json.loads(value) for key, value in told.items()}
    assert about["classes"] == opened.classes
    assert about["preprocessing"]["rig"] == opened.rig
    assert about["teacher"] == name
    assert (
        about["fingerprint"]
        == json.loads((teachers / "teachers" / name / "teacher.json").read_text())["fingerprint"]
    )


def test_weights_with_a_card(teachers, tmp_path):
    source = teachers / "teachers" / "joined"
    folder = export_run(source, "safetensors", tmp_path / "weights")
    tensors = load_file(folder / "model.safetensors")
    model = open_teacher(source, CPU).model
    assert tensors.keys() == model.state_dict().keys()
    assert any(name.startswith("encoder.") for name in tensors)
    model.load_state_dict(tensors)
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "other"
    for line in (
        f"- An image encoder, `{JOINED}`, and layers",
        "- Licence of the encoder's pretrained weights: Apache-2.0; not stated",
        "- Source: `meshes`",
        "- Shapes: 9 train, 3 val, 6 test",
        "- Classes (3): bed, chair, lamp",
        f"- Command: `pointmcd teach STORE --teacher {JOINED} --epochs 2 --name joined`",
        "- val_accuracy: ",
    ):
        assert line in text, line


def test_the_card_says_how_many_shapes_were_labelled(taught_store, tmp_path):
    store = copy_store(taught_store, tmp_path / "store")
    some = TeachConfig(store, label_fraction=0.34, seed=1, epochs=2, device="cpu")
    folder = export_run(teach(some), "safetensors", tmp_path / "weights")
    text = (folder / "README.md").read_text()
    assert "- Shapes: 9 train (3 labelled), 3 val, 6 test" in text


def test_what_cannot_be_asked_of_a_teacher(teachers, tmp_path):
    folder = teachers / "teachers" / "lite0"
    stray = shutil.copytree(folder, tmp_path / "a" / "b" / "stray")
    for call, text in (
        (
            lambda: predict(folder, [], label="bed"),
            "--label bed: the model of .*lite0 takes no class",
        ),
        (lambda: predict(folder, [], checkpoint="best"), "--checkpoint best: is for runs"),
        (lambda: export_run(folder, points=64), "--points 64: is for runs"),
        (lambda: export_run(folder, checkpoint="best"), "--checkpoint best: is for runs"),
        (
            lambda: predict(teachers / "teachers" / "lite0-features", []),
            "lite0-features: a teacher of --task features names neither classes nor parts",
        ),
        (lambda: predict(stray, []), "stray: is no longer in its store"),
    ):
        with pytest.raises(PointMCDError, match=text) as caught:
            call()
        assert isinstance(caught.value, (ConfigError, StoreError))
        assert "\n" not in str(caught.value)
