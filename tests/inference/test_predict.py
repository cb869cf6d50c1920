import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.checkpoint import load_checkpoint, save_checkpoint
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, RunError
from pointmcd.evaluation.results import read_result
from pointmcd.files import write_json
from pointmcd.inference.predict import output_paths, predict
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

CLASSES = {"bed", "chair", "lamp"}
ENDINGS = ("-parts.ply", "-parts.png")


@pytest.fixture
def chair(furniture_root):
    return min((furniture_root / "chair" / "test").glob("*.off"))


@pytest.fixture
def cloud_files(taught_store, tmp_path):
    """One cloud of 128 points as .xyz, .npy and .ply."""
    points = Store(taught_store).points(np.array([0]), 128)[0]
    files = [tmp_path / f"cloud.{suffix}" for suffix in ("xyz", "npy", "ply")]
    np.savetxt(files[0], points, fmt="%.9g")
    np.save(files[1], points)
    header = "ply\nformat ascii 1.0\nelement vertex 128\n"
    header += "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n"
    files[2].write_text(header + files[0].read_text())
    return files


def one_fault(run, *parts):
    with pytest.raises(RunError) as error:
        predict(run, [], device="cpu")
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


def test_mesh_gets_a_class_and_a_ranking(trained_run, chair):
    (prediction,) = predict(trained_run, [chair], device="cpu")
    assert prediction.path == chair
    assert prediction.fault is None
    names, shares = zip(*prediction.ranking, strict=True)
    assert set(names) == CLASSES
    assert list(shares) == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert (prediction.label, prediction.confidence) == prediction.ranking[0]


def test_one_cloud_is_the_same_in_every_format(trained_run, cloud_files):
    predictions = predict(trained_run, cloud_files, device="cpu")
    assert [p.path for p in predictions] == cloud_files
    for prediction in predictions:
        assert prediction.fault is None
        assert prediction.label == predictions[0].label
        assert prediction.confidence == pytest.approx(predictions[0].confidence, abs=1e-5)


def test_place_and_size_of_a_cloud_do_not_matter(trained_run, cloud_files, tmp_path):
    moved = tmp_path / "moved.npy"
    np.save(moved, 40 * np.load(cloud_files[1]).astype(np.float64) + [3, -7, 100])
    here, there = predict(trained_run, [cloud_files[1], moved], device="cpu")
    assert here.label == there.label
    assert here.confidence == pytest.approx(there.confidence, abs=1e-4)


def test_agrees_with_the_checkpoint_asked_for(run_copy, chair):
    # A best checkpoint that is sure of lamps whatever it sees.
    classifier = load_model(Run(run_copy), "last", pick_device("cpu"))
    torch.nn.init.zeros_(classifier.head.hidden[4].weight)
    torch.nn.init.ones_(classifier.head.hidden[4].bias)
    classifier.head.classifier.weight.data = torch.tensor([0.0, 0.0, 1.0])[:, None].repeat(1, 256)
    tensors = {f"model.{name}": value for name, value in classifier.state_dict().items()}
    save_checkpoint(run_copy / "best.safetensors", tensors, {"epoch": 1})
    (best,) = predict(run_copy, [chair], checkpoint="best", device="cpu")
    (last,) = predict(run_copy, [chair], device="cpu")
    assert best.label == "lamp"
    assert best.confidence > 0.999
    assert last.confidence < 0.999


def test_needs_neither_store_nor_training_files(run_copy, chair):
    before = predict(run_copy, [chair], device="cpu")[0]
    info = json.loads((run_copy / "run.json").read_text())
    write_json(run_copy / "run.json", info | {"store": "/gone"})
    for name in ("best.safetensors", "metrics.jsonl"):
        (run_copy / name).unlink()
    assert predict(run_copy, [chair], device="cpu")[0] == before


def test_bad_files_are_told_of_and_the_rest_goes_on(trained_run, chair, tmp_path):
    cut = tmp_path / "cut.off"
    cut.write_bytes(chair.read_bytes()[:300])
    nan = tmp_path / "nan.xyz"
    nan.write_text("0 0 0\nnan 1 0\n1 1 1\n")
    files = [cut, chair, tmp_path / "absent.off", nan, tmp_path / "notes.pdf", chair]
    predictions = predict(trained_run, files, device="cpu")
    assert [p.path for p in predictions] == files
    good, bad = [predictions[1], predictions[5]], [predictions[i] for i in (0, 2, 3, 4)]
    assert good[0] == good[1]
    assert good[0].label in CLASSES
    for prediction in bad:
        assert prediction.label is None
        assert prediction.ranking == ()
        assert str(prediction.path) in prediction.fault
        assert "\n" not in prediction.fault


def test_run_is_refused_at_once_even_without_files(tmp_path):
    one_fault(tmp_path, tmp_path, "is not a run folder")


def test_a_run_without_checkpoints_yet_is_told_to_go_on(run_copy):
    write_json(run_copy / "run.json", Run(run_copy).meta | {"finished": False})
    (run_copy / "last.safetensors").unlink()
    one_fault(run_copy, "not finished; run the same pointmcd train command again")
    with pytest.raises(RunError, match="not finished; run the same pointmcd train command"):
        read_result(run_copy)


@pytest.mark.parametrize("size", [0, 7, 5000, -8])
def test_truncated_checkpoint(size, run_copy):
    path = run_copy / "last.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    one_fault(run_copy, path, "not a readable checkpoint")


def test_absent_checkpoint(run_copy):
    (run_copy / "last.safetensors").unlink()
    one_fault(run_copy, run_copy / "last.safetensors", "does not exist")


def test_checkpoint_of_another_number_of_classes(run_copy):
    wider = Classifier(create_student("pointnet"), 5)
    tensors = {f"model.{name}": value for name, value in wider.state_dict().items()}
    save_checkpoint(run_copy / "last.safetensors", tensors, {"epoch": 1})
    one_fault(run_copy, run_copy / "last.safetensors", "number of classes", "is [5], expected [3]")


def test_checkpoint_of_another_student(run_copy):
    other = Classifier(create_student("dgcnn"), 3)
    tensors = {f"model.{name}": value for name, value in other.state_dict().items()}
    save_checkpoint(run_copy / "last.safetensors", tensors, {"epoch": 1})
    one_fault(run_copy, run_copy / "last.safetensors", "another model")


def test_checkpoint_of_another_format(run_copy):
    tensors, state = load_checkpoint(run_copy / "last.safetensors")
    save_checkpoint(run_copy / "last.safetensors", tensors, state | {"format": 99})
    one_fault(run_copy, run_copy / "last.safetensors", "checkpoint format 99")


def test_run_of_another_format(run_copy):
    info = json.loads((run_copy / "run.json").read_text())
    write_json(run_copy / "run.json", info | {"format": 99})
    one_fault(run_copy, run_copy, "run format 99")


@pytest.mark.parametrize("text", [None, "", "- a list", "{", "stranger: 1"])
def test_damaged_config(text, run_copy, chair):
    path = run_copy / "config.yaml"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(Exception, match=r"config") as error:
        predict(run_copy, [chair], device="cpu")
    assert "\n" not in str(error.value)


def test_names_with_spaces_and_brackets(trained_run, chair, tmp_path):
    odd = tmp_path / "my [old] chair.off"
    shutil.copy(chair, odd)
    (prediction,) = predict(trained_run, [odd], device="cpu")
    assert prediction.fault is None


def test_a_class_is_told_to_no_model_that_takes_none(trained_run, chair, tmp_path):
    with pytest.raises(ConfigError, match=r"--label chair: .*takes no class"):
        predict(trained_run, [chair], label="chair", device="cpu")
    (prediction,) = predict(str(trained_run), [str(chair)], out=str(tmp_path / "out"), device="cpu")
    assert (prediction.path, prediction.label in CLASSES) == (chair, True)
    assert not (tmp_path / "out").exists()


# Paths of what a task writes


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
    found = output_paths([Path(file) for file in files], Path("out"), ENDINGS)
    assert found == [(Path("out", f"{name}.ply"), Path("out", f"{name}.png")) for name in names]


def test_input_that_is_reached_through_a_link_is_safe(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "out", target_is_directory=True)
    files = [tmp_path / "x.off", tmp_path / "link" / "x-parts.ply"]
    assert output_paths(files, tmp_path / "out", ENDINGS)[0][0].name == "x-parts-2.ply"


def test_columns_are_chosen_and_what_was_read_is_told(trained_run, cloud_files, chair, tmp_path):
    points, shifted = np.load(cloud_files[1]), tmp_path / "shifted.csv"
    np.savetxt(shifted, np.insert(points, 0, 7, axis=1), delimiter=",", fmt="%.9g")
    np.save(tmp_path / "turned.npy", points.T)
    plain, refused, mesh, turned = predict(
        trained_run, [cloud_files[0], shifted, chair, tmp_path / "turned.npy"], device="cpu"
    )
    assert "--columns" in refused.fault
    assert [plain.read, mesh.read] == ["128 points", "mesh"]
    assert turned.read == "turned from 3 x 128; 128 points"
    (chosen,) = predict(trained_run, [shifted], device="cpu", columns="2,3,4")
    for other in (turned, chosen):
        assert other.label == plain.label
        assert other.confidence == pytest.approx(plain.confidence, abs=1e-5)


def test_a_cloud_of_fewer_points_than_in_training_is_told(trained_run, cloud_files, tmp_path):
    few = tmp_path / "few.npy"
    np.save(few, np.repeat(np.load(cloud_files[1])[:20], 5, axis=0))
    enough, told = predict(trained_run, [cloud_files[1], few], device="cpu")
    assert enough.read == "128 points"
    assert told.read == "100 points; fewer distinct points than the 64 used in training"
