"""A segmentation teacher labels files and is exported as it labels the shapes of its store."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import yaml
from safetensors.torch import load_file
from scipy.spatial import cKDTree
from store_copies import copy_store

from pointmcd.data.dataset import NO_LOGIT
from pointmcd.data.store import Store
from pointmcd.datasets.sources import ShapeSource
from pointmcd.datasets.tree import TreeFile
from pointmcd.encoders.image_encoder import as_images
from pointmcd.errors import ConfigError
from pointmcd.inference.export import export_run
from pointmcd.inference.predict import predict
from pointmcd.inference.teacher import open_teacher
from pointmcd.preparation.prepare_shape import prepare_shape
from pointmcd.tasks.task import InputFile, Labels, get_task
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach
from pointmcd.views.rig import Rig

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def teacher(parts_store, tmp_path_factory):
    """A segmentation teacher of a few steps, in a store of its own. To be read only."""
    store = copy_store(parts_store, tmp_path_factory.mktemp("parts-teacher") / "store")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    few = {"epochs": 4, "batch_size": 4, "views_per_step": 2}
    folder = teach(TeachConfig(store, task="segmentation", device="cpu", **few))
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def store(teacher):
    return Store(teacher.parents[1])


def mesh(labelled_meshes, store, index):
    (file,) = labelled_meshes.rglob(f"{store.shapes[index].name.rpartition('/')[2]}.off")
    return file


def said_in_store(store, indices):
    """Parts of the points [n, N], counted from 0 in the class, as `evaluate` takes them."""
    task, known, labels = get_task("segmentation"), Labels.of(store), store.labels(indices)
    answer = map_output(store, "lite0-segmentation", "point_logits", indices)[:]
    truth = task.truth(store, indices)
    arrays = task.teacher_predictions(torch.from_numpy(answer).float(), labels, known, truth)
    return arrays["predictions"] - known.part_ranges[labels, :1]


def test_it_labels_the_stores_own_meshes_as_in_the_store(teacher, store, labelled_meshes):
    indices = store.indices("test")
    files = [mesh(labelled_meshes, store, int(index)) for index in indices]
    found = predict(teacher, files, device="cpu")
    assert [(one.fault, one.read) for one in found] == [(None, "mesh")] * len(files)
    assert [one.label for one in found] == [store.classes[i] for i in store.labels(indices)]
    wanted, agreeing = said_in_store(store, indices), []
    for one, index, parts in zip(found, indices, wanted, strict=True):
        points = store.points(np.array([index]), store.num_points)[0]
        nearest = cKDTree(points).query(one.points)[1]  # the file's name draws other points
        agreeing.append((one.point_parts == parts[nearest]).mean())
        shares = np.bincount(one.point_parts, minlength=len(one.parts)) / len(one.points)
        assert [*one.parts.values()] == pytest.approx(shares)
    assert np.mean(agreeing) > 0.7  # of this teacher, parts are ragged
    assert any(len(np.unique(parts)) > 1 for parts in wanted)


def test_its_answers_for_the_points_of_the_store_are_the_stored_ones(
    teacher, store, labelled_meshes
):
    lesson = open_teacher(teacher, torch.device("cpu")).lesson
    rig = Rig.from_json(store.rig)
    for index in (0, 9):
        file, name = mesh(labelled_meshes, store, index), store.shapes[index].name
        source = ShapeSource(name, None, None, TreeFile(file, str(file)))
        shape = prepare_shape(source, store.num_points, rig, store.meta["seed"])
        with torch.inference_mode():
            said = lesson.answer(shape, rig, int(store.labels(np.array([index]))[0]))
        rows = map_output(store, "lite0-segmentation", "point_logits", np.array([index]))[:][0]
        assert np.allclose(said.half(), rows, atol=1e-2)


def test_files_on_the_command_line(teacher, labelled_meshes, store, cli, tmp_path):
    file = mesh(labelled_meshes, store, 0)
    label = store.classes[store.labels(np.array([0]))[0]]
    alone = tmp_path / file.name
    alone.write_bytes(file.read_bytes())
    bad = tmp_path / "bad.off"
    bad.write_text("OFF\n3 1 0\n")
    out = tmp_path / "parts"
    options = ("--label", label, "--out", out, "--device", "cpu", "--json")
    status, printed, error = cli("predict", teacher, alone, bad, *options)
    assert status == 1
    assert error.startswith(f"pointmcd: {bad}: ")
    first, second = json.loads(printed)
    assert first["class"] == label
    assert sum(first["parts"].values()) == pytest.approx(1)
    assert [*map(str, sorted(out.iterdir()))] == sorted(first["written"])
    assert second["error"].startswith(f"{bad}: ")
    cloud = trimesh.load(out / f"{file.stem}-parts.ply")
    assert len(cloud.vertices) == store.num_points
    status, printed, error = cli("predict", teacher, alone, "--out", out, "--device", "cpu")
    assert status == 1
    assert f"{alone}: the model needs the class; give --label" in error
    with pytest.raises(ConfigError, match="--label cat: is not a class of"):
        predict(teacher, [alone], label="cat")


def test_points_that_no_view_sees_are_of_the_main_part(teacher, store):
    """As in the store, of each shape alone."""
    task, known = get_task("segmentation"), Labels.of(store)
    label = next(name for name in store.classes if len(store.parts[name]) > 1)
    start, stop = known.part_ranges[known.classes.index(label)]
    logits = torch.full((5, int(np.ptp(known.part_ranges, axis=1).max())), NO_LOGIT)
    logits[:4, : stop - start] = 0
    logits[:3, 1] = 2.0
    file = InputFile(Path("chair.off"), np.zeros((5, 3), np.float32), label)
    output = task.teacher_output(logits, file, known)
    assert output.shape == (5, store.num_parts)
    assert output[4].argmax() == start + 1
    others = [part for part in range(store.num_parts) if not start <= part < stop]
    assert torch.isneginf(output[:, others]).all()


@pytest.mark.slow
def test_the_onnx_file_labels_the_pixels(teacher, store, tmp_path):
    ort = pytest.importorskip("onnxruntime")
    path = export_run(teacher, out=tmp_path / "teacher.onnx")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["images", "labels"]
    indices = np.array([0, 7, 13])
    images = as_images(torch.from_numpy(np.stack([store.views(int(i)) for i in indices])))
    labels = store.labels(indices)
    (logits,) = session.run(["logits"], {"images": images.numpy(), "labels": labels})
    assert logits.shape == (3, 3, store.num_parts + 1, 64, 64)
    lesson = open_teacher(teacher, torch.device("cpu")).lesson
    for index, label, of_shape in zip(indices, labels, logits, strict=True):
        start, stop = store.part_ranges[label]
        own = np.concatenate([of_shape[:, start:stop], of_shape[:, -1:]], axis=1).argmax(axis=1)
        said = np.where(own == stop - start, -1, own + start)
        with torch.inference_mode():
            assert (said == lesson.predict(int(index))).mean() > 0.999
    about = json.loads(session.get_modelmeta().custom_metadata_map["parts"])
    assert about.keys() == set(store.classes)


def test_its_card(teacher, store, tmp_path):
    folder = export_run(teacher, "safetensors", tmp_path / "weights")
    model = open_teacher(teacher, torch.device("cpu")).model
    model.load_state_dict(load_file(folder / "model.safetensors"))
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(header)["tags"] == ["multi-view", "lite0", "segmentation"]
    for line in (
        "- Second input: the class of each shape, int64 [B]",
        f"- Parts of {store.classes[1]}, from logit {store.part_ranges[1, 0]} on: ",
        "renders files and labels their points;",
        "- val_pixel_miou: ",
    ):
        assert line in text, line


def test_its_weights_are_for_other_programs(teacher, tmp_path, cli):
    export_run(teacher, "safetensors", tmp_path / "weights")
    with pytest.raises(ConfigError, match="holds a teacher's weights, for other programs; predict"):
        predict(tmp_path / "weights", [])
    status, _, error = cli("view", teacher)
    assert status == 1
    assert error == f"pointmcd: {teacher}: is a teacher; give files, and the teacher as --run\n"
