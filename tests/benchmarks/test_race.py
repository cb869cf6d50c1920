"""The benchmark itself: what it times, when a floor counts as met, what it writes."""

import time

import pytest

from benchmarks.shared.race import Lap, Race, peak_memory, run
from benchmarks.speed.page import page


def busy(seconds):
    def call():
        start = time.process_time()
        while time.process_time() - start < seconds:
            pass

    return call


@pytest.mark.slow
def test_ratios_are_yardstick_over_ours():
    fast, slow = run(Race("a", busy(0.02), {"fast": busy(0.005), "slow": busy(0.04)}, {"fast": 2}))
    assert fast.ratio == pytest.approx(4, rel=0.3)
    assert slow.ratio == pytest.approx(0.5, rel=0.3)
    assert fast.least <= fast.ratio <= fast.most
    assert (fast.floor, slow.floor) == (2, None)
    assert fast.met
    assert slow.met


@pytest.mark.slow
def test_the_repeats_are_interleaved_and_the_first_does_not_count():
    order = []
    race = Race("a", lambda: order.append("y"), {"x": lambda: order.append("x")}, {}, repeats=2)
    assert len(run(race)) == 1
    assert order == ["y", "x"] * 3


def lap(ratio, floor=None, **more):
    return Lap("part", "how", ratio, 1.0, ratio, ratio, floor, **more)


def test_a_floor_is_met_from_it_on():
    assert lap(10, 10).met
    assert not lap(9.99, 10).met
    assert not lap(20, 10, yardstick_bytes=100, ours_bytes=10, memory_floor=15).met
    assert lap(20, 10, yardstick_bytes=150, ours_bytes=10, memory_floor=15).met
    assert lap(20, 10, memory_floor=15).met  # memory is not told on this system


def test_peak_memory_counts_what_was_freed_again():
    size = 64 * 2**20
    found = peak_memory(lambda: bytearray(b"x") * size)
    assert found is None or 0.9 * size <= found < 1.5 * size


def test_the_page_names_what_was_missed():
    laps = [lap(10, 10), lap(9, 10, yardstick_bytes=3 * 10**6, ours_bytes=10**6)]
    text = "\n".join(page(laps, [lap(8)], {"pointnet2": [("aten::mm", 0.5)]}))
    assert "| part | how | 10 | 1 | **10** (10 to 10) | 10 | 8 |" in text
    assert "10 (missed)" in text
    assert "| part | how | 3 | 1 | 3 |" in text
    assert "| `aten::mm` | 50% |" in text
