import numpy as np
import pytest

from pointmcd.metrics.part_iou import pixel_iou


def labels(text):
    """Views of one row of pixels each: digits are global part ids, a dot is background."""
    rows = [[-1 if c == "." else int(c) for c in row] for row in text.split()]
    return np.array(rows)[:, None]


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        ("3344", "3344", 1),
        ("3344", "4433", 1 / 3),  # 0, 0, and 5 is in neither
        ("3344", "3334", (2 / 3 + 1 / 2 + 1) / 3),
        ("3344", "3345", (1 + 1 / 2 + 0) / 3),  # 5 is said where it is not
        ("33..", "3333", (2 / 4 + 1 + 1) / 3),  # painted on the background
        ("3333", "33..", (2 / 4 + 1 + 1) / 3),  # background painted on it
        ("....", "....", 1),
        ("....", "3...", 2 / 3),
        # All views of a shape count together: 1 + 2 of 2 + 2 pixels of part 3, not the mean.
        ("33.. .33.", "3... .33.", (3 / 4 + 1 + 1) / 3),
        ("345. 5...", "345. ....", (1 + 1 + 1 / 2) / 3),
    ],
)
def test_by_hand(truth, predicted, expected):
    assert pixel_iou(labels(truth), labels(predicted), 3, 6) == pytest.approx(expected)


def test_other_classes_parts_do_not_count():
    assert pixel_iou(labels("34"), labels("34"), 3, 5) == 1
    assert pixel_iou(labels("34"), labels("39"), 3, 5) == pytest.approx((1 + 0) / 2)
    assert pixel_iou(labels("0"), labels("0"), 0, 1) == 1


def test_against_the_definition():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(-1, 4, (2, 3, 8, 8))
    ious = []
    for part in range(4):
        one, other = truth == part, predicted == part
        ious.append((one & other).sum() / (one | other).sum())
    assert pixel_iou(truth.astype(np.int16), predicted, 0, 4) == pytest.approx(np.mean(ious))
