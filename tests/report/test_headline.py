import pytest
from synthetic_runs import Bench

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
