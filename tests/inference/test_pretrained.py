"""Models from exported weights, in a folder and on a stand-in for the hub."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from store_copies import copy_store

import pointmcd
from pointmcd.checkpoint import load_checkpoint, save_checkpoint
from pointmcd.errors import ConfigError, PointMCDError
from pointmcd.files import write_json
from pointmcd.inference.export import export_run
from pointmcd.inference.predict import predict
from pointmcd.inference.predictor import open_predictor
from pointmcd.inference.pretrained import (
    create_model,
    from_pretrained,
    push_to_hub,
)
from pointmcd.students.base import PointFeatures
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training import weights as weights_places
from pointmcd.training.config import TrainConfig
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.training.weights import list_pretrained

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(trained_run, tmp_path_factory):
    return export_run(trained_run, "safetensors", tmp_path_factory.mktemp("weights") / "w", "last")


def test_the_model_is_that_of_the_run(weights, trained_run):
    points = torch.rand(3, 40, 3)
    wanted = load_model(Run(trained_run), "last", CPU)(points)
    for place in (weights, str(weights), f"local-dir:{weights}"):
        model = create_model("pointnet", pretrained=place)
        assert model.training
        assert torch.equal(model.eval()(points), wanted)
        assert model.about["classes"] == ["bed", "chair", "lamp"]
    assert pointmcd.from_pretrained is from_pretrained


def test_another_number_of_classes_keeps_the_student(weights):
    whole = from_pretrained(weights)
    model = create_model("pointnet", weights, num_classes=7)
    assert model.eval()(torch.rand(2, 40, 3)).shape == (2, 7)
    for name, tensor in whole.student.state_dict().items():
        assert torch.equal(tensor, model.student.state_dict()[name])


def test_without_weights():
    assert create_model("pointnet", num_classes=5).eval()(torch.rand(2, 40, 3)).shape == (2, 5)
    features = create_model("pointnet").eval()(torch.rand(2, 40, 3))
    assert isinstance(features, PointFeatures)


def test_a_model_of_parts_and_one_without_classes(trained_parts_run, taught_store, tmp_path):
    parts = from_pretrained(export_run(trained_parts_run, "safetensors", tmp_path / "p", "last"))
    logits = parts.eval()(torch.rand(2, 40, 3), torch.tensor([0, 1]))
    ranges = Run(trained_parts_run).labels.part_ranges
    assert logits.shape == (2, 40, ranges[-1, 1])
    classifier = create_model("pointnet", tmp_path / "p", num_classes=len(ranges))
    assert classifier.eval()(torch.rand(2, 40, 3)).shape == (2, len(ranges))  # not of parts
    store = copy_store(taught_store, tmp_path / "store")
    teach(TeachConfig(store, task="features", device="cpu"))
    options = {"task": "pretrain", "epochs": 1, "batch_size": 4, "points": 32, "device": "cpu"}
    run = train(TrainConfig(store, tmp_path / "run", **options))
    export = export_run(run, "safetensors", tmp_path / "u", "last")
    model = create_model("pointnet", export, num_classes=4)
    assert model.eval()(torch.rand(2, 40, 3)).shape == (2, 4)


def test_faults_are_told_in_a_line(weights, tmp_path):
    with pytest.raises(ConfigError, match="holds weights of pointnet, not of dgcnn"):
        create_model("dgcnn", weights)
    with pytest.raises(PointMCDError, match="absent"):
        from_pretrained(tmp_path / "absent")
    with pytest.raises(ConfigError, match=r"has no model\.safetensors; make the folder with"):
        push_to_hub(tmp_path, "me/mine")


def test_the_hub(weights, tmp_path, monkeypatch):
    class Hub:
        """Keeps repositories in a folder."""

        def create_repo(self, repo, private, exist_ok):
            assert exist_ok
            (tmp_path / repo).mkdir(parents=True, exist_ok=True)

        def upload_folder(self, repo_id, folder_path, allow_patterns):
            for name in allow_patterns:
                shutil.copy(folder_path / name, tmp_path / repo_id / name)

    def download(repo, file):
        if not (tmp_path / repo / file).exists():
            raise OSError("404: no such repository\nmore")
        return str(tmp_path / repo / file)

    stand_in = SimpleNamespace(HfApi=Hub, hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    place = push_to_hub(weights, "me/chairs")
    assert place == "hf-hub:me/chairs"
    assert (tmp_path / "me" / "chairs" / "README.md").exists()
    points = torch.rand(2, 40, 3)
    found, wanted = (from_pretrained(one).eval()(points) for one in (place, weights))
    assert torch.equal(found, wanted)
    with pytest.raises(PointMCDError, match=r"hf-hub:me/none: cannot be fetched: 404.*repository$"):
        create_model("pointnet", "hf-hub:me/none")


def test_the_hub_is_an_extra(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"needs huggingface_hub; pip install 'pointmcd\[hub\]'"):
        push_to_hub(weights, "me/mine")


@pytest.fixture
def mesh(furniture_root):
    return min((furniture_root / "chair" / "test").glob("*.off"))


def test_weights_predict_what_their_run_predicts(weights, trained_run, mesh):
    (wanted,) = predict(trained_run, [mesh], checkpoint="last", device="cpu")
    (found,) = predict(weights, [mesh], device="cpu")
    assert found == replace(wanted, unlikeness=None)
    with pytest.raises(ConfigError, match="--checkpoint best: is for runs"):
        predict(weights, [mesh], checkpoint="best", device="cpu")[0]
    with pytest.raises(ConfigError, match=r"--label chair: the model of .* takes no class"):
        predict(weights, [mesh], label="chair", device="cpu")[0]


def test_the_temperature_of_the_run_is_kept(run_copy, mesh, tmp_path):
    write_json(run_copy / "calibration.json", {"last": {"temperature": 4.0}})
    folder = export_run(run_copy, "safetensors", tmp_path / "w", "last")
    (wanted,) = predict(run_copy, [mesh], checkpoint="last", device="cpu")
    (found,) = predict(folder, [mesh], device="cpu")
    assert found.confidence == wanted.confidence


def test_what_leaves_says_whether_it_is_calibrated(run_copy, weights, tmp_path):
    for known in (False, True):
        if known:
            write_json(run_copy / "calibration.json", {"last": {"temperature": 1.0}})
        folder = export_run(run_copy, "safetensors", tmp_path / str(known))
        assert from_pretrained(folder).about["calibrated"] is known
        assert f"calibrated: {str(known).lower()}" in (folder / "README.md").read_text()
        for place in (run_copy, folder):
            assert open_predictor(place, device="cpu").calibrated is known


def test_weights_of_parts_predict_parts(trained_parts_run, mesh, tmp_path):
    folder = export_run(trained_parts_run, "safetensors", tmp_path / "w", "last")
    (wanted,) = predict(trained_parts_run, [mesh], "chair", checkpoint="last", device="cpu")
    (found,) = predict(folder, [mesh], "chair", device="cpu")
    assert found.cells() == wanted.cells()


def test_float16_is_half_the_size_and_described_as_loaded(weights, trained_run, tmp_path):
    half = export_run(trained_run, "safetensors", tmp_path / "h", "last", half=True)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (half, weights)]
    assert sizes[0] < 0.51 * sizes[1]
    whole = from_pretrained(weights).state_dict()
    for name, tensor in from_pretrained(half).state_dict().items():
        assert tensor.dtype == whole[name].dtype
        assert torch.equal(tensor, whole[name].half().to(tensor.dtype))
    again = export_run(trained_run, "safetensors", tmp_path / "h", "last", half=True)
    assert from_pretrained(again).about == from_pretrained(half).about
    assert (
        from_pretrained(half).about["fingerprint"] != from_pretrained(weights).about["fingerprint"]
    )


def test_weights_that_float16_cannot_hold_are_refused(run_copy, tmp_path):
    tensors, state = load_checkpoint(run_copy / "last.safetensors")
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name][0] = 1e6
    save_checkpoint(run_copy / "last.safetensors", tensors, state)
    with pytest.raises(ConfigError, match="running_var is out of float16's range"):
        export_run(run_copy, "safetensors", tmp_path / "w", "last", half=True)
    with pytest.raises(ConfigError, match="--half: is for --to safetensors"):
        export_run(run_copy, "onnx", tmp_path / "w.onnx", "last", half=True)


def test_shipped_weights_are_found_by_name(weights, mesh, tmp_path, monkeypatch):
    monkeypatch.setattr(weights_places, "SHIPPED", tmp_path)
    assert list_pretrained() == []
    shutil.copytree(weights, tmp_path / "mine")
    assert list_pretrained() == ["mine"]
    assert create_model("pointnet", pretrained="mine").about["classes"] == ["bed", "chair", "lamp"]
    (found,) = predict("mine", [mesh], device="cpu")
    assert found == predict(weights, [mesh], device="cpu")[0]
    (tmp_path / "mine").rename(tmp_path / "other")
    with pytest.raises(PointMCDError, match="mine"):
        create_model("pointnet", pretrained="mine")
    with pytest.raises(ConfigError, match="must name weights, such as other"):
        create_model("pointnet", pretrained=True)


@pytest.mark.parametrize("name", list_pretrained())
def test_every_shipped_model_loads_and_is_small(name):
    file = weights_places.SHIPPED / name / "model.safetensors"
    assert file.stat().st_size < 5e6
    floats = {t.dtype for t in load_file(file).values() if t.is_floating_point()}
    assert floats == {torch.float16}
    model = from_pretrained(name)
    assert name.startswith(model.about["student"])
    card = (weights_places.SHIPPED / name / "README.md").read_text()
    assert "license: other" not in card


def test_faces_of_a_block_by_the_weights_that_come_along(tmp_path):
    """A block of MFCAD's test split: a slot, pockets and chamfers beside stock."""
    block = Path(__file__).with_name("mfcad_block.off")
    (found,) = predict("pointnet2-mfcad16", [block], out=tmp_path, device="cpu")
    assert found.label == "block"
    truth = block.with_suffix(".seg").read_text().split()
    said = found.seg.read_text().split()
    assert len(said) == len(truth) == 52
    assert sum(one == two for one, two in zip(said, truth, strict=True)) >= 48
    assert len(set(truth)) >= 5
