"""Segmentation and classification as tasks: what a model is given and how it is judged."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_student import TinyStudent
from torch import nn

from pointmcd.data.dataset import Batch
from pointmcd.errors import StoreError
from pointmcd.metrics.part_iou import shape_ious
from pointmcd.students.base import PointFeatures
from pointmcd.tasks.segmentation import Segmenter
from pointmcd.tasks.task import get_task

RANGES = np.array([[0, 2], [2, 5], [5, 6]])
CPU = torch.device("cpu")


class Given(nn.Module):
    """A student that gives what it is given."""

    num_features = 3

    def forward(self, points):
        return PointFeatures(points)


class Spoken(Segmenter):
    """Logits that are written into the points: the first two are the parts it would choose."""

    def __init__(self):
        super().__init__(Given(), len(RANGES), RANGES)

    def forward(self, points, labels):
        first, second = (nn.functional.one_hot(points[:, :, i].round().long(), 6) for i in (0, 1))
        return 4.0 * first + 2.0 * second + 0.1 * torch.arange(6)


@pytest.fixture(scope="module")
def shapes():
    """Seven shapes of 20 points: what the model says, the truth, the classes."""
    random = np.random.default_rng(3)
    labels = np.array([0, 1, 1, 2, 0, 1, 1])
    start, stop = RANGES[labels].T[:, :, None]
    truth = random.integers(start, stop, (7, 20))
    said = random.integers(0, 6, (7, 20, 2))
    said[:, ::2, 0] = truth[:, ::2]  # half of the points are right
    points = np.concatenate([said, np.zeros((7, 20, 1))], axis=2)
    return Batch(*(torch.from_numpy(a) for a in (points.astype(np.float32), labels, truth)))


def batches(shapes, size):
    for at in range(0, len(shapes.labels), size):
        yield Batch(*(column[at : at + size] for column in shapes[:3]))


def validated(shapes, size):
    return get_task("segmentation").validate(Spoken().eval(), batches(shapes, size), CPU)


def test_validation_by_hand(shapes):
    points, labels, truth = (column.numpy() for column in shapes[:3])
    ious, right, losses = [], [], []
    for said, label, true in zip(points, labels, truth, strict=True):
        start, stop = RANGES[label]
        logits = np.full((20, 6), 0.1) * np.arange(6)
        for column, weight in ((0, 4.0), (1, 2.0)):
            logits[np.arange(20), said[:, column].astype(int)] += weight
        guess = start + logits[:, start:stop].argmax(1)
        ious += shape_ious(true[None], guess[None], [0], [[start, stop]]).tolist()
        right += (guess == true).tolist()
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        losses += (-log_p[np.arange(20), true]).tolist()
    by_class = [np.mean(np.array(ious)[labels == label]) for label in range(3)]
    found = validated(shapes, 7)
    assert tuple(found) == get_task("segmentation").metrics
    assert found["val_instance_miou"] == pytest.approx(np.mean(ious))
    assert found["val_class_miou"] == pytest.approx(np.mean(by_class))
    assert found["val_point_accuracy"] == pytest.approx(np.mean(right))
    assert found["val_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert 0 < found["val_instance_miou"] < 1
    assert found["val_instance_miou"] != pytest.approx(found["val_class_miou"], abs=1e-3)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_validation_does_not_depend_on_the_batch_size(shapes, size):
    assert validated(shapes, size) == pytest.approx(validated(shapes, 7), rel=1e-5)


def test_a_class_that_does_not_occur_does_not_count(shapes):
    some = Batch(*(column[:3] for column in shapes[:3]))  # one of class 0, two of class 1
    found = validated(some, 2)
    one, two = (validated(Batch(*(c[i : i + 1] for c in shapes[:3])), 1) for i in (1, 2))
    first = validated(Batch(*(c[:1] for c in shapes[:3])), 1)["val_instance_miou"]
    second = (one["val_instance_miou"] + two["val_instance_miou"]) / 2
    assert found["val_class_miou"] == pytest.approx((first + second) / 2)


def test_all_right_is_one(shapes):
    points = shapes.points.clone()
    points[:, :, 0] = shapes.parts
    found = validated(shapes._replace(points=points), 3)
    figures = ("val_instance_miou", "val_class_miou", "val_part_miou", "val_point_accuracy")
    assert [found[name] for name in figures] == [1.0] * 4


def test_what_the_model_and_the_loss_are_given(shapes):
    task = get_task("segmentation")
    points, labels = task.inputs(shapes)
    assert points is shapes.points
    assert labels is shapes.labels
    logits = torch.randn(7, 20, 6)
    loss = nn.functional.cross_entropy(logits.permute(0, 2, 1), shapes.parts)
    assert float(task.loss(logits, shapes, 0.0)) == pytest.approx(float(loss), rel=1e-6)
    right = (logits.argmax(dim=2) == shapes.parts).float().mean()
    assert float(task.training_metrics(logits, shapes)["train_accuracy"]) == pytest.approx(
        float(right)
    )
    assert task.best in task.metrics


def test_classification_is_given_points_alone():
    task = get_task("classification")
    batch = Batch(torch.randn(4, 8, 3), torch.tensor([0, 1, 1, 0]))
    assert task.inputs(batch) == (batch.points,)
    logits = torch.tensor([[2.0, 0], [0, 2], [2, 0], [2, 0]])
    loss = nn.functional.cross_entropy(logits, batch.labels)
    assert float(task.loss(logits, batch, 0.0)) == pytest.approx(float(loss), rel=1e-6)
    assert float(task.training_metrics(logits, batch)["train_accuracy"]) == 0.75
    found = task.validate(lambda points: logits[: len(points)], [batch], CPU)
    loss = float(nn.functional.cross_entropy(logits, batch.labels))
    expected = {"val_loss": loss, "val_accuracy": 0.75, "val_class_accuracy": 0.75}
    assert found == pytest.approx(expected)
    assert tuple(found) == task.metrics


def test_points_without_label_do_not_count():
    task = get_task("segmentation")
    logits = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    parts = torch.tensor([[0, -1, 2, 1, -1], [-1, 1, 1, -1, 2]])
    batch = Batch(torch.zeros(2, 5, 3), torch.zeros(2, dtype=torch.int64), parts)
    known = parts >= 0
    loss = nn.functional.cross_entropy(logits[known], parts[known])
    assert float(task.loss(logits, batch, 0.0)) == pytest.approx(float(loss), rel=1e-6)
    right = (logits.argmax(dim=2) == parts)[known].float().mean()
    assert float(task.training_metrics(logits, batch)["train_accuracy"]) == pytest.approx(right)
    bare = batch._replace(parts=torch.full((2, 5), -1))
    assert float(task.loss(logits, bare, 0.1)) == 0

    class Fixed(Segmenter):
        def forward(self, points, labels):
            return logits[: len(points)]

    model = Fixed(TinyStudent(), 1, np.array([[0, 3]]))
    found = task.validate(model, [batch], CPU)
    assert found["val_loss"] == pytest.approx(float(loss), rel=1e-6)
    assert found["val_point_accuracy"] == pytest.approx(float(right))


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_two_labels_are_enough_and_one_is_not(task):
    for count in (2, 3):
        store = SimpleNamespace(classes=["a"] * count, num_parts=count)
        store.is_labelled, store.indices = lambda index: True, lambda split: [0]
        get_task(task).check_store(store)
    with pytest.raises(StoreError, match="needs at least two"):
        get_task(task).check_store(
            SimpleNamespace(path="s", classes=["a"], num_parts=1, parts=None)
        )


def test_validation_shapes_without_a_labelled_point_are_refused():
    splits = {"train": [0], "val": [1]}
    store = SimpleNamespace(path="s", num_parts=2, indices=splits.get)
    store.is_labelled = lambda index: index == 0
    with pytest.raises(StoreError, match="s: no validation shape has a point with a label"):
        get_task("segmentation").check_store(store)
    splits["val"] = []
    get_task("segmentation").check_store(store)


def test_a_store_of_parts_is_not_sent_to_be_labelled():
    store = SimpleNamespace(path="s", classes=["block"], parts={"block": ["pocket", "stock"]})
    with pytest.raises(StoreError, match=r"1 classes; .* for its parts add --task segmentation;"):
        get_task("classification").check_store(store)


def test_classes_are_compared_by_the_shapes_that_one_alone_got_right():
    ours, theirs = np.array([1.0, 1, 1, 0, 0, 1]), np.array([0.0, 0, 1, 1, 0, 0])
    found = get_task("classification").paired_test(ours, theirs)
    assert (found.gained, found.lost) == (3, 1)
