import numpy as np
import pytest

from pointmcd.errors import PointMCDError
from pointmcd.metrics.segmentation import segmentation_metrics
from pointmcd.tasks.task import get_task

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
    # Of all points: part 0 is 3 of 4, part 1 is 4 of 5, part 2 is 0 of 4; part 3 does not occur.
    assert found.part_miou == pytest.approx((3 / 4 + 4 / 5) / 3)
    # Most frequent: part 0 of beds (the first of two alike), part 2 of chairs. Beds: 2 of 4 and 0;
    # chair: 4 of 4, and part 3, which is absent from both.
    assert found.constant_miou == pytest.approx((1 / 4 + 1 / 4 + 1) / 3)


def test_unlabelled_points_and_shapes_are_left_out() -> None:
    found = measured([[0, -1, -1, 1], [-1, -1, -1, -1]], [[0, 1, 0, 0], [2, 2, 3, 3]], [0, 1])
    # The bed's two labelled points: part 0 is 1 of 2, part 1 is 0 of 1.
    assert found.instance_miou == found.class_miou == 0.25
    assert found.per_class == {"bed": 0.25, "chair": None, "lamp": None}
    assert found.point_accuracy == 0.5
    assert found.count == 1


def test_absent_parts_flatter_instance_miou_alone() -> None:
    # Ten parts, of which a shape has three at most: as of blocks with machined features.
    truth = np.zeros((4, 20), dtype=np.int64)
    for shape, part in enumerate((1, 2, 3, 4)):
        truth[shape, :4], truth[shape, 4:6] = part, part + 5
    ranges, ids = np.array([[0, 10]]), np.zeros(4, dtype=np.int64)
    constant = segmentation_metrics(truth, np.zeros_like(truth), ids, ranges, ["block"])
    assert constant.instance_miou == constant.constant_miou == pytest.approx((0.7 + 7) / 10)
    assert constant.part_miou == pytest.approx(0.7 / 9)
    # A model that finds most features, but names some points after parts that are not there.
    said = truth.copy()
    said[:, 6:9] = [5, 6, 7]
    said[:, 0] = 5
    better = segmentation_metrics(truth, said, ids, ranges, ["block"])
    assert better.point_accuracy == 0.8 > constant.point_accuracy
    assert better.instance_miou < better.constant_miou
    assert better.part_miou > 4 * constant.part_miou
    task = get_task("segmentation")
    assert task.caution(constant) is None
    assert "is less than the 77.0% of predicting the most frequent part" in task.caution(better)


def test_figures_for_json_leave_out_the_scores() -> None:
    assert measured([[4]], [[4]], [2]).as_dict() == {
        "instance_miou": 1.0,
        "class_miou": 1.0,
        "per_class": {"bed": None, "chair": None, "lamp": 1.0},
        "part_miou": 1.0,
        "constant_miou": 1.0,
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


def test_intervals_of_all_points_together() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (60, 50))
    said = np.where(random.random(truth.shape) < 0.8, truth, 1 - truth)
    said[:20] = truth[:20]  # shapes differ in how well they are labelled
    labels = np.zeros(60, dtype=np.int64)
    found = segmentation_metrics(truth, said, labels, RANGES[:1], CLASSES[:1])
    low, high = found.other_intervals["point accuracy"]
    each = (truth == said).mean(axis=1)  # as many points in each: the mean over shapes
    half = 1.96 * each.std(ddof=1) / np.sqrt(60)
    assert low == pytest.approx(each.mean() - half, abs=0.003)
    assert high == pytest.approx(each.mean() + half, abs=0.003)
    low, high = found.other_intervals["part mIoU"]
    assert low < found.part_miou < high
    few = segmentation_metrics(truth[::6], said[::6], labels[::6], RANGES[:1], CLASSES[:1])
    ends = few.other_intervals["part mIoU"]
    assert ends[1] - ends[0] > 1.5 * (high - low)


def test_no_interval_is_empty() -> None:
    """Wilson's of 3 of 3."""
    perfect = measured([[0, 1], [0, 1], [2, 3]], [[0, 1], [0, 1], [2, 3]], [0, 0, 1])
    for low, high in perfect.other_intervals.values():
        assert (low, high) == (pytest.approx(0.4385, abs=1e-4), 1.0)
    one = measured([[0, 1, -1], [-1, -1, -1]], [[0, 0, 0], [2, 2, 2]], [0, 1])
    for low, high in one.other_intervals.values():
        assert 0 <= low < high <= 1


def test_a_part_that_few_shapes_have_is_in_every_resample() -> None:
    """Else the interval could lie above the value, where such parts are not found."""
    truth = np.zeros((40, 30), dtype=np.int64)
    for shape in range(15):
        truth[shape, :3] = shape + 1
    said = np.zeros_like(truth)
    said[15, :5] = 1  # so that resamples differ
    ids, ranges = np.zeros(40, dtype=np.int64), np.array([[0, 16]])
    found = segmentation_metrics(truth, said, ids, ranges, ["block"])
    low, high = found.other_intervals["part mIoU"]
    assert 0.05 < low < found.part_miou < high < 0.07
