from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import Bench, PartsBench

from pointmcd.evaluation.compare import compare
from pointmcd.report.content import headline


@pytest.mark.parametrize(
    ("ours", "theirs", "line", "evidence"),
    [
        (1.0, 0.0, "distilled is better than baseline", "from +61.0 to +100.0"),
        (0.0, 1.0, "distilled is worse than baseline", "-100.0 points"),
        (1.0, 1.0, "distilled and baseline are not measurably different", "+0.0 points"),
    ],
)
def test_headline_says_what_the_interval_allows(
    bench: Bench, ours: float, theirs: float, line: str, evidence: str
) -> None:
    # A control comes first: the headline is about plain distillation all the same.
    runs = bench.variant("distilled-wrong-view", 0.5, (0, 1)) + bench.variant(
        "distilled", ours, (0, 1)
    )
    found = headline(compare(runs, bench.variant("baseline", theirs, (0, 1))))
    assert found[0] == line
    assert evidence in found[1]


def test_without_baseline_it_only_tells_the_accuracy(bench: Bench) -> None:
    runs = bench.variant("distilled", 1.0, (0, 1))
    assert headline(compare(runs)) == ("distilled: 100.0 ± 0.0 % of the shapes correct", "")


def test_of_parts_it_tells_part_miou(tmp_path: Path) -> None:
    """By which epochs are chosen, and `auto` decides."""
    truth = np.array([[0, 0, 0, 1], [0, 0, 1, 1], [5, 5, 5, 6], [5, 6, 6, 6]])
    bench = PartsBench(tmp_path / "runs", names=list("abcd"), labels=[0, 0, 2, 2], truth=truth)
    poor = truth.copy()
    poor[:, 0] += 1
    found = compare(
        [bench.run("distilled", 0, predictions=truth)], [bench.run("baseline", 0, predictions=poor)]
    )
    line, evidence = headline(found)
    gain = found.differences[0].others["part mIoU"]
    assert line == "distilled is better than baseline"
    assert evidence.startswith(f"{100 * gain.mean:+.1f} points of part mIoU on the test split")
