import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from plyfile import PlyData

from pointmcd.checkpoint import load_checkpoint, load_module, save_checkpoint, under_prefix
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, PointMCDError, RunError
from pointmcd.files import read_json, write_json
from pointmcd.inference.predict import class_by_folder, predict
from pointmcd.inference.predictor import told_class
from pointmcd.plots.colours import part_colours
from pointmcd.shapes.clouds import read_cloud, read_points
from pointmcd.tasks.file_parts import face_parts
from pointmcd.tasks.task import Labels, get_task
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import create_run

POINTS = 64
TWO_CLASSES = Labels(["a", "b"], {"a": ["1", "2"], "b": ["1", "2", "3"]})


def save(run, model):
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    save_checkpoint(run / "last.safetensors", tensors, {"epoch": 1})


@pytest.fixture
def run(parts_store, tmp_path):
    """An untrained PointNet that labels beds (low, high) and chairs (legs, seat, back)."""
    torch.manual_seed(0)
    store = Store(parts_store)
    config = TrainConfig(parts_store, tmp_path / "run", task="segmentation", points=POINTS)
    made = create_run(replace(config, teacher=None), store, None, 0)
    save(made.path, get_task("segmentation").build_model("pointnet", Labels.of(store)))
    made.finish()
    return made.path


@pytest.fixture
def chair(labelled_meshes):
    return min((labelled_meshes / "chair").glob("*.off"))


@pytest.fixture
def label(run, tmp_path):
    def call(*files, **options):
        options = {"out": tmp_path / "parts", "device": "cpu"} | options
        return predict(run, files, **options)

    return call


@pytest.mark.parametrize(("ours", "theirs"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_class_in_another_form_of_unicode(ours, theirs):
    known, told = (unicodedata.normalize(form, "Stühle") for form in (ours, theirs))
    labels = Labels([known, "b"], {known: ["1"], "b": ["1"]})
    assert told_class("run", get_task("segmentation"), labels, told) == known
    assert class_by_folder(labels.known, Path(told) / "train" / "a.off") == known


def test_mesh_gets_its_parts_a_cloud_and_a_picture(label, run, chair, tmp_path):
    (found,) = label(chair)
    assert (found.path, found.label, found.fault) == (chair, "chair", None)
    assert list(found.parts) == ["legs", "seat", "back"]
    assert sum(found.parts.values()) == pytest.approx(1)
    assert found.ply == tmp_path / "parts" / f"{chair.stem}-parts.ply"
    with Image.open(found.picture) as picture:
        assert picture.format == "PNG"

    model = get_task("segmentation").build_model("pointnet", TWO_CLASSES)
    tensors, _ = load_checkpoint(run / "last.safetensors")
    load_module(model, under_prefix("model", tensors), "last")
    points = torch.from_numpy(read_points(chair, POINTS, seed=0))[None]
    with torch.inference_mode():
        logits = model.eval()(points, torch.tensor([1]))
    wanted = model.limited(logits, torch.tensor([1])).argmax(dim=2)[0].numpy()
    cloud = trimesh.load(found.ply)
    np.testing.assert_array_equal(cloud.vertices.astype(np.float32), points[0])
    np.testing.assert_array_equal(cloud.metadata["_ply_raw"]["vertex"]["data"]["part"], wanted)
    np.testing.assert_array_equal(cloud.colors[:, :3], part_colours(3)[wanted - 2])
    surface = read_cloud(chair, POINTS, 0)[1]
    assert found.seg == tmp_path / "parts" / f"{chair.stem}-parts.seg"
    of_faces = np.loadtxt(found.seg, dtype=int)
    np.testing.assert_array_equal(of_faces, face_parts(surface, points[0].numpy(), wanted - 2))
    assert len(of_faces) == surface.mesh.origin.count
    shares = [np.mean(wanted == part) for part in (2, 3, 4)]
    assert list(found.parts.values()) == pytest.approx(shares)


def test_corrected_parts_are_kept(label, chair):
    (found,) = label(chair)
    predicted = found.seg.read_text()
    label(chair)  # the same again
    assert [*found.seg.parent.glob("*.old*")] == []
    for number, ending in enumerate((".old", ".old2")):
        found.seg.write_text(f"{number}\n{predicted}")
        label(chair)
        assert found.seg.read_text() == predicted
        kept = found.seg.with_name(found.seg.name + ending)
        assert kept.read_text() == f"{number}\n{predicted}"


def test_no_faces_of_another_file_are_left(label, chair, tmp_path):
    """Of two meshes in a scene nobody knows which comes first."""
    mesh = trimesh.load(chair)
    stl, glb = tmp_path / "a" / "x.stl", tmp_path / "b" / "x.glb"
    for file in (stl, glb):
        file.parent.mkdir()
    mesh.export(stl)
    trimesh.Scene([mesh, mesh.copy().apply_translation((9, 0, 0))]).export(glb)
    (first,) = label(stl, label="chair")
    assert len(first.seg.read_text().split()) == len(mesh.faces)
    assert first.read == "mesh"
    (second,) = label(glb, label="chair")
    assert second.ply == first.ply
    assert second.seg is None
    assert not first.seg.exists()
    assert len(first.seg.with_name(f"{first.seg.name}.old").read_text().split()) == len(mesh.faces)
    assert second.read == "mesh; no .seg: its order of faces is unknown"


def test_class_is_read_from_folders_as_prepare_reads_them(label, chair, tmp_path):
    files = [
        tmp_path / name for name in ("bed/a.off", "set/bed/test/b.off", "Chair/c.off", "d.off")
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(chair, file)
    found = label(*files)
    assert [p.label for p in found] == ["bed", "bed", None, None]
    assert list(found[0].parts) == ["low", "high"]
    for prediction in found[2:]:
        assert str(prediction.path) in prediction.fault
        assert "--label" in prediction.fault
        assert "bed, chair" in prediction.fault


def test_relative_file_in_a_class_folder(label, chair, monkeypatch):
    monkeypatch.chdir(chair.parent)
    assert label(Path(chair.name))[0].label == "chair"


def test_label_wins_over_the_folder(label, chair):
    (found,) = label(chair, label="bed")
    assert (found.label, list(found.parts)) == ("bed", ["low", "high"])


def test_unknown_label(label, chair, run, tmp_path):
    with pytest.raises(ConfigError, match=r"label sofa.*bed, chair") as error:
        label(chair, label="sofa")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "parts").exists()


def test_run_of_one_class_needs_no_label(label, run, chair, tmp_path):
    meta = read_json(run / "run.json")
    one = {"classes": ["seat"], "num_classes": 1, "parts": {"seat": ["a", "b"]}}
    write_json(run / "run.json", meta | one)
    save(run, get_task("segmentation").build_model("pointnet", Labels(["a"], {"a": ["1", "2"]})))
    assert label(shutil.copy(chair, tmp_path / "x.off"), label=None)[0].label == "seat"


def test_bad_files_are_told_of_and_the_rest_goes_on(label, chair, tmp_path):
    bad = tmp_path / "bad.off"
    bad.write_text("OFF\n3 1 0\n")
    files = [bad, chair, tmp_path / "absent.xyz", chair]
    found = label(*files, label="chair")
    assert [p.path for p in found] == files
    assert [p.fault is None for p in found] == [False, True, False, True]
    for prediction in (found[0], found[2]):
        assert str(prediction.path) in prediction.fault
        assert "\n" not in prediction.fault
        assert (prediction.parts, prediction.ply, prediction.picture) == ({}, None, None)
    assert found[1].parts == found[3].parts
    assert found[1].ply != found[3].ply  # given twice, written twice
    assert len(list((tmp_path / "parts").iterdir())) == 6


def test_small_cloud_is_written_without_repeats(label, tmp_path):
    cloud = tmp_path / "five.xyz"
    np.savetxt(cloud, np.random.default_rng(0).normal(size=(5, 3)))
    (found,) = label(cloud, label="chair")
    assert len(trimesh.load(found.ply).vertices) == 5


def test_a_scan_is_coloured_in_its_own_place(label, tmp_path):
    scan = np.random.default_rng(0).normal([5e5, 4649776, 10], size=(300, 3))
    scan[[3, 8]] = np.nan
    np.save(tmp_path / "utm.npy", scan)
    (found,) = label(tmp_path / "utm.npy", label="chair")
    vertices = PlyData.read(found.ply)["vertex"]
    kept = np.delete(scan, [3, 8], axis=0)
    np.testing.assert_array_equal(np.stack([vertices[axis] for axis in "xyz"], axis=1), kept)
    of_points = np.loadtxt(found.seg, dtype=int)
    assert np.flatnonzero(of_points < 0).tolist() == [3, 8]
    first = 2  # beds have two parts
    np.testing.assert_array_equal(vertices["part"], np.delete(of_points, [3, 8]) + first)


def test_what_was_written_can_be_labelled_in_its_own_folder(label, chair, tmp_path):
    (first,) = label(chair)
    before = first.ply.read_bytes()
    second, again = label(first.ply, chair, label="chair")
    assert first.ply.read_bytes() == before
    assert {second.ply, again.ply} & {first.ply} == set()


def test_folder_that_cannot_be_written(label, chair, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PointMCDError, match="cannot be written"):
        label(chair, out=tmp_path / "file")


def test_needs_no_store(label, run, chair):
    before = label(chair)
    write_json(run / "run.json", read_json(run / "run.json") | {"store": "/gone"})
    assert label(chair) == before


def test_without_a_folder_nothing_is_written(label, chair, tmp_path):
    (found,) = label(chair, out=None)
    assert found == replace(label(chair)[0], ply=None, picture=None, seg=None)
    assert len(list((tmp_path / "parts").iterdir())) == 3  # of the second call


def test_refused_at_once_even_without_files(tmp_path):
    with pytest.raises(RunError, match="is not a run folder"):
        predict(tmp_path, [])
