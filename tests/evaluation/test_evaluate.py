import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from pointmcd.checkpoint import load_checkpoint, save_checkpoint, under_prefix
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError, StoreError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.evaluation.results import read_result
from pointmcd.files import write_json
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier

CHECKPOINTS = ("last", "best")


def saved(run, checkpoint, split="test"):
    with np.load(run / f"predictions-{split}-{checkpoint}.npz") as file:
        return dict(file)


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    write_json(path, values)


def one_line(error, *parts):
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def evaluated(trained_run, tmp_path_factory):
    """An evaluated run, to be read only, and what `evaluate` returned."""
    run = shutil.copytree(trained_run, tmp_path_factory.mktemp("evaluated") / "run")
    return run, evaluate(run, device="cpu")


def test_predictions_are_of_the_test_part(evaluated, taught_store):
    run, _ = evaluated
    store = Store(taught_store)
    indices = store.indices("test")
    for checkpoint in CHECKPOINTS:
        arrays = saved(run, checkpoint)
        assert arrays["names"].tolist() == [store.shapes[i].name for i in indices]
        assert arrays["labels"].tolist() == store.labels(indices).tolist()
        assert arrays["probabilities"].shape == (6, 3)
        np.testing.assert_allclose(arrays["probabilities"].sum(axis=1), 1, rtol=1e-5)
        assert (arrays["predictions"] == arrays["probabilities"].argmax(axis=1)).all()


def test_probabilities_are_those_of_each_checkpoint(run_copy, taught_store):
    tensors, state = load_checkpoint(run_copy / "best.safetensors")
    tensors["model.head.classifier.weight"] = -5 * tensors["model.head.classifier.weight"]
    save_checkpoint(run_copy / "best.safetensors", tensors, state)
    evaluate(run_copy, device="cpu")
    store = Store(taught_store)
    clouds = torch.from_numpy(store.points(store.indices("test"), 64))
    for checkpoint in CHECKPOINTS:
        tensors, _ = load_checkpoint(run_copy / f"{checkpoint}.safetensors")
        classifier = Classifier(create_student("pointnet"), 3).eval()
        classifier.load_state_dict(under_prefix("model", tensors))
        with torch.inference_mode():
            expected = classifier(clouds).softmax(dim=1).numpy()
        found = saved(run_copy, checkpoint)["probabilities"]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_figures_agree_with_sklearn(evaluated):
    run, results = evaluated
    written = json.loads((run / "test.json").read_text())
    assert written["split"] == "test"
    for checkpoint in CHECKPOINTS:
        arrays = saved(run, checkpoint)
        truth, guess = arrays["labels"], arrays["predictions"]
        figures = written[checkpoint]
        assert figures["overall_accuracy"] == pytest.approx(accuracy_score(truth, guess))
        assert figures["class_accuracy"] == pytest.approx(balanced_accuracy_score(truth, guess))
        matrix = confusion_matrix(truth, guess, labels=range(3))
        shares = matrix.diagonal() / matrix.sum(axis=1)
        assert list(figures["per_class"]) == ["bed", "chair", "lamp"]
        assert list(figures["per_class"].values()) == pytest.approx(shares.tolist())
        assert figures["count"] == results[checkpoint].count == 6
        assert (results[checkpoint].confusion == matrix).all()
        assert figures == results[checkpoint].as_dict()


def test_best_epoch_is_the_first_of_highest_validation_accuracy(evaluated):
    run, _ = evaluated
    lines = (run / "metrics.jsonl").read_text().splitlines()
    scores = [json.loads(line)["val_accuracy"] for line in lines]
    written = json.loads((run / "test.json").read_text())
    assert written["best_epoch"] == scores.index(max(scores)) + 1
    assert written["best_epoch"] == load_checkpoint(run / "best.safetensors")[1]["epoch"]


def test_compare_and_report_can_read_what_it_writes(evaluated):
    run, results = evaluated
    for checkpoint in CHECKPOINTS:
        assert read_result(run, checkpoint).metrics.as_dict() == results[checkpoint].as_dict()


def test_confusion_picture_opens(evaluated):
    run, _ = evaluated
    for checkpoint in CHECKPOINTS:
        with Image.open(run / f"confusion-test-{checkpoint}.png") as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) > 200


def test_again_gives_the_same_and_other_splits_leave_test_alone(evaluated, run_copy):
    evaluate(run_copy, device="cpu")
    assert evaluate(run_copy, "val", device="cpu")["last"].count == 3
    for path in evaluated[0].iterdir():
        assert (run_copy / path.name).read_bytes() == path.read_bytes()
    assert json.loads((run_copy / "val.json").read_text())["split"] == "val"
    assert len(saved(run_copy, "best", "val")["labels"]) == 3


def test_takes_no_views_no_visibility_and_no_teacher(evaluated, run_copy, taught_store, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(
        taught_store, bare, ignore=shutil.ignore_patterns("views", "visibility.npy", "teachers")
    )
    assert not list(bare.rglob("*.png"))
    evaluate(run_copy, store=bare, device="cpu")
    for checkpoint in CHECKPOINTS:
        after = saved(run_copy, checkpoint)
        for key, values in saved(evaluated[0], checkpoint).items():
            assert (after[key] == values).all()


def test_moved_store_is_given_by_hand(run_copy, taught_store, tmp_path):
    edit(run_copy / "run.json", lambda run: run.update(store=str(tmp_path / "gone")))
    with pytest.raises(StoreError) as error:
        evaluate(run_copy, device="cpu")
    one_line(error, tmp_path / "gone")
    assert evaluate(run_copy, store=taught_store, device="cpu")["last"].count == 6


def test_unfinished_run_is_refused(run_copy):
    edit(run_copy / "run.json", lambda run: run.update(finished=False))
    before = files_in(run_copy)
    with pytest.raises(RunError) as error:
        evaluate(run_copy, device="cpu")
    one_line(error, run_copy, "not finished", "pointmcd train")
    assert files_in(run_copy) == before


@pytest.mark.parametrize("key", ["fingerprint", "classes"])
def test_another_store_is_refused(key, run_copy, tiny_store, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_store, other)
    strange = {"fingerprint": "0" * 16, "classes": ["bed", "chair", "lamp", "sofa"]}
    edit(other / "store.json", lambda store: store.update({key: strange[key]}))
    with pytest.raises(RunError) as error:
        evaluate(run_copy, store=other, device="cpu")
    one_line(error, run_copy, other, "another store")


def test_a_store_with_another_split_is_refused(run_copy, tiny_store, tmp_path):
    """Else a run could be tested on the shapes that it was trained on."""
    other = tmp_path / "other"
    shutil.copytree(tiny_store, other)

    def exchange(store):
        swap = {"train": "test", "test": "train", "val": "val"}
        for shape in store["shapes"]:
            shape["split"] = swap[shape["split"]]

    edit(other / "store.json", exchange)
    with pytest.raises(RunError) as error:
        evaluate(run_copy, store=other, device="cpu")
    one_line(error, run_copy, other, "splits")


def test_empty_test_part_is_refused(run_copy, tiny_store, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(tiny_store, store)

    def all_train(values):
        for shape in values["shapes"]:
            shape["split"] = "train"

    edit(store / "store.json", all_train)
    made_on = {"store_fingerprint": Store(store).fingerprint}
    edit(run_copy / "run.json", lambda run: run.update(made_on))
    with pytest.raises(StoreError) as error:
        evaluate(run_copy, store=store, device="cpu")
    one_line(error, store, "no shapes in the test split")
    assert not (run_copy / "test.json").exists()


def test_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError) as error:
        evaluate(tmp_path / "nothing")
    one_line(error, tmp_path / "nothing", "is not a run folder", "pointmcd train")


def test_unknown_device_is_refused(run_copy):
    with pytest.raises(ConfigError) as error:
        evaluate(run_copy, device="abacus")
    one_line(error, "device abacus")


def test_nothing_is_written_where_a_checkpoint_is_damaged(run_copy):
    checkpoint = run_copy / "last.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    before = files_in(run_copy)
    with pytest.raises(RunError) as error:
        evaluate(run_copy, device="cpu")
    one_line(error, checkpoint)
    assert files_in(run_copy) == before
