"""What a store, a run and a comparison look like where they are printed."""

import sys
import types

import pytest
from synthetic_runs import Bench

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.evaluation.compare import compare
from pointmcd.training.run import Run


def test_a_store_and_a_run(taught_store, trained_run):
    text = repr(Store(taught_store))
    assert text == f"<Store {taught_store}: 18 shapes, 3 classes, 9 train, 3 val, 6 test>"
    assert repr(Run(trained_run)).startswith(f"<Run {trained_run}: ")
    assert repr(Run(trained_run)).endswith("finished>")


@pytest.fixture
def comparison(tmp_path):
    bench = Bench(tmp_path, classes=("<bed>", "chair", "lamp"))
    return compare(bench.variant("distilled", 0.9, (0, 1)), bench.variant("baseline", 0.6, (0, 1)))


def test_a_comparison_is_a_table(comparison):
    assert "| distilled | 2 (0, 1) |" in repr(comparison)
    html = comparison._repr_html_()
    assert html.count("<tr>") == 3
    assert "<td>distilled</td>" in html
    assert "<th>variant</th>" in html


def test_a_frame(comparison, monkeypatch):
    frame = types.SimpleNamespace(DataFrame=list)
    monkeypatch.setitem(sys.modules, "pandas", frame)
    assert [row["variant"] for row in comparison.to_frame()] == ["baseline", "distilled"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"to_frame: needs pandas; pip install 'pointmcd\[pand"):
        comparison.to_frame()
