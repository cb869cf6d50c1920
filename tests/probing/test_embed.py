"""Embeddings of a store's shapes, their files, and the search by them."""

import csv
import sys
import types

import numpy as np
import pytest
import torch
from store_copies import copy_store

from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, RunError, ShapeError, StoreError
from pointmcd.files import write_json
from pointmcd.inference.export import export_run
from pointmcd.inference.guesses import guess
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.probing.embed import Embeddings, embed, similar, similarities
from pointmcd.shapes.clouds import read_points
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

CLASSES = ("bed", "chair", "lamp")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def found(taught_store, trained_run):
    return embed(taught_store, trained_run, device="cpu")


def test_a_students_embeddings_are_maxima_over_points(taught_store, trained_run, found):
    store = Store(taught_store)
    assert found.names == tuple(shape.name for shape in store.shapes)
    assert found.labels == tuple(shape.label for shape in store.shapes)
    assert found.splits == tuple(shape.split for shape in store.shapes)
    model = load_model(Run(trained_run), "last", pick_device("cpu")).eval()
    points = torch.from_numpy(store.points(np.array([4]), 64))
    with torch.inference_mode():
        wanted = model.student(points).embeddings.max(dim=1).values[0]
    np.testing.assert_allclose(found.features[4], wanted, rtol=1e-5, atol=1e-6)


def test_labels_are_those_that_the_run_learnt(taught_store, trained_run, run_copy):
    names = [Store(taught_store).shapes[i].name for i in (0, 7)]
    (run_copy / "labels.csv").write_text(f"path,class\n{names[0]},stool\n{names[1]},bench\n")
    found = embed(taught_store, run_copy, device="cpu")
    known = dict(zip(found.names, found.labels, strict=True))
    assert [known[name] for name in names] == ["stool", "bench"]
    meta = Run(run_copy).meta
    write_json(run_copy / "run.json", meta | {"own_fingerprint": "of another store"})
    found = embed(taught_store, run_copy, device="cpu")
    assert found.labels == tuple(shape.label for shape in Store(taught_store).shapes)


@pytest.mark.parametrize("pooling", ["max", "mean", "both"])
def test_a_teachers_are_its_descriptors_pooled(taught_store, pooling):
    features = embed(taught_store, teacher="lite0", pooling=pooling).features
    rows = map_output(Store(taught_store), "lite0", "descriptors", np.arange(18))[:]
    both = {"max": rows.max(axis=1), "mean": rows.mean(axis=1)}
    wanted = both.get(pooling, np.concatenate([*both.values()], axis=1))
    np.testing.assert_allclose(features, wanted, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"run": "r", "teacher": "lite0"}])
def test_one_of_run_and_teacher(taught_store, options):
    with pytest.raises(ConfigError, match="give --run RUN or --teacher NAME"):
        embed(taught_store, **options)


def test_what_is_not_there(taught_store, tmp_path):
    with pytest.raises(StoreError, match="no teacher nobody"):
        embed(taught_store, teacher="nobody")
    with pytest.raises(RunError, match="is not a run folder"):
        embed(taught_store, run=tmp_path)


EXAMPLE = Embeddings(
    ("a,b", "椅子"),
    ("chair", None),
    ("train", "test"),
    np.array([[1.5, -2], [0.1, 3e9]], np.float32),
)


def test_a_table_of_embeddings(tmp_path):
    with EXAMPLE.save(tmp_path / "e.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["name", "class", "split", "e0", "e1"]
    assert rows[1] == ["a,b", "chair", "train", "1.5", "-2"]
    assert rows[2][:3] == ["椅子", "", "test"]
    np.testing.assert_array_equal(np.array(rows[2][3:], np.float32), EXAMPLE.features[1])


def test_arrays_of_embeddings(tmp_path):
    with np.load(EXAMPLE.save(str(tmp_path / "e.npz"))) as arrays:
        assert {name: arrays[name].tolist() for name in ("names", "labels", "splits")} == {
            "names": ["a,b", "椅子"],
            "labels": ["chair", ""],
            "splits": ["train", "test"],
        }
        np.testing.assert_array_equal(arrays["features"], EXAMPLE.features)


def test_a_parquet_file_gets_the_same_columns(tmp_path, monkeypatch):
    written = {}
    arrow, parquet = types.ModuleType("pyarrow"), types.ModuleType("pyarrow.parquet")
    arrow.table = dict
    parquet.write_table = lambda table, path: (written.update(table), path.write_bytes(b"x"))
    monkeypatch.setitem(sys.modules, "pyarrow", arrow)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)
    EXAMPLE.save(tmp_path / "e.parquet")
    assert [*written] == ["name", "class", "split", "e0", "e1"]
    assert written["e1"].tolist() == EXAMPLE.features[:, 1].tolist()


def test_what_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"e\.txt: must end in \.npz, \.csv, \.parquet"):
        EXAMPLE.save(tmp_path / "e.txt")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'pointmcd\[parquet\]'"):
        EXAMPLE.save(tmp_path / "e.parquet")
    assert not [*tmp_path.iterdir()]


def test_neighbours_are_ordered_by_the_cosine(taught_store, trained_run, furniture_root, found):
    mesh = next((furniture_root / "bed" / "test").glob("*.off"))
    model = load_model(Run(trained_run), "last", pick_device("cpu")).eval()
    points = torch.from_numpy(read_points(mesh, 64, seed=0))[None]
    with torch.inference_mode():
        query = model.student(points).embeddings.max(dim=1).values[0].numpy()
    rows = np.vstack([query, found.features]) - found.features.mean(axis=0)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit[1:] @ unit[0]
    order = np.argsort(-cosines, kind="stable")[:5]
    neighbours = similar(trained_run, mesh, taught_store, 5, device="cpu")
    assert [one.name for one in neighbours] == [found.names[i] for i in order]
    assert [one.label for one in neighbours] == [found.labels[i] for i in order]
    assert [one.similarity for one in neighbours] == pytest.approx(cosines[order], abs=1e-5)
    assert {one.guess for one in neighbours} == {None}  # all have a label


def test_similarities_tell_parallel_embeddings_apart():
    rows = np.array([[9.0, 9.1], [9.1, 9.0], [9.2, 9.2], [9.0, 9.0]], np.float32)
    found = similarities(rows, rows[0])
    assert found[0] == pytest.approx(1, abs=1e-6)
    assert found[1] < 0 < 1 - found[3]


@pytest.mark.parametrize("count", [1, 3])
def test_equal_shapes_have_the_plain_cosine(count):
    rows = np.repeat(np.array([[3.0, 4.0]], np.float32), count, axis=0)
    np.testing.assert_allclose(similarities(rows, np.array([4.0, 3.0])), 0.96)


def test_shapes_without_a_label_have_a_guess(taught_store, trained_run, furniture_root, tmp_path):
    store = copy_store(
        taught_store, tmp_path / "store", lambda record: record.update({"class": None})
    )
    mesh = next((furniture_root / "bed" / "test").glob("*.off"))
    bare = similar(trained_run, mesh, store, 4, device="cpu")
    every = guess(trained_run, Store(store), "cpu")
    names = [shape.name for shape in Store(store).shapes]
    for one in bare:
        assert one.label is None
        assert one.guess == every.classes[every.probabilities[names.index(one.name)].argmax()]


def test_a_file_of_the_store_is_equal_to_itself(taught_store, tiny_store, trained_run):
    mesh = min((tiny_store.parent / "meshes" / "chair" / "train").glob("*.off"))
    nearest, *_ = similar(trained_run, mesh, taught_store, 3, device="cpu")
    assert nearest.name.endswith(mesh.stem)
    assert nearest.similarity == pytest.approx(1)
    assert nearest.file == str(mesh)


@pytest.mark.parametrize("name", ["lite0", "features", "autoencoder"])
def test_a_teacher_finds_what_its_store_was_made_of(taught_store, tiny_store, tmp_path, name):
    """The file is rendered as the store was: a mesh of the store is found, and equal to itself."""
    store = copy_store(taught_store, tmp_path / "store")
    if name != "lite0":
        epochs = {"epochs": 1} if name == "autoencoder" else {}
        teach(TeachConfig(store, task=name, name=name, device="cpu", **epochs))
    mesh = min((tiny_store.parent / "meshes" / "chair" / "train").glob("*.off"))
    folder = store / "teachers" / name
    nearest, *_ = similar(folder, mesh, store, 3, device="cpu")
    assert nearest.name.endswith(mesh.stem)
    assert nearest.similarity > 0.99
    with pytest.raises(ConfigError, match="--checkpoint best: is for runs"):
        similar(folder, mesh, store, checkpoint="best", device="cpu")


def test_a_teacher_of_another_store_is_refused(taught_store, tiny_store, tmp_path):
    store = copy_store(
        tiny_store, tmp_path / "store", lambda record: record.update(name=record["name"] + "x")
    )
    mesh = next((tiny_store.parent / "meshes" / "chair").glob("*/*.off"))
    with pytest.raises(StoreError, match="is a teacher of another store than"):
        similar(taught_store / "teachers" / "lite0", mesh, store, device="cpu")


def test_more_neighbours_than_shapes(taught_store, trained_run, furniture_root):
    mesh = next((furniture_root / "bed" / "test").glob("*.off"))
    assert len(similar(trained_run, mesh, taught_store, 100, device="cpu")) == 18


def test_what_cannot_be_searched(taught_store, trained_run, tmp_path):
    (tmp_path / "a.off").write_text("OFF\n")
    with pytest.raises(ShapeError):
        similar(trained_run, tmp_path / "a.off", taught_store, device="cpu")
    with pytest.raises(ConfigError, match="--count 0: must be at least 1"):
        similar(trained_run, tmp_path / "a.off", taught_store, 0)


def test_exported_weights_embed_as_their_run_does(
    taught_store, trained_run, furniture_root, found, tmp_path
):
    folder = export_run(trained_run, "safetensors", tmp_path / "weights")
    exported = embed(taught_store, folder, device="cpu")
    np.testing.assert_array_equal(exported.features, found.features)
    mesh = next((furniture_root / "bed" / "test").glob("*.off"))
    neighbours = similar(folder, mesh, taught_store, 3, device="cpu")
    assert neighbours == similar(trained_run, mesh, taught_store, 3, device="cpu")
    with pytest.raises(ConfigError, match="--checkpoint best: is for runs"):
        embed(taught_store, folder, checkpoint="best", device="cpu")


def test_weights_that_come_along_find_similar_shapes(furniture_root, tmp_path):
    meshes = [sorted((furniture_root / name / "train").glob("*.off"))[0] for name in CLASSES]
    for name, mesh in zip(CLASSES, meshes, strict=True):
        (tmp_path / "meshes" / name).mkdir(parents=True)
        (tmp_path / "meshes" / name / mesh.name).write_bytes(mesh.read_bytes())
    store = tmp_path / "store"
    prepare(PrepareConfig(tmp_path / "meshes", store, points=1024, workers=1, test_fraction=0))
    for name, mesh in zip(CLASSES, meshes, strict=True):
        nearest, *_ = similar("pointnet2-furniture10", mesh, store, device="cpu")
        assert (nearest.label, nearest.name) == (name, f"{name}/{mesh.stem}")
