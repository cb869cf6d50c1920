"""The pieces of benchmarks/growth at tiny sizes."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.growth import loading, memory, plan, preparing, training
from benchmarks.growth.curve import Curve, sweep
from benchmarks.growth.figure import draw
from benchmarks.growth.memory import Epoch
from benchmarks.growth.page import curve_table, memory_table, quoted
from benchmarks.growth.synthetic_store import TEACHER, write_store
from benchmarks.growth.units import Units
from pointmcd.data.store import Store
from pointmcd.teachers.stored import map_output

ROOT = Path(__file__).parents[2]
EPOCH = Epoch(4, 4_000_000, [[0, 9e6, 1e6], [1, 7e6, 2e6], [2, 8e6, 1e6]], (5e6, 1e6), 3, (1, 2))
UNITS = Units(
    4,
    1000,
    {"prepare": 1.0, "features": 2.0, "heads, all epochs": 3.0},
    {"points": 600.0, "visibility": 300.0, "views": 900.0, "descriptors": 100.0},
)


def costs():
    sizes = plan.SETS.values()
    return plan.Costs(
        UNITS,
        by_faces={10: 0.5, 20: 1.0, 30: 2.0, 40: 4.0},
        step={"pointnet": 0.1},
        load=(0.001, 0.01),
        open=dict.fromkeys(sizes, 1.5),
        listing=dict.fromkeys(sizes, 2_000_000),
        memory=dict.fromkeys(sizes),
    )


@pytest.mark.parametrize(
    ("power", "word"),
    [
        (0, "constant"),
        (0.5, "less than linear"),
        (1, "linear"),
        (1.5, "more than linear"),
        (2, "quadratic"),
        (3, "more than quadratic"),
    ],
)
def test_exponent_of_a_power(power, word):
    curve = Curve("cost", "size", {size: 0.01 * size**power for size in (2, 4, 8, 32)})
    assert curve.exponent == pytest.approx(power, abs=1e-9)
    assert curve.growth == word


def test_word_goes_by_the_largest_sizes():
    curve = Curve("cost", "size", {size: 100 + size for size in (1, 10, 10_000, 20_000, 40_000)})
    assert curve.exponent < 0.8
    assert curve.growth == "linear"


@pytest.mark.slow
def test_sweep_makes_each_call_in_its_turn():
    made = []

    def make(size):
        made.append(size)
        return lambda: sum(range(10_000 * size))

    curve = sweep("sum", "numbers", {1: lambda: make(1), 40: lambda: make(40)})
    assert made == [1, 40]
    assert 0 < curve.seconds[1] < curve.seconds[40]


@pytest.mark.slow
def test_projection_and_steps():
    curves = list(training.projection({"N": (8, 16), "C": (2,)}))
    assert [list(curve.seconds) for curve in curves] == [[8, 16], [2]]
    (step,) = training.steps({"pointnet": (16,)}, batch=2)
    assert all(seconds > 0 for curve in (*curves, step) for seconds in curve.seconds.values())


def test_step_trains():
    call = training.step("pointnet", 2, 16)
    losses = [float(call()) for _ in range(6)]
    assert losses[-1] < losses[0]


def test_synthetic_store_holds_what_training_reads(tmp_path):
    store = write_store(tmp_path, shapes=10, shard_size=4, points=16)
    assert store.shards == ["00000", "00001", "00002"]
    every = np.arange(10)
    assert store.points(every, 16).shape == (10, 16, 3)
    assert store.visibility(every, 16).shape == (10, 16, 12)
    assert map_output(store, TEACHER, "descriptors", every)[:].shape == (10, 12, 512)
    assert {len(store.indices(split)) for split in ("train", "test")} == {9, 1}


@pytest.mark.slow
def test_loading_with_fewer_maps_than_files(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "BATCHES", 2)
    curve = loading.of_shards(tmp_path, counts=(2, 6), kept=4)
    assert list(curve.seconds) == [2, 6]
    assert all(seconds > 0 for seconds in curve.seconds.values())


@pytest.mark.slow
def test_opening_stores(tmp_path):
    (opening, sizes), (splitting, _) = loading.of_shapes(tmp_path, counts=(10, 2000))
    assert list(opening.seconds) == list(splitting.seconds) == [10, 2000]
    assert sizes[2000] == (tmp_path / "shapes-2000" / "store.json").stat().st_size
    assert len(Store(tmp_path / "shapes-2000").shards) == 2
    assert set(loading.memory_of_opening(tmp_path, (10,))) == {10}


def test_preparing_a_divided_shape(tmp_path):
    files = preparing.divided(tmp_path, 2)
    few, many = files
    assert many == 4 * few
    preparing.prepared(files[few], 2, 64, tmp_path)()
    assert np.load(tmp_path / "shard" / "points.npy").shape == (1, 64, 3)
    assert np.load(tmp_path / "shard" / "visibility.npy").shape == (1, 64, 1)


def test_plan_is_unit_cost_times_shapes():
    rows = {row.split(" | ")[0].strip("| "): row for row in plan.plan_table(costs()).splitlines()}
    furniture = "prepare as measured on furniture (1,000 faces), core hours"
    assert rows[furniture].endswith(" | 3.4 | 14.4 | 222.2 |")
    assert rows["prepare, 40 faces each, core hours"].endswith(" | 13.7 | 57.8 | 888.9 |")
    machines = (
        f"machines of {plan.CORES} cores to prepare and compute features in a day, 20 faces each"
    )
    assert rows[machines].endswith(" | 0.03 | 0.11 | 1.74 |")
    assert rows["store on disk, GB"].endswith(" | 0.0 | 0.1 | 1.5 |")
    assert rows["files to keep open in training"].endswith(" | 39 | 153 | 2,346 |")


def test_quoted_writes_only_between_its_marks():
    text = "a\n<!-- x -->\nold\n<!-- end -->\nb\n<!-- y -->\nkept\n<!-- end -->\n"
    new = quoted(text, {"x": r"\1 new"})
    assert new == text.replace("old", r"\1 new")
    assert quoted(new, {"x": r"\1 new"}) == new


def test_page_and_figure(tmp_path):
    curves = [
        Curve("cost", "points", {256: 0.1, 512: 0.2}),
        Curve("prepare", "workers", {1: 3.0, 2: 2.0}, clock="wall"),
    ]
    rows = curve_table(curves).splitlines()
    assert rows[2].endswith("| 256 to 512 | 0.1 | 0.2 | 1.00 | 1.00 | linear |")
    assert rows[3].endswith("| 1.50 times faster |")
    assert len({row.count("|") for row in rows}) == 1
    assert "| the store | 4 |" in memory_table(EPOCH)
    draw(tmp_path / "growth.png", curves, replace(EPOCH, samples=EPOCH.samples * 2))
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_scale_page_quotes_the_committed_results():
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    results = (ROOT / "benchmarks" / "growth" / "README.md").read_text(encoding="utf-8")
    parts = re.findall(r"<!-- \w+ -->\n(.+?)\n<!-- end -->", page, re.DOTALL)
    assert len(parts) == 3
    for part in parts:
        assert part in results


@pytest.mark.slow
def test_an_epoch_in_little_memory(tmp_path):
    epoch = memory.measure_epoch(tmp_path, shapes=200, shard_size=64, points=512, limits=(512, 64))
    assert epoch.peak(1) < epoch.imports[0] + epoch.limits[0]
    assert not (tmp_path / "larger-than-memory").exists()


@pytest.mark.slow
def test_an_epoch_that_needs_more_fails(tmp_path):
    with pytest.raises(RuntimeError, match=r"memory_child failed"):
        memory.measure_epoch(tmp_path, shapes=200, shard_size=64, points=512, limits=(16, 64))
