import numpy as np
import pytest

from pointmcd.errors import PointMCDError
from pointmcd.metrics.classification import classification_metrics


def test_accuracies_by_hand() -> None:
    found = classification_metrics([0, 0, 0, 1], [0, 0, 1, 1], ["bed", "chair"])
    assert found.overall_accuracy == 0.75
    assert found.class_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert found.per_class == {"bed": pytest.approx(2 / 3), "chair": 1.0}
    assert found.confusion.tolist() == [[2, 1], [0, 1]]
    assert found.count == 4


def test_class_without_shapes_has_no_accuracy_and_no_weight() -> None:
    found = classification_metrics([0, 0], [0, 2], ["bed", "chair", "lamp"])
    assert found.per_class == {"bed": 0.5, "chair": None, "lamp": None}
    assert found.class_accuracy == 0.5
    assert found.confusion.shape == (3, 3)


def test_one_class() -> None:
    found = classification_metrics([0, 0], [0, 0], ["bed"])
    assert (found.overall_accuracy, found.class_accuracy) == (1.0, 1.0)
    assert found.confusion.tolist() == [[2]]


def test_figures_for_json_leave_out_the_matrix() -> None:
    found = classification_metrics(np.array([1]), np.array([0]), ["a", "b"]).as_dict()
    assert found == {
        "overall_accuracy": 0.0,
        "class_accuracy": 0.0,
        "per_class": {"a": None, "b": 0.0},
        "count": 1,
    }


@pytest.mark.parametrize(
    ("labels", "predictions", "text"),
    [
        ([], [], "no labelled shapes"),
        ([0, 1], [0], "one length"),
        ([0, 2], [0, 0], "label lies outside the 2 classes"),
        ([0, 1], [0, -1], "prediction lies outside the 2 classes"),
    ],
)
def test_unusable_input_is_named(labels: list[int], predictions: list[int], text: str) -> None:
    with pytest.raises(PointMCDError, match=text):
        classification_metrics(labels, predictions, ["a", "b"])
