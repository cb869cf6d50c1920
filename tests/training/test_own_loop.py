"""Runs of another loop than `train`: every later command takes them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import pointmcd
from pointmcd.errors import ConfigError, RunError
from pointmcd.tasks.task import Labels
from pointmcd.training.own_loop import save_run
from pointmcd.training.run import Run

STUDENT = "tiny_student:TinyStudent"
HISTORY = [{"task_loss": 1.0, "val_accuracy": 0.25}, {"task_loss": 0.5, "val_accuracy": 0.5}]


@pytest.fixture
def config(tiny_store):
    return pointmcd.TrainConfig(
        tiny_store, student=STUDENT, teacher=None, points=32, batch_size=4, device="cpu"
    )


@pytest.fixture
def model():
    torch.manual_seed(3)
    return pointmcd.create_model(STUDENT, num_classes=3).eval()


def test_it_is_evaluated_compared_predicted_with_and_reported(config, model, tmp_path):
    saved = save_run(tmp_path / "mine", model, config, HISTORY)
    run = Run(saved)
    assert run.finished
    assert [one["task_loss"] for one in run.metrics()] == [1.0, 0.5]
    assert run.config.epochs == 2
    assert not list(saved.glob(".*"))
    other = pointmcd.train(replace(config, epochs=1, out=tmp_path / "theirs"))
    metrics = pointmcd.evaluate(saved, device="cpu")
    pointmcd.evaluate(other, device="cpu")
    store = pointmcd.Store(config.store)
    rows = store.indices("test")
    with torch.inference_mode():
        said = model(torch.from_numpy(store.points(rows, 32))).argmax(dim=1).numpy()
    assert metrics["last"].main["overall accuracy"] == np.mean(said == store.labels(rows))
    assert metrics["best"].main == metrics["last"].main
    compared = pointmcd.compare([saved], [other])
    assert compared.variants[0].score.mean == pytest.approx(
        metrics["last"].main["overall accuracy"]
    )
    page = pointmcd.write_report([saved], tmp_path / "report.html", [other])
    assert "mine" in page.read_text()
    np.save(tmp_path / "cloud.npy", store.points(rows[:1], 64)[0])
    (found,) = pointmcd.predict(saved, [tmp_path / "cloud.npy"], device="cpu")
    assert found.label == store.classes[said[0]]


def test_parts_and_a_best_epoch(parts_store, tmp_path):
    store = pointmcd.Store(parts_store)
    config = pointmcd.TrainConfig(
        parts_store, task="segmentation", student=STUDENT, teacher=None, points=32, device="cpu"
    )
    labels = Labels.of(store)
    last, best = (config.described_task.build_model(STUDENT, labels).eval() for _ in range(2))
    saved = save_run(tmp_path / "run", last, config, best=best)
    found = pointmcd.evaluate(saved, device="cpu")
    assert found["last"].main != found["best"].main


def test_train_does_not_take_it_for_its_own(config, model, tmp_path):
    save_run(tmp_path / "run", model, config, HISTORY)
    again = replace(config, out=tmp_path / "run", epochs=2)
    with pytest.raises(RunError, match="holds a run that differs in loop"):
        pointmcd.train(again)


def test_a_run_is_replaced_only_on_demand(config, model, tmp_path):
    folder = tmp_path / "run"
    save_run(folder, model, config, HISTORY)
    before = (folder / "last.safetensors").read_bytes()
    torch.manual_seed(4)
    other = pointmcd.create_model(STUDENT, num_classes=3)
    with pytest.raises(RunError, match="run: holds a run; choose another folder, or overwrite=T"):
        save_run(folder, other, config)
    assert (folder / "last.safetensors").read_bytes() == before
    save_run(folder, other, replace(config, overwrite=True))
    assert (folder / "last.safetensors").read_bytes() != before
    assert Run(folder).metrics() == []
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(RunError, match="notes: is not a run folder; choose another"):
        save_run(tmp_path / "notes", model, replace(config, overwrite=True))


def test_what_does_not_fit_is_refused_before_anything_is_written(config, model, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(RunError, match="model: made for another model"):
        save_run(folder, torch.nn.Linear(3, 3), config)
    with pytest.raises(RunError, match=r"number of classes: head.* is \[4"):
        save_run(folder, pointmcd.create_model(STUDENT, num_classes=4), config)
    with pytest.raises(RunError, match="model: made for another model"):
        save_run(folder, model, config, best=torch.nn.Linear(3, 3))
    with pytest.raises(ConfigError, match=r"history\[1\]: .*; a record holds numbers"):
        save_run(folder, model, config, [*HISTORY[:1], {"val_accuracy": None}])
    assert not folder.exists()


def test_the_random_numbers_of_the_loop_go_on(config, model, tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    save_run(tmp_path / "run", model, config)
    assert torch.equal(torch.rand(3), wanted)
    meta = json.loads((tmp_path / "run" / "run.json").read_text())
    assert meta["settings"]["loop"] == "own"
