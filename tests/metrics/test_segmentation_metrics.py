import numpy as np
import pytest

from pointmcd.errors import PointMCDError
from pointmcd.metrics.segmentation import segmentation_metrics

CLASSES = ["bed", "chair", "lamp"]
RANGES = np.array([[0, 2], [2, 4], [4, 5]])


def measured(truth: list[list[int]], predictions: list[list[int]], labels: list[int]):
    arrays = (np.array(values, dtype=np.int16) for values in (truth, predictions))
    return segmentation_metrics(*arrays, np.array(labels), RANGES, CLASSES)


def test_figures_by_hand() -> None:
    # Bed 1: part 0 is 1 of 2, part 1 is 2 of 3: 7/12; 3 of 4 points.
    # Bed 2: all right: 1; 4 of 4. Chair: part 2 is 0 of 4, part 3 is 0 of 4: 0; 0 of 4.
    found = measured(
        [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2]],
        [[0, 1, 1, 1], [0, 0, 1, 1], [3, 3, 3, 3]],
        [0, 0, 1],
    )
    assert found.scores.tolist() == pytest.approx([7 / 12, 1, 0])
    assert found.instance_miou == pytest.approx(19 / 36)
    assert found.per_class == {"bed": pytest.approx(19 / 24), "chair": 0.0, "lamp": None}
    assert found.class_miou == pytest.approx(19 / 48)
    assert found.point_accuracy == pytest.approx(7 / 12)
    assert found.count == 3


def test_unlabelled_points_and_shapes_are_left_out() -> None:
    found = measured([[0, -1, -1, 1], [-1, -1, -1, -1]], [[0, 1, 0, 0], [2, 2, 3, 3]], [0, 1])
    # The bed's two labelled points: part 0 is 1 of 2, part 1 is 0 of 1.
    assert found.instance_miou == found.class_miou == 0.25
    assert found.per_class == {"bed": 0.25, "chair": None, "lamp": None}
    assert found.point_accuracy == 0.5
    assert found.count == 1


def test_figures_for_json_leave_out_the_scores() -> None:
    assert measured([[4]], [[4]], [2]).as_dict() == {
        "instance_miou": 1.0,
        "class_miou": 1.0,
        "per_class": {"bed": None, "chair": None, "lamp": 1.0},
        "point_accuracy": 1.0,
        "count": 1,
    }


@pytest.mark.parametrize(
    ("truth", "predictions", "text"),
    [([[-1, -1]], [[0, 0]], "no shapes with labelled points"), ([[0]], [[2]], "prediction 2")],
)
def test_unusable_input_is_named(truth, predictions, text: str) -> None:
    with pytest.raises(PointMCDError, match=text):
        measured(truth, predictions, [0])
