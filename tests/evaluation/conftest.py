from pathlib import Path

import pytest
from synthetic_runs import Bench, PartsBench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "runs")


@pytest.fixture
def parts_bench(tmp_path: Path) -> PartsBench:
    return PartsBench(tmp_path / "parts-runs")
