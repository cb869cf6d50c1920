import numpy as np
import pytest

from pointmcd.evaluation.compare import compare
from pointmcd.report.learning_curve import learning_curve_figure
from pointmcd.report.page import write_report


@pytest.fixture
def runs(bench):
    """Two variants with 3, 6 and 30 labelled shapes, two seeds each."""

    def run(variant, seed, accuracy, share, count):
        shapes = {"train": count + seed, "val": 1, "test": 6}
        return bench.run(
            *(variant, seed, accuracy),
            name=f"{variant}-{share}-{seed}",
            info={"shapes": shapes},
            config={"label_fraction": share},
        )

    return [
        run(variant, seed, accuracy, share, count)
        for variant in ("baseline", "finetuned")
        for share, count, accuracy in ((0.1, 3, 0.3), (0.2, 6, 0.6), (1.0, 30, 0.9))
        for seed in (0, 1)
    ]


def test_one_line_per_variant_over_the_labelled_shapes(runs):
    comparison = compare(runs)
    variants, figure = comparison.all_variants, learning_curve_figure(comparison)
    lines = {line.get_label(): line for line in figure.axes[0].lines if len(line.get_xdata()) == 3}
    lines = {label: line for label, line in lines.items() if not label.startswith("_")}
    assert set(lines) == {"baseline", "finetuned"}
    of = [variant for variant in variants if variant.label.startswith("finetuned")]
    expected = {sum(r.info["shapes"]["train"] for r in a.results) / 2: a.score.mean for a in of}
    assert list(lines["finetuned"].get_xdata()) == sorted(expected) == [3.5, 6.5, 30.5]
    drawn = list(lines["finetuned"].get_ydata())
    assert drawn == pytest.approx([100 * expected[shapes] for shapes in sorted(expected)])


def test_one_seed_has_no_bar(runs):
    few = [run for run in runs if run.name.endswith("-0") or "-0.2-" in run.name]
    figure = learning_curve_figure(compare(few))
    bars = [c for c in figure.axes[0].collections if c.get_segments()]
    drawn = [[s for s in b.get_segments() if len(s) and np.isfinite(s).all()] for b in bars]
    assert [[segment[0][0] for segment in bar] for bar in drawn] == [[6.5], [6.5]]


def test_nothing_to_draw_where_all_variants_have_as_many(bench):
    runs = [bench.run("baseline", seed, 0.5) for seed in (0, 1)]
    assert learning_curve_figure(compare(runs)) is None


def test_another_setting_is_no_point_of_the_curve(bench):
    runs = [
        bench.run("baseline", seed, 0.5, name=f"{lr}-{seed}", config={"lr": lr})
        for lr in (0.1, 0.2)
        for seed in (0, 1)
    ]
    assert learning_curve_figure(compare(runs)) is None


def test_the_page_shows_it_only_where_there_is_one(runs, bench, tmp_path):
    page = write_report(runs, tmp_path / "curve.html").read_text(encoding="utf-8")
    assert "Results by number of labels" in page
    plain = write_report(runs[:2], tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "Results by number of labels" not in plain
