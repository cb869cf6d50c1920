import warnings

import numpy as np
import pytest

from pointmcd.errors import PointMCDError
from pointmcd.probe.features import Features, check_same_channels, standardiser


def test_any_float_and_integer_type_is_kept_wide() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Features(np.ones((2, 3), dtype=np.float16), np.array([0, 255], dtype=np.uint8))
    assert (found.values.dtype, found.labels.dtype) == (np.float64, np.int64)
    assert found.labels.tolist() == [0, 255]


def test_take_keeps_rows_and_labels_together() -> None:
    whole = Features(np.arange(8.0).reshape(4, 2), np.array([3, 1, 2, 0]))
    rows = whole.take(np.array([2, 0]))
    assert rows.values.tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert rows.labels.tolist() == [2, 3]
    mask = whole.take(np.array([False, True, False, False]))
    assert (mask.values.tolist(), mask.labels.tolist()) == ([[2.0, 3.0]], [1])


def test_take_of_nothing_is_refused() -> None:
    with pytest.raises(PointMCDError, match="at least one"):
        Features(np.ones((2, 3)), np.array([0, 1])).take(np.array([False, False]))


@pytest.mark.parametrize(
    "values",
    [
        np.ones(2),
        np.ones((2, 3, 1)),
        np.ones((0, 3)),
        np.ones((2, 0)),
        np.ones((2, 3), dtype=np.int64),
        np.full((2, 3), "1.0"),
    ],
)
def test_values_must_be_a_float_table(values: np.ndarray) -> None:
    with pytest.raises(PointMCDError, match=r"float array \[shapes, channels\]") as raised:
        Features(values, np.zeros(len(values), dtype=np.int64))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_values_must_be_finite(bad: float) -> None:
    values = np.ones((2, 3))
    values[1, 2] = bad
    with pytest.raises(PointMCDError, match="NaN, infinity or values too large"):
        Features(values, np.array([0, 1]))


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([0]), r"integers \[2\], not int64 \[1\]"),
        (np.array([0, 1, 1]), r"integers \[2\], not int64 \[3\]"),
        (np.array([[0], [1]]), r"integers \[2\], not int64 \[2, 1\]"),
        (np.array([0.0, 1.0]), r"integers \[2\], not float64"),
        (np.array([True, False]), r"integers \[2\], not bool"),
        (np.array([0, -1]), "classes from 0, not -1"),
    ],
)
def test_labels_must_be_classes_of_the_shapes(labels: np.ndarray, text: str) -> None:
    with pytest.raises(PointMCDError, match=text):
        Features(np.ones((2, 3)), labels)


def test_parts_of_different_channels_are_refused() -> None:
    labels = np.array([0, 1])
    with pytest.raises(PointMCDError, match="equal channels: 3 and 4"):
        check_same_channels(Features(np.ones((2, 3)), labels), Features(np.ones((2, 4)), labels))


def test_standardised_is_less_mean_over_deviation() -> None:
    values = np.random.default_rng(0).normal(3, [1e-6, 1.0, 1e6], (50, 3))
    expected = (values - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(standardiser().fit_transform(values), expected, atol=1e-9)


@pytest.mark.parametrize("size", [0.0, 0.1, 1e30, 3.3e38])
def test_a_constant_channel_says_nothing_however_large(size: float) -> None:
    values = np.column_stack([np.full(7, size), np.arange(7.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = standardiser().fit_transform(values)
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-12)
    assert found[:, 1].std() == pytest.approx(1)
