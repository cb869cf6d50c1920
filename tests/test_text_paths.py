"""Paths as text, wherever a public function or a config takes a path."""

import inspect
import re
import shutil
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import pointmcd
from pointmcd.data.labels import LabelRow, read_labels, write_labels

TINY = {"student": "tiny_student:TinyStudent", "epochs": 1, "points": 32, "batch_size": 4}


@pytest.fixture
def text(tmp_path, monkeypatch):
    """A function from names to relative paths in a folder of the test, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return str


@pytest.fixture
def mesh(text):
    Path("a.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    return "a.off"


def test_from_meshes_to_a_report(tiny_store, text, mesh):
    source, rig, device = (
        str(tiny_store.parent / "meshes"),
        str(tiny_store.parent / "rig.json"),
        "cpu",
    )
    pointmcd.prepare(pointmcd.PrepareConfig(source, "store", points=64, rig=rig, workers=1))
    store = pointmcd.Store("store")
    assert len(store.shapes) == 18
    write_labels("labels.csv", [LabelRow(one.name, str(one.label)) for one in store.shapes])
    assert len(read_labels("labels.csv")) == 18
    pointmcd.Store("store", labels="labels.csv")
    pointmcd.teach(pointmcd.TeachConfig("store", epochs=1, device=device))
    config = pointmcd.TrainConfig("store", out="run", device=device, **TINY)
    run = pointmcd.train(config)
    pointmcd.evaluate("run", store="store", device=device)
    base = str(pointmcd.train(pointmcd.TrainConfig("store", teacher=None, device=device, **TINY)))
    pointmcd.evaluate(base, device=device)
    pointmcd.compare(["run"], [base])
    assert pointmcd.write_report(["run"], "report.html", [base]).exists()
    assert pointmcd.predict("run", mesh, device=device)[0].fault is None
    pointmcd.embed("store", "run", device=device).save("e.npz")
    assert pointmcd.similar("run", mesh, "store", device=device)
    pointmcd.export_run("run", "exported")
    assert pointmcd.map_output(store, "lite0", "logits", store.indices("train")).shape[1] == 3
    assert pointmcd.view("store", ".").exists()
    assert pointmcd.shape_map("store", run="run", device=device).save(".").exists()
    page = pointmcd.label_page("store", labels="labels.csv", run="run", device=device)
    assert pointmcd.write_label_page(page, ".").exists()
    pointmcd.train_seeds(pointmcd.TrainConfig("store", out="seeds", device=device, **TINY), [0])
    assert run.name == "run"


def path_arguments(function):
    """Arguments that take a `Path`, and whether text too; not those that are functions."""
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = inspect.formatannotation(parameter.annotation)
        kinds = set(re.findall(r"\b(?:Path|str)\b", annotation))
        if "Path" in kinds and "Callable" not in annotation:
            yield f"{function.__name__}: {name}", "str" in kinds


def test_every_public_function_says_that_it_takes_text():
    public = [getattr(pointmcd, name) for name in pointmcd.__all__ if name != "__version__"]
    # Settings turn text into paths themselves: the test of all of them is above.
    others = (is_dataclass, lambda one: isinstance(one, type) and issubclass(one, Exception))
    called = [one for one in public if not any(test(one) for test in others)]
    found = dict(pair for one in called for pair in path_arguments(one))
    assert len(found) > 20
    assert [name for name, text in found.items() if not text] == []


def test_a_run_of_another_loop(tiny_store, text):
    config = pointmcd.TrainConfig(str(tiny_store), teacher=None, device="cpu", **TINY)
    model = pointmcd.create_model(TINY["student"], num_classes=3)
    assert pointmcd.save_run("run", model, config).samefile("run")


def test_probing_and_starting_from_a_run(taught_store, text):
    shutil.copytree(taught_store, "store")
    first = pointmcd.TrainConfig("store", teacher=None, out="first", device="cpu", **TINY)
    pointmcd.train(first)
    again = pointmcd.TrainConfig("store", teacher=None, init="first", device="cpu", **TINY)
    pointmcd.train(again)
    assert pointmcd.probe(pointmcd.ProbeConfig("first", "store", device="cpu"))
    curve = pointmcd.TrainConfig("store", teacher=None, out="curve", device="cpu", **TINY)
    assert pointmcd.learning_curve(curve, shares=(1.0,))


def test_shapes_and_sources(tiny_store, mesh):
    assert len(pointmcd.read_mesh(mesh).faces) == 1
    from pointmcd.datasets.registry import find_shapes

    assert find_shapes(str(tiny_store.parent / "meshes"))
