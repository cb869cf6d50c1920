"""What stores, runs and results look like where they are printed, and as frames."""

import sys
import types

import numpy as np
import pytest
from synthetic_runs import Bench

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.evaluation.compare import compare
from pointmcd.metrics.classification import classification_metrics
from pointmcd.metrics.segmentation import segmentation_metrics
from pointmcd.probing.embed import Embeddings
from pointmcd.training.run import Run


def test_a_store_and_a_run(taught_store, trained_run):
    text = repr(Store(taught_store))
    assert text == f"<Store {taught_store}: 18 shapes, 3 classes, 9 train, 3 val, 6 test>"
    assert repr(Run(trained_run)).startswith(f"<Run {trained_run}: ")
    assert repr(Run(trained_run)).endswith("finished>")


@pytest.fixture
def comparison(tmp_path):
    bench = Bench(tmp_path, classes=("<bed>", "chair", "lamp"))
    return compare(bench.variant("distilled", 0.9, (0, 1)), bench.variant("baseline", 0.6, (0, 1)))


def test_a_comparison_is_a_table(comparison):
    assert "| distilled | 2 (0, 1) |" in repr(comparison)
    html = comparison._repr_html_()
    assert html.count("<tr>") == 3
    assert "<td>distilled</td>" in html
    assert "<th>variant</th>" in html


@pytest.fixture
def frames(monkeypatch):
    """Frames are what pandas would be given."""
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=lambda rows: rows))


def test_a_notebook_shows_a_store_by_classes_and_splits(taught_store, tmp_path, frames):
    store = Store(taught_store)
    html = store._repr_html_()
    assert "<th>class</th><th>train</th><th>val</th><th>test</th>" in html
    assert "<td>bed</td><td>3</td><td>1</td><td>2</td>" in html
    assert html.count("<tr>") == 4
    bare = store.without_labels(store.classes)
    assert "<td>(no label)</td><td>9</td><td>3</td><td>6</td>" in bare._repr_html_()
    rows = store.to_frame()
    first = store.shapes[0]
    assert rows[0] == {"name": first.name, "class": first.label, "split": first.split}
    assert len(rows) == 18


def test_a_notebook_shows_the_last_epochs_of_a_run(trained_run, run_copy, frames):
    html = Run(trained_run)._repr_html_()
    assert "<th>epoch</th><th>lr</th>" in html
    assert html.count("<tr>") == 3
    assert Run(trained_run).to_frame() == Run(trained_run).metrics()
    (run_copy / "metrics.jsonl").unlink()
    assert Run(run_copy)._repr_html_().count("<tr>") == 1


def test_metrics_are_one_line_and_a_table_of_classes(frames):
    found = classification_metrics([0, 0, 1], [0, 1, 1], ["<bed>", "chair", "lamp"])
    assert repr(found) == "<overall accuracy 66.7%, mean class accuracy 75.0%; 3 shapes>"
    assert "<td>&lt;bed&gt;</td><td>50.0%</td>" in found._repr_html_()
    assert "<td>lamp</td><td></td>" in found._repr_html_()
    assert found.to_frame()[1:] == [
        {"class": "chair", "score": 1.0},
        {"class": "lamp", "score": None},
    ]
    truth = np.array([[0, 1], [1, 1]])
    parts = segmentation_metrics(truth, truth, np.array([0, 0]), np.array([[0, 2]]), ["bed"])
    assert repr(parts).startswith("<instance mIoU 100.0%, class mIoU 100.0%, part mIoU 100.0%")
    assert parts.to_frame() == [{"class": "bed", "score": 1.0}]


def test_embeddings(frames):
    made = Embeddings(("a", "b"), ("bed", None), ("train", "test"), np.eye(2, dtype=np.float32))
    assert repr(made) == "<Embeddings of 2 shapes: 2 features each>"
    frame = made.to_frame()
    assert list(frame) == ["name", "class", "split", "e0", "e1"]
    assert frame["e1"].tolist() == [0, 1]


def test_a_frame(comparison, monkeypatch):
    frame = types.SimpleNamespace(DataFrame=list)
    monkeypatch.setitem(sys.modules, "pandas", frame)
    assert [row["variant"] for row in comparison.to_frame()] == ["baseline", "distilled"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"to_frame: needs pandas; pip install 'pointmcd\[pand"):
        comparison.to_frame()
