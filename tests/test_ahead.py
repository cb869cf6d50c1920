"""Results that threads compute ahead of time."""

import threading
from contextlib import closing

import pytest
import torch

from pointmcd.ahead import map_ahead


def test_results_come_in_order_and_few_are_held():
    begun = []

    def square(number):
        begun.append(number)
        return number * number

    taken = []
    for result in map_ahead(square, range(50), threads=3):
        assert len(begun) <= len(taken) + 2 * 3 + 1
        taken.append(result)
    assert taken == [number * number for number in range(50)]
    assert [*map_ahead(square, [], threads=3)] == []


def test_without_threads_the_caller_computes_when_it_asks():
    before, asked = threading.get_ident(), []
    results = map_ahead(lambda n: asked.append(n) or threading.get_ident(), range(9), threads=0)
    assert next(results) == before
    assert asked == [0]
    assert [*results] == [before] * 8


def test_threads_compute_at_the_same_time():
    together = threading.Barrier(3, timeout=10)
    results = map_ahead(lambda _: together.wait(), range(6), threads=3)
    assert sorted(results) == [0, 0, 1, 1, 2, 2]


def test_an_error_comes_at_its_turn_and_ends_the_rest():
    begun = []

    def fail_at_four(number):
        begun.append(number)
        if number == 4:
            raise ValueError("four")
        return number

    results = map_ahead(fail_at_four, range(100), threads=2)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="four"):
        next(results)
    assert max(begun) < 10


def test_nothing_begins_once_it_is_closed():
    begun, before = [], set(threading.enumerate())
    with closing(map_ahead(begun.append, range(100), threads=2)) as results:
        next(results)
    count = len(begun)
    assert count < 10
    assert set(threading.enumerate()) <= before
    assert len(begun) == count


def test_threads_use_the_callers_gpu(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(
        torch.cuda, "set_device", lambda gpu: chosen.append((gpu, threading.get_ident()))
    )
    idents = {*map_ahead(lambda _: threading.get_ident(), range(9), threads=2)}
    assert {(3, ident) for ident in idents} <= {*chosen}
