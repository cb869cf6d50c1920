import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.errors import PointMCDError
from pointmcd.metrics.part_iou import mean_ious, shape_ious

# Two classes: "chair" has parts 0, 1, 2 and "lamp" parts 3, 4.
RANGES = np.array([[0, 3], [3, 5]])


def naive(truth, predicted, start, stop):
    """The protocol word by word, point by point."""
    ious = []
    for part in range(start, stop):
        intersection = union = 0
        for t, p in zip(truth, predicted, strict=True):
            if t == -1:
                continue
            intersection += t == part and p == part
            union += t == part or p == part
        ious.append(1.0 if union == 0 else intersection / union)
    return sum(ious) / len(ious)


def shape_iou(truth, predicted, start, stop):
    return shape_ious(np.array([truth]), np.array([predicted]), [0], [[start, stop]]).item()


def test_worked_by_hand():
    # Part 0: common 2 (points 0, 1), union 3 (points 0, 1, 2): 2/3.
    # Part 1: common 1 (point 3), union 3 (points 2, 3, 4): 1/3.
    # Part 2: common 0, union 1 (point 4): 0.
    truth = [0, 0, 0, 1, 1]
    predicted = [0, 0, 1, 1, 2]
    assert shape_iou(truth, predicted, 0, 3) == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)


def test_part_absent_in_truth_and_prediction_counts_one():
    # Part 0: 2 of 3. Part 1: 1 of 2. Part 2 occurs in neither: 1.
    assert shape_iou([0, 0, 0, 1], [0, 0, 1, 1], 0, 3) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_part_absent_in_truth_alone_counts_zero():
    # Part 0: 3 of 4. Part 1 is predicted once and never true: 0. Part 2: 1.
    assert shape_iou([0, 0, 0, 0], [0, 0, 0, 1], 0, 3) == pytest.approx((3 / 4 + 0 + 1) / 3)


def test_part_absent_in_prediction_alone_counts_zero():
    assert shape_iou([0, 0, 1, 1], [0, 0, 0, 0], 0, 2) == pytest.approx((2 / 4 + 0) / 2)


def test_class_of_one_part_is_always_whole():
    assert shape_iou([7, 7], [7, 7], 7, 8) == 1.0


@pytest.mark.parametrize(("predicted", "score"), [(3, 1.0), (4, 0.0)])
def test_one_point(predicted, score):
    assert shape_iou([3], [predicted], 3, 5) == score


def test_unlabelled_points_count_nowhere():
    # Without the two unlabelled points: part 0 is 1 of 1, part 1 is 1 of 1, part 2 is absent.
    # Were they in the unions, parts 0 and 2 would lose.
    assert shape_iou([0, 1, -1, -1], [0, 1, 0, 2], 0, 3) == 1.0


@pytest.mark.parametrize("truth", [[], [-1, -1]])
def test_shape_without_a_labelled_point_has_no_score(truth):
    assert math.isnan(shape_iou(np.array(truth, dtype=np.int16), [0] * len(truth), 0, 3))


@st.composite
def segmented(draw):
    count, points = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    labels = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    rows = [
        [
            draw(st.lists(st.sampled_from(list(ids)), min_size=points, max_size=points))
            for ids in two
        ]
        for two in (((-1, *range(*RANGES[k])), range(*RANGES[k])) for k in labels)
    ]
    return [row[0] for row in rows], [row[1] for row in rows], labels


@settings(max_examples=100, deadline=None)
@given(segmented())
def test_agrees_with_the_naive_loop(case):
    truth, predicted, labels = case
    found = shape_ious(np.array(truth, np.int16), np.array(predicted, np.int16), labels, RANGES)
    assert found.dtype == np.float64
    for t, p, label, score in zip(truth, predicted, labels, found, strict=True):
        expected = math.nan if set(t) == {-1} else naive(t, p, *RANGES[label])
        assert score == pytest.approx(expected, nan_ok=True)
        assert shape_iou(t, p, *RANGES[label]) == pytest.approx(expected, nan_ok=True)


def test_no_shapes_have_no_scores():
    nothing = np.zeros((0, 8), dtype=np.int16)
    assert shape_ious(nothing, nothing, np.zeros(0, dtype=np.int64), RANGES).shape == (0,)


@pytest.mark.parametrize(
    ("truth", "predicted", "labels", "text"),
    [
        ([[0, 1]], [[0, 3]], [0], r"shape 0: prediction 3 .* parts 0 to 2"),
        ([[3, 4], [-1, 4]], [[3, 4], [2, 4]], [1, 1], "shape 1: prediction 2"),
        ([[0, 4]], [[0, 1]], [0], "true part 4"),
        ([[0, -2]], [[0, 1]], [0], "true part -2"),
        ([[0, 1]], [[0]], [0], "do not match"),
        ([0, 1], [0, 1], [0], "do not match"),
        ([[0, 1]], [[0, 1]], [0, 0], "do not match"),
        ([[0, 1]], [[0, 1]], [2], "outside the 2 classes"),
        ([[0, 1]], [[0, 1]], [-1], "outside the 2 classes"),
        ([[0.0, math.nan]], [[0, 1]], [0], "integers are needed"),
    ],
)
def test_unusable_input_is_named(truth, predicted, labels, text):
    with pytest.raises(PointMCDError, match=text):
        shape_ious(truth, predicted, labels, RANGES)


def test_means_by_hand():
    # Two chairs at 0.9 and 0.5, one lamp at 0.1: over shapes 1.5 / 3, over classes (0.7 + 0.1) / 2.
    found = mean_ious([0.9, 0.1, 0.5], [0, 2, 0], ["chair", "cup", "lamp"])
    assert found.instance_miou == pytest.approx(0.5)
    assert found.class_miou == pytest.approx(0.4)
    assert found.per_class == {
        "chair": pytest.approx(0.7),
        "cup": None,
        "lamp": pytest.approx(0.1),
    }


def test_shapes_without_a_score_are_left_out_of_the_means():
    found = mean_ious([0.8, math.nan, math.nan], [0, 0, 1], ["chair", "lamp"])
    assert (found.instance_miou, found.class_miou) == (0.8, 0.8)
    assert found.per_class == {"chair": 0.8, "lamp": None}


@pytest.mark.parametrize(
    ("scores", "labels", "text"),
    [
        ([], [], "no shapes with labelled points"),
        ([math.nan], [0], "no shapes with labelled points"),
        ([0.5], [0, 0], "one length"),
    ],
)
def test_means_of_unusable_scores(scores, labels, text):
    with pytest.raises(PointMCDError, match=text):
        mean_ious(scores, labels, ["chair"])
