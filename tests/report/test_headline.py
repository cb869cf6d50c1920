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


def test_parts_that_one_guess_for_all_points_beats_are_told_by_part_miou(tmp_path: Path) -> None:
    """Instance mIoU misleads there; elsewhere it stays the headline."""
    truth = np.array([[0, 0, 0, 1], [0, 0, 0, 0], [5, 5, 5, 6], [5, 5, 5, 5]])
    bench = PartsBench(tmp_path / "runs", names=list("abcd"), labels=[0, 0, 2, 2], truth=truth)
    poor, better = truth.copy(), truth.copy()
    poor[:, 0] += 1
    better[:2, 0] += 1
    runs, baseline = (
        [bench.run(arm, 0, predictions=said)]
        for arm, said in (("distilled", better), ("baseline", poor))
    )
    assert "points of part mIoU on the test split" in headline(compare(runs, baseline))[1]
    right = [bench.run("distilled", 1, predictions=truth)]
    best = [bench.run("baseline", 1, predictions=truth)]
    assert "points of mIoU on the test split" in headline(compare(right, best))[1]
