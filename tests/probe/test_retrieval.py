import warnings

import numpy as np
import pytest

from pointmcd.errors import PointMCDError
from pointmcd.probe.features import Features
from pointmcd.probe.retrieval import mean_average_precision

#: Mean 0 and deviation 1 in both channels: standardising with it changes nothing.
UNIT = Features(np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([0, 1]))


def at(angles: list[float], labels: list[int]) -> Features:
    """Shapes at directions in degrees: their cosine similarity falls with the angle between."""
    turns = np.deg2rad(angles)
    return Features(np.column_stack([np.cos(turns), np.sin(turns)]), np.array(labels))


def mixed(count: int, seed: int, channels: int = 5) -> Features:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, count)
    return Features(generator.normal(size=(count, channels)) + 0.4 * labels[:, None], labels)


def naive(test: Features, reference: Features) -> float:
    """Mean over queries of the mean precision at each shape of the class, for distinct scores."""
    values = (test.values - reference.values.mean(axis=0)) / reference.values.std(axis=0)
    found = []
    for query in range(len(values)):
        ranked = []
        for other in range(len(values)):
            if other != query:
                lengths = np.linalg.norm(values[query]) * np.linalg.norm(values[other])
                ranked.append((-values[query] @ values[other] / lengths, other))
        hits, precisions = 0, []
        for rank, (_, other) in enumerate(sorted(ranked), start=1):
            if test.labels[other] == test.labels[query]:
                hits += 1
                precisions.append(hits / rank)
        if precisions:
            found.append(float(np.mean(precisions)))
    return float(np.mean(found))


def test_by_hand() -> None:
    # From 0: 10 (other), 30 (same), 100 (same): (1/2 + 2/3) / 2. From 30: 10 (other), 0, 100:
    # the same. From 100: 30 (same), 10 (other), 0 (same): (1 + 2/3) / 2. The other class has one
    # shape and asks nothing.
    found = mean_average_precision(at([0, 10, 30, 100], [0, 1, 0, 0]), UNIT)
    assert found == pytest.approx((7 / 12 + 7 / 12 + 5 / 6) / 3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_against_a_naive_ranking(seed: int) -> None:
    test, reference = mixed(40, seed), mixed(30, seed + 10)
    found = mean_average_precision(test, reference)
    assert found == pytest.approx(naive(test, reference), abs=1e-12)
    assert found != pytest.approx(naive(test, test), abs=1e-4)


def test_classes_apart_are_retrieved_whole() -> None:
    assert mean_average_precision(at([0, 1, 180, 181], [0, 0, 1, 1]), UNIT) == 1.0


def test_ties_count_as_found_together() -> None:
    # From each 0 both others are at 90 degrees, one of them of the class: precision 1/2.
    test = at([0, 90, 270], [0, 0, 1])
    # From 90: 0 (same, 90 degrees) before 270 (180 degrees): precision 1.
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        assert mean_average_precision(test.take(np.array(order)), UNIT) == pytest.approx(0.75)


def test_equal_features_reach_the_share_of_the_class() -> None:
    test = Features(np.ones((5, 2)), np.array([0, 0, 0, 1, 1]))
    assert mean_average_precision(test, UNIT) == pytest.approx((3 * 2 / 4 + 2 * 1 / 4) / 5)


def test_no_pair_of_a_class_gives_none() -> None:
    assert mean_average_precision(at([0, 10, 20], [0, 1, 2]), UNIT) is None
    assert mean_average_precision(at([0], [0]), UNIT) is None


def test_labels_of_the_reference_do_not_matter() -> None:
    test, reference = mixed(20, 1), mixed(30, 2)
    other = Features(reference.values, np.full(30, 99))
    assert mean_average_precision(test, other) == mean_average_precision(test, reference)


def test_order_of_shapes_and_channels_does_not_matter() -> None:
    test, reference = mixed(40, 1), mixed(30, 2)
    rows, channels = np.random.default_rng(3).permutation(40), np.array([4, 0, 3, 1, 2])
    permuted = Features(test.values[rows][:, channels], test.labels[rows])
    same = Features(reference.values[:, channels], reference.labels)
    expected = mean_average_precision(test, reference)
    assert mean_average_precision(permuted, same) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("scale", "offset"), [(1000.0, 500.0), (1e30, 0.0), (1e-6, 0.0)])
def test_scale_and_offset_do_not_matter(scale: float, offset: float) -> None:
    parts = mixed(40, 1), mixed(30, 2)
    moved = [Features(part.values * scale + offset, part.labels) for part in parts]
    expected = mean_average_precision(*parts)
    assert mean_average_precision(*moved) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [0.0, 0.1, 1e30])
def test_a_constant_channel_changes_nothing(size: float) -> None:
    parts = mixed(40, 1), mixed(30, 2)
    wide = [
        Features(np.column_stack([part.values, np.full(len(part.values), size)]), part.labels)
        for part in parts
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mean_average_precision(*wide)
    assert found == pytest.approx(mean_average_precision(*parts), abs=1e-12)


def test_a_huge_value_is_no_overflow() -> None:
    test = at([0, 1, 180, 181], [0, 0, 1, 1])
    test.values[0] = 3e38, 0.0
    assert mean_average_precision(test, UNIT) == 1.0


def test_parts_of_two_encoders_are_refused() -> None:
    with pytest.raises(PointMCDError, match="equal channels: 2 and 5"):
        mean_average_precision(mixed(4, 1), UNIT)
