import numpy as np
import pytest

from pointmcd.distill import statistics as module
from pointmcd.distill.statistics import channel_statistics


@pytest.mark.parametrize("shapes", [1, 2, 3, 6, 7, 8, 100])
@pytest.mark.parametrize("views", [(4,), ()])
def test_statistics_in_parts_are_those_of_the_whole(monkeypatch, shapes, views):
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    random = np.random.default_rng(1)
    whole = random.normal(50, 3, size=(shapes, *views, 6)).astype(np.float32)
    found, exact = channel_statistics(whole), whole.astype(np.float64).reshape(-1, 6)
    assert np.allclose(found.mean, exact.mean(0), rtol=1e-12)
    assert np.allclose(found.std, exact.std(0), rtol=1e-9)
    assert np.array_equal(found.least, exact.min(0))


def test_no_more_than_a_part_is_read_at_a_time(monkeypatch):
    asked = []

    class Watched:
        shape = (9, 3, 5)

        def __getitem__(self, rows):
            asked.append(len(rows))
            return np.ones((len(rows), 3, 5), np.float32)

    monkeypatch.setattr(module, "_AT_ONCE", 4)
    channel_statistics(Watched())
    assert asked == [4, 4, 1]


def test_a_channel_far_from_zero_keeps_its_variance():
    # The mean of many float32 numbers must not be summed in float32.
    far = np.full((400, 12, 1), 30000, np.float32) + np.arange(400, dtype=np.float32)[:, None, None]
    found = channel_statistics(far)
    assert found.mean == pytest.approx(30000 + 199.5)
    assert found.std == pytest.approx(np.arange(400).std())


def test_statistics_once_standardised():
    values = np.random.default_rng(0).gamma(2, 3, size=(7, 3, 5)).astype(np.float32)
    values[..., 2] = 3.7  # never varies
    values[..., 4] = 0  # a unit that a ReLU keeps shut
    plain = channel_statistics(values)
    again = channel_statistics((values - plain.mean) / plain.scale)
    found = plain.standardised()
    for name in ("mean", "std", "least"):
        assert np.allclose(getattr(found, name), getattr(again, name), atol=1e-6), name
