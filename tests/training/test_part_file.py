"""Training with a part file: teacher, run, evaluation and prediction."""

import pytest
import torch
from part_files import part_file, part_rows
from store_copies import copy_store

from pointmcd.data.label_file import labels_digest
from pointmcd.data.part_labels import read_parts, write_parts
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.inference.predict import predict
from pointmcd.tasks.results import known_labels
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
PARTS = {"task": "segmentation", "objective": ()}


@pytest.fixture(scope="module")
def store(parts_store, tmp_path_factory):
    return copy_store(parts_store, tmp_path_factory.mktemp("few-parts") / "store")


@pytest.fixture(scope="module")
def parts(store, tmp_path_factory):
    return part_file(tmp_path_factory.mktemp("parts") / "parts.csv", store, each=2)


def test_a_few_shapes_with_parts_teach_a_teacher_and_a_student(make, store, parts):
    digest = labels_digest(parts)
    torch.manual_seed(0)
    made = teach(
        TeachConfig(store, task="segmentation", labels=parts, epochs=1, device="cpu", batch_size=4)
    )
    assert made.name == f"lite0-segmentation-labels-{digest}"
    path = train(make("a", store, labels=parts, **(PARTS | {"teacher": "lite0"})))
    run = Run(path)
    assert run.meta["teacher"]["name"] == made.name
    assert run.meta["shapes"] == {"train": 4, "val": 0, "test": 8}
    count = len(read_parts(parts))
    assert known_labels(run.meta, run.settings)["label file"] == f"of {count} labels"
    assert run.config.objectives == ("point_logits:1",)  # as few labels are known
    assert [row[:4] for row in read_parts(run.label_file)] == [row[:4] for row in read_parts(parts)]
    assert all(record["task_loss"] > 0 for record in run.metrics())
    found = evaluate(path, device="cpu")  # upon the store's own labels of its test split
    assert set(found) == {"last", "best", "teacher"}


def test_a_run_of_parts_has_no_folds(make, store, parts):
    run = train(make("a", store, labels=parts, **PARTS))
    with pytest.raises(RunError, match="folds are for runs that classify shapes"):
        evaluate(run, "folds", device="cpu")


def test_shapes_without_classes_or_parts(make, tiny_store, furniture_root, tmp_path):
    path = copy_store(tiny_store, tmp_path / "bare", lambda record: record.update({"class": None}))
    file = part_file(tmp_path / "parts.csv", path, names=["top", "foot"])
    run = train(make("a", path, labels=file, **PARTS))
    mesh = next((furniture_root / "bed" / "test").glob("*.off"))
    (found,) = predict(run, [mesh], device="cpu")
    assert found.label == "shape"
    assert set(found.parts) == {"foot", "top"}
    with pytest.raises(Exception, match="no shapes with labelled points"):
        evaluate(run, device="cpu")


def test_classes_without_parts_are_not_predicted(make, tiny_store, furniture_root, tmp_path):
    path = copy_store(tiny_store, tmp_path / "store")
    opened = Store(path)
    some = [i for i in opened.indices("train") if opened.shapes[i].label != "lamp"]
    write_parts(tmp_path / "parts.csv", part_rows(opened, some, names=["a", "b"]))
    run = train(make("a", path, labels=tmp_path / "parts.csv", **PARTS))
    mesh = next((furniture_root / "lamp" / "test").glob("*.off"))
    (found,) = predict(run, [mesh], device="cpu")
    assert "the model needs the class;" in found.fault
    with pytest.raises(ConfigError, match=r"--label lamp: is not a class of .* bed, chair"):
        predict(run, [mesh], device="cpu", label="lamp")


def test_tasks_of_classes_refuse_it(make, store, parts):
    message = "names parts, which --task classification does not learn; use --task segmentation"
    with pytest.raises(ConfigError, match=message):
        train(make("a", store, labels=parts))
    with pytest.raises(ConfigError, match=message):
        teach(TeachConfig(store, labels=parts, device="cpu"))
