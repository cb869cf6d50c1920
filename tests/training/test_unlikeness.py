"""Shapes that are unlike all those whose labels a run knew."""

import json

import numpy as np
import pytest
import torch

from pointmcd.checkpoint import load_checkpoint, save_checkpoint
from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.inference.predict import predict
from pointmcd.training import unlikeness
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.unlikeness import LABELLED, Labelled, keep_labelled, labelled_of


@pytest.fixture
def mesh(furniture_root):
    return min((furniture_root / "lamp" / "test").glob("*.off"))


def naive(run, store, indices):
    """Embeddings of unit length, one shape after the other."""
    student = load_model(run, "last", torch.device("cpu")).student.eval()
    with torch.inference_mode():
        rows = [
            student(torch.from_numpy(store.points(indices[i : i + 1], 64))).embeddings[0].amax(0)
            for i in range(len(indices))
        ]
    return np.stack([row / row.norm() for row in rows])


def test_few_validation_shapes_leave_the_labelled_ones_to_set_the_limit(trained_run, taught_store):
    run, store = Run(trained_run), Store(taught_store)
    known = labelled_of(run, "last")
    rows = naive(run, store, store.indices("train"))
    np.testing.assert_allclose(known.embeddings, rows, atol=1e-3)
    distances = 1 - rows @ rows.T
    nearest = [np.delete(row, i).min() for i, row in enumerate(distances)]
    assert known.limit == pytest.approx(np.quantile(nearest, 0.9), abs=1e-5)
    near = known.unlikeness(torch.from_numpy(3 * rows[0]))  # its length does not matter
    assert near == pytest.approx(0, abs=0.05)
    far = known.unlikeness(torch.from_numpy(-rows[0]))
    assert far == pytest.approx((1 + rows @ rows[0]).min() / known.limit, rel=1e-2)


def test_held_out_shapes_set_the_limit_where_there_are_enough(run_copy, taught_store, monkeypatch):
    monkeypatch.setattr(unlikeness, "LEAST_SHAPES", 3)
    run, store = Run(run_copy), Store(taught_store)
    keep_labelled(run, store)
    held, known = (naive(run, store, store.indices(split)) for split in ("val", "train"))
    wanted = np.quantile((1 - held @ known.T).min(axis=1), 0.9)
    assert labelled_of(run, "last").limit == pytest.approx(wanted, abs=1e-3)


def test_one_labelled_shape_sets_no_limit(run_copy, taught_store, monkeypatch):
    monkeypatch.setattr(unlikeness, "labelled_train", lambda *_: np.array([0]))
    (run_copy / unlikeness.LABELLED).unlink()
    keep_labelled(Run(run_copy), Store(taught_store))
    assert labelled_of(Run(run_copy), "last") is None


def test_of_many_shapes_some_of_each_class_are_kept(run_copy, taught_store, monkeypatch):
    monkeypatch.setattr(unlikeness, "MOST", 3)
    run, store = Run(run_copy), Store(taught_store)
    keep_labelled(run, store)
    train = store.indices("train")
    np.testing.assert_allclose(
        labelled_of(run, "best").embeddings.norm(dim=1), np.ones(3), atol=1e-3
    )
    kept = naive(run, store, train[[0, len(train) // 2, -1]])
    np.testing.assert_allclose(labelled_of(run, "last").embeddings, kept, atol=1e-3)
    assert len(set(store.labels(train[[0, len(train) // 2, -1]]))) == 3


def test_predictions_are_marked(cli, run_copy, mesh):
    file = run_copy / LABELLED
    tensors, state = load_checkpoint(file)
    for limit, unlike in ((1e-4, True), (2.0, False)):
        limits = {"last": limit, "best": 2e-4 / limit}
        save_checkpoint(file, tensors, state | {"limits": limits})
        (found,) = predict(run_copy, mesh, device="cpu")
        assert found.unlike is unlike
        assert found.cells()["unlike"] == ("yes" if unlike else "")
        assert float(found.row()["unlikeness"]) == pytest.approx(found.unlikeness, abs=0.01)
        _, out, _ = cli("predict", run_copy, mesh, "--device", "cpu", "--json")
        assert json.loads(out)[0]["unlikeness"] == found.unlikeness
        (other,) = predict(run_copy, mesh, device="cpu", checkpoint="best")
        assert other.unlike is not unlike


def test_runs_without_that_file_mark_nothing(run_copy, mesh):
    (run_copy / LABELLED).unlink()
    (found,) = predict(run_copy, mesh, device="cpu")
    assert found.unlike is None
    assert not {"unlike", "unlikeness"} & (found.cells() | found.row()).keys()


def test_a_damaged_file_is_one_line(run_copy, mesh):
    (run_copy / LABELLED).write_bytes(b"none")
    with pytest.raises(RunError, match=r"labelled\.safetensors: not a readable checkpoint"):
        predict(run_copy, mesh, device="cpu")


def test_parts_and_pretraining_have_none(trained_parts_run, parts_store):
    assert not (trained_parts_run / LABELLED).exists()
    keep_labelled(Run(trained_parts_run), Store(parts_store))
    assert not (trained_parts_run / LABELLED).exists()


def test_copies_among_the_labelled_shapes():
    one = torch.tensor([[0.6, 0.8]])
    assert Labelled(one, 0.0).unlikeness(torch.tensor([0.8, -0.6])) == pytest.approx(1e6)
    assert Labelled(one, 0.5).unlikeness(torch.tensor([0.8, -0.6])) == pytest.approx(2)
