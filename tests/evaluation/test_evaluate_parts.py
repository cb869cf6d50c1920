import json
import shutil

import numpy as np
import pytest
import torch

from pointmcd.checkpoint import load_checkpoint, under_prefix
from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.evaluation.results import read_result
from pointmcd.metrics.part_iou import shape_ious
from pointmcd.tasks.task import Labels, get_task

CHECKPOINTS = ("last", "best")


def saved(run, checkpoint, split="test"):
    with np.load(run / f"predictions-{split}-{checkpoint}.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def evaluated(trained_parts_run, tmp_path_factory):
    """An evaluated segmentation run, to be read only, and what `evaluate` returned."""
    run = shutil.copytree(trained_parts_run, tmp_path_factory.mktemp("evaluated") / "run")
    return run, evaluate(run, device="cpu")


@pytest.fixture
def parts_run_copy(trained_parts_run, tmp_path):
    return shutil.copytree(trained_parts_run, tmp_path / "run")


def test_truth_and_predictions_are_of_the_test_part(evaluated, parts_store):
    run, _ = evaluated
    store = Store(parts_store)
    indices = store.indices("test")
    points = json.loads((run / "run.json").read_text())["settings"]["points"]
    for checkpoint in CHECKPOINTS:
        arrays = saved(run, checkpoint)
        assert arrays["names"].tolist() == [store.shapes[i].name for i in indices]
        assert arrays["labels"].tolist() == store.labels(indices).tolist()
        assert (arrays["truth"] == store.part_labels(indices, points)).all()
        assert arrays["truth"].dtype == arrays["predictions"].dtype == np.int16


def test_predictions_are_the_likeliest_parts_of_the_class(evaluated, parts_store):
    run, _ = evaluated
    store = Store(parts_store)
    labels = torch.from_numpy(store.labels(store.indices("test")))
    for checkpoint in CHECKPOINTS:
        arrays = saved(run, checkpoint)
        tensors, _ = load_checkpoint(run / f"{checkpoint}.safetensors")
        model = get_task("segmentation").build_model("pointnet", Labels.of(store)).eval()
        model.load_state_dict(under_prefix("model", tensors))
        clouds = store.points(store.indices("test"), arrays["truth"].shape[1])
        with torch.inference_mode():
            logits = model(torch.from_numpy(clouds), labels)
        for row, label in enumerate(labels):
            start, stop = store.part_ranges[label]
            own = start + logits[row, :, start:stop].argmax(dim=1).numpy()
            assert (arrays["predictions"][row] == own).all()


def test_figures_follow_from_the_predictions(evaluated, parts_store):
    run, results = evaluated
    store = Store(parts_store)
    written = json.loads((run / "test.json").read_text())
    assert written["split"] == "test"
    for checkpoint in CHECKPOINTS:
        arrays, figures = saved(run, checkpoint), written[checkpoint]
        ious = np.concatenate(
            [
                shape_ious(truth[None], predicted[None], [0], store.part_ranges[[label]])
                for truth, predicted, label in zip(
                    arrays["truth"], arrays["predictions"], arrays["labels"], strict=True
                )
            ]
        )
        means = [ious[arrays["labels"] == label].mean() for label in range(2)]
        assert figures["instance_miou"] == pytest.approx(ious.mean())
        assert list(figures["per_class"]) == ["bed", "chair"]
        assert list(figures["per_class"].values()) == pytest.approx(means)
        assert figures["class_miou"] == pytest.approx(np.mean(means))
        assert figures["point_accuracy"] == np.mean(arrays["truth"] == arrays["predictions"])
        assert figures["count"] == 8
        assert figures == results[checkpoint].as_dict()


def test_compare_can_read_what_it_writes(evaluated):
    run, results = evaluated
    for checkpoint in CHECKPOINTS:
        assert read_result(run, checkpoint).score == results[checkpoint].instance_miou
        variant = compare([run], checkpoint=checkpoint).variants[0]
        assert variant.class_score.mean == results[checkpoint].class_miou


def test_again_gives_the_same_and_no_confusion_of_classes(evaluated, parts_run_copy):
    evaluate(parts_run_copy, device="cpu")
    assert not list(parts_run_copy.glob("confusion*"))
    for path in evaluated[0].iterdir():
        assert (parts_run_copy / path.name).read_bytes() == path.read_bytes()


def test_other_splits_leave_test_alone(parts_run_copy):
    found = evaluate(parts_run_copy, "val", device="cpu")["last"]
    assert found.count == len(saved(parts_run_copy, "last", "val")["truth"]) == 4
    assert not (parts_run_copy / "test.json").exists()


def test_store_without_parts_is_another_store(parts_run_copy, parts_store, tmp_path):
    other = shutil.copytree(parts_store, tmp_path / "other")
    described = json.loads((other / "store.json").read_text())
    described.pop("parts")
    (other / "store.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match="another store"):
        evaluate(parts_run_copy, store=other, device="cpu")


def test_checkpoint_of_other_parts_is_refused(parts_run_copy):
    described = json.loads((parts_run_copy / "run.json").read_text())
    described["parts"]["bed"].append("pillow")
    (parts_run_copy / "run.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match=r"last\.safetensors: made for another model") as error:
        evaluate(parts_run_copy, device="cpu")
    assert "\n" not in str(error.value)
    assert not (parts_run_copy / "test.json").exists()
