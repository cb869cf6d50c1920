"""Runs of part segmentation held against each other."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from synthetic_runs import PARTS, Bench, PartsBench

from pointmcd.errors import ConfigError, RunError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import Comparison, comparison_table
from pointmcd.evaluation.results import read_result
from pointmcd.tables import to_markdown


def printed(comparison: Comparison) -> str:
    target = StringIO()
    Console(width=200, file=target).print(comparison_table(comparison))
    return target.getvalue()


@pytest.fixture
def four(tmp_path: Path) -> PartsBench:
    """Two beds and two lamps of four points; a bed has parts 0 and 1, a lamp 5 and 6."""
    return PartsBench(
        tmp_path / "runs",
        names=["bed1", "bed2", "lamp1", "lamp2"],
        labels=[0, 0, 2, 2],
        truth=np.array([[0, 0, 1, 1], [0, 0, 1, 1], [5, 5, 6, 6], [5, 6, 6, 6]]),
    )


def test_figures_by_hand(four: PartsBench) -> None:
    # One point of four wrong, where both parts have two: (1/2 + 2/3) / 2 = 7/12. All of one part:
    # (1/2 + 0) / 2 = 1/4.
    whole = four.truth
    one_off = np.array([[0, 1, 1, 1], *whole[1:]])
    flat = np.array([[0, 0, 0, 0], *whole[1:]])
    base = [four.run("baseline", 0, predictions=flat), four.run("baseline", 1, predictions=one_off)]
    ours = [
        four.run("distilled", 0, predictions=one_off),
        four.run("distilled", 1, predictions=whole),
    ]
    found = compare(ours, base)
    low, high = (1 / 4 + 3) / 4, (7 / 12 + 3) / 4
    assert found.baseline.score.mean == pytest.approx((low + high) / 2)
    assert found.baseline.score.std == pytest.approx((high - low) / 2**0.5)
    assert found.variants[0].score.mean == pytest.approx((high + 1) / 2)
    # Beds: the mean of both seeds' two beds; lamps are all right; there is no chair.
    assert found.baseline.per_class == {
        "bed": pytest.approx((1 / 4 + 1 + 7 / 12 + 1) / 4),
        "chair": None,
        "lamp": 1.0,
    }
    assert found.baseline.class_score.mean == pytest.approx(((17 / 24) + 1) / 2)
    difference = found.differences[0]
    assert difference.paired_by_seed
    # The first bed gains 7/12 - 1/4 with one seed and 1 - 7/12 with the other.
    gain = (1 / 3 + 5 / 12) / 2
    assert difference.overall.mean == pytest.approx(gain / 4)
    assert difference.per_class == {"bed": pytest.approx(gain / 2), "chair": None, "lamp": 0.0}
    assert difference.class_score == pytest.approx(gain / 4)
    assert (difference.test.gained, difference.test.lost, difference.test.p) == (1, 0, 1.0)
    # Of all points together parts 0 and 1 have IoU 4/6 and 2/4, then 3/4 and 4/5, then 1.
    gains = (3 / 4 + 4 / 5 - 4 / 6 - 2 / 4) / 4, (2 - 3 / 4 - 4 / 5) / 4
    assert difference.others["part mIoU"].mean == pytest.approx(sum(gains) / 2)
    assert not found.warnings


def test_a_score_per_shape_and_no_vote(parts_bench: PartsBench) -> None:
    variant = compare(parts_bench.variant("baseline", 0.8)).variants[0]
    assert variant.scores.shape == (3, 60)
    np.testing.assert_allclose(variant.joint_scores, variant.scores.mean(axis=0))
    assert variant.scores.mean() == pytest.approx(variant.score.mean)
    assert variant.results[0].info["task"] == "segmentation"


def test_identical_variants_differ_by_nothing(parts_bench: PartsBench) -> None:
    runs = parts_bench.variant("baseline", 0.8)
    difference = compare(runs[::-1], runs).differences[0]
    interval = difference.overall
    assert (interval.mean, interval.low) == (0, -interval.high)
    assert 0 < interval.high < 0.1  # on other shapes they may differ
    assert difference.others["part mIoU"] == interval
    assert (difference.test.gained, difference.test.lost, difference.test.p) == (0, 0, 1.0)


def test_better_predictions_are_found_better(parts_bench: PartsBench) -> None:
    found = compare(parts_bench.variant("distilled", 0.95), parts_bench.variant("baseline", 0.7))
    difference = found.differences[0]
    assert 0 < difference.overall.low < difference.overall.mean < difference.overall.high
    assert difference.test.gained > difference.test.lost
    assert difference.test.p < 0.001
    parts = difference.others["part mIoU"]
    assert 0 < parts.low < parts.mean < parts.high
    assert all(gain > 0 for gain in difference.per_class.values())


@pytest.mark.parametrize("seeds", [(0, 1, 2), (3, 4)])
def test_comparison_is_symmetric_up_to_sign(
    parts_bench: PartsBench, seeds: tuple[int, ...]
) -> None:
    runs = parts_bench.variant("distilled", 0.8)
    base = parts_bench.variant("baseline", 0.75, seeds)
    one, two = compare(runs, base).differences[0], compare(base, runs).differences[0]
    assert one.overall.mean == pytest.approx(-two.overall.mean)
    assert one.overall.low == pytest.approx(-two.overall.high)
    parts = [side.others["part mIoU"] for side in (one, two)]
    assert parts[0].mean == pytest.approx(-parts[1].mean)
    assert parts[0].low == pytest.approx(-parts[1].high)
    assert (one.test.gained, one.test.lost) == (two.test.lost, two.test.gained)
    assert one.test.p == pytest.approx(two.test.p)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(60)))
def test_order_of_shapes_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    bench = PartsBench(tmp_path_factory.mktemp("runs"))
    base = bench.run("baseline")
    plain = bench.run("distilled", accuracy=0.8)
    mixed = bench.run("distilled", accuracy=0.8, order=order, name="mixed")
    assert compare([plain], [base]).differences == compare([mixed], [base]).differences


def test_table_and_markdown_name_the_figures(parts_bench: PartsBench) -> None:
    found = compare(parts_bench.variant("distilled", 0.9), parts_bench.variant("baseline", 0.7))
    interval = found.differences[0].overall
    text = f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    for output in (to_markdown(comparison_table(found)), printed(found)):
        assert "Differences in part mIoU, likewise: distilled +" in output
        for part in (text, "instance mIoU", "class mIoU", "Wilcoxon"):
            assert part in output
        for part in ("accuracy", "Accuracies", "McNemar", "vote"):
            assert part not in output


def test_shape_without_labelled_points_is_left_out(four: PartsBench) -> None:
    four.truth[1] = -1
    run = four.run("baseline", predictions=np.array([[0] * 4, [0] * 4, [5] * 4, [6] * 4]))
    result = read_result(run)
    assert result.names == ("bed1", "lamp1", "lamp2")
    assert result.scores.tolist() == pytest.approx([1 / 4, 1 / 4, 3 / 8])
    assert compare([run]).count == 3


def test_other_numbers_of_points_are_compared_and_warned_of(parts_bench: PartsBench) -> None:
    base = parts_bench.run("baseline", config={"points": 16})
    parts_bench.truth = parts_bench.truth[:, :8]
    found = compare([parts_bench.run("distilled", config={"points": 8})], [base])
    assert "points: 16 and 8" in "\n".join(found.warnings)


def other_truth(bench: PartsBench) -> None:
    bench.truth = np.roll(bench.truth, 3, axis=0)  # three classes: the next shape of each class


def other_parts(bench: PartsBench) -> None:
    bench.info["parts"] = PARTS | {"bed": ["frame", "pillow"]}


@pytest.mark.parametrize(
    ("change", "text"), [(other_truth, "has other true parts"), (other_parts, "different parts")]
)
def test_what_cannot_be_compared_is_refused(
    parts_bench: PartsBench, change: object, text: str
) -> None:
    base = parts_bench.run("baseline")
    change(parts_bench)  # type: ignore[operator]
    with pytest.raises(RunError, match=text):
        compare([parts_bench.run("distilled")], [base])


def test_runs_of_two_tasks_are_refused(bench: Bench, parts_bench: PartsBench) -> None:
    runs = [bench.run(), parts_bench.run()]
    for pair in (runs, runs[::-1]):
        with pytest.raises(RunError, match="compare runs of one task") as caught:
            compare(pair[:1], pair[1:])
        assert "\n" not in str(caught.value)


def test_unknown_task_is_named(bench: Bench) -> None:
    run = bench.run(info={"task": "singing"})
    with pytest.raises(ConfigError, match="task singing: unknown"):
        compare([run])


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"predictions": [[6, 6]]}, "prediction 6 lies outside"),
        ({"truth": [[-2, 0]]}, "true part -2"),
        ({"truth": [0]}, "is damaged"),
        ({"truth": [[-1, -1]]}, "no shapes with labelled points"),
        ({"truth": [[0, 0], [0, 0]]}, "differ in length"),
        ({"labels": [7]}, "outside the 3 classes"),
    ],
)
def test_damaged_predictions_are_named(
    parts_bench: PartsBench, arrays: dict[str, list], text: str
) -> None:
    run = parts_bench.run()
    file = run / "predictions-test-last.npz"
    good = {"names": ["bed1"], "labels": [0], "truth": [[0, 1]], "predictions": [[0, 1]]}
    np.savez(file, **{key: np.array(value) for key, value in (good | arrays).items()})
    with pytest.raises(RunError, match=text) as caught:
        compare([run])
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
