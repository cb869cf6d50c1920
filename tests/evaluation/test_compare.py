import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from synthetic_runs import Bench

from pointmcd.errors import RunError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import Comparison, comparison_table
from pointmcd.tables import to_markdown
from pointmcd.training.run import RUN_FORMAT


def printed(comparison: Comparison) -> str:
    target = StringIO()
    Console(width=200, file=target).print(comparison_table(comparison))
    return target.getvalue()


def test_variants_are_summarised_over_seeds(bench: Bench) -> None:
    right, wrong = np.asarray(bench.labels), (np.asarray(bench.labels) + 1) % 3
    half = np.where(np.arange(60) < 30, right, wrong)
    runs = [
        bench.run("distilled", 0, predictions=right),
        bench.run("distilled", 1, predictions=half),
    ]
    base = [bench.run("baseline", seed, predictions=half) for seed in (0, 1)]
    found = compare(runs, base)
    assert [variant.label for variant in found.all_variants] == ["baseline", "distilled"]
    assert found.variants[0].score.mean == 0.75
    assert found.variants[0].score.std == pytest.approx(0.125**0.5)
    difference = found.differences[0]
    assert difference.paired_by_seed
    assert difference.overall.mean == 0.25
    assert difference.class_score == pytest.approx(0.25)
    assert not found.warnings


def test_one_run_needs_no_list(bench: Bench) -> None:
    right = np.asarray(bench.labels)
    run, base = (bench.run(name, 0, predictions=right) for name in ("distilled", "baseline"))
    for one in (run, str(run)):
        assert printed(compare(one, base)) == printed(compare([run], [base]))


def test_identical_variants_differ_by_nothing(bench: Bench) -> None:
    runs = bench.variant("baseline", 0.7)
    found = compare(runs, runs)
    difference = found.differences[0]
    interval = difference.overall
    assert (interval.mean, interval.low) == (0, -interval.high)
    assert 0 < interval.high < 0.1  # on other shapes they may differ
    assert difference.test.p == 1.0
    assert [variant.label for variant in found.all_variants] == [
        "baseline (as baseline)",
        "baseline",
    ]


@pytest.mark.parametrize("seeds", [(0, 1, 2), (3, 4)])
def test_comparison_is_symmetric_up_to_sign(bench: Bench, seeds: tuple[int, ...]) -> None:
    runs, base = bench.variant("distilled", 0.8), bench.variant("baseline", 0.6, seeds)
    one, two = compare(runs, base).differences[0], compare(base, runs).differences[0]
    assert one.overall.mean == pytest.approx(-two.overall.mean)
    assert one.overall.low == pytest.approx(-two.overall.high)
    assert (one.test.gained, one.test.lost) == (two.test.lost, two.test.gained)
    assert one.test.p == two.test.p


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(60)))
def test_order_of_shapes_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    bench = Bench(tmp_path_factory.mktemp("runs"))
    base = bench.run("baseline")
    plain = bench.run("distilled", accuracy=0.8)
    mixed = bench.run("distilled", accuracy=0.8, order=order, name="mixed")
    assert compare([plain], [base]).differences == compare([mixed], [base]).differences


def test_other_seeds_are_compared_by_shape_and_said_so(bench: Bench) -> None:
    found = compare(
        bench.variant("distilled", 0.8, (0, 1)), bench.variant("baseline", 0.7, (0, 1, 2))
    )
    assert not found.differences[0].paired_by_seed
    assert "not paired by seed" in found.warnings[0]
    assert "averaged over seeds" in to_markdown(comparison_table(found))


def test_without_baseline_variants_are_only_summarised(bench: Bench) -> None:
    found = compare(bench.variant("distilled", 0.8))
    assert found.baseline is None
    assert not found.differences
    assert "distilled" in to_markdown(comparison_table(found))


def test_unequal_settings_are_warned_of_and_variant_settings_are_not(bench: Bench) -> None:
    run = bench.run("distilled-wrong-view", config={"lr": 0.02, "epochs": 9})
    found = compare([run], [bench.run("baseline")])
    texts = "\n".join(found.warnings)
    assert "lr: 0.1 and 0.02" in texts
    assert "epochs: 5 and 9" in texts
    assert "teacher" not in texts
    assert "pairing" not in texts
    assert "lr: 0.1 and 0.02" in printed(found)
    assert "lr: 0.1 and 0.02" in to_markdown(comparison_table(found))


def test_two_students_are_told_apart_by_name(bench: Bench) -> None:
    config = {"student": "dgcnn"}
    dgcnn = bench.run("baseline", name="dgcnn", info=config, config=config)
    found = compare([dgcnn], [bench.run("baseline")])
    assert [variant.label for variant in found.all_variants] == [
        "pointnet baseline",
        "dgcnn baseline",
    ]
    assert any("student: pointnet and dgcnn" in warning for warning in found.warnings)


def test_two_settings_of_one_variant_are_two_variants(bench: Bench) -> None:
    runs = [
        bench.run("distilled", name=f"weight{weight}", config={"objective": [f"vafp:{weight}"]})
        for weight in (1, 2)
    ]
    found = compare(runs, [bench.run("baseline")])
    labels = [variant.label for variant in found.variants]
    assert labels == ["distilled (objective vafp:1)", "distilled (objective vafp:2)"]


def test_one_seed_and_unfinished_training_are_warned_of(bench: Bench) -> None:
    run = bench.run("distilled", info={"finished": False})
    texts = "\n".join(compare([run], [bench.run("baseline")]).warnings)
    assert "not finished" in texts
    assert "distilled has one seed" in texts


def test_table_and_markdown_show_the_same_figures(bench: Bench) -> None:
    found = compare(bench.variant("distilled", 0.9), bench.variant("baseline", 0.6))
    interval = found.differences[0].overall
    text = f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    assert text in to_markdown(comparison_table(found))
    assert text in printed(found)
    assert "| distilled | 3 (0, 1, 2) |" in to_markdown(comparison_table(found))


def other_shapes(bench: Bench) -> None:
    bench.names = [f"other{i}" for i in range(60)]


def other_store(bench: Bench) -> None:
    bench.fingerprint = "ffff"


def other_labels(bench: Bench) -> None:
    bench.labels = [0] * 60


def other_classes(bench: Bench) -> None:
    bench.classes = ("bed", "chair", "tree")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (other_shapes, "tested on different shapes"),
        (other_store, "different rig, renderer"),
        (other_labels, "another true class"),
        (other_classes, "different classes"),
    ],
)
def test_what_cannot_be_compared_is_refused(bench: Bench, change: object, text: str) -> None:
    base = bench.run("baseline")
    change(bench)  # type: ignore[operator]
    with pytest.raises(RunError, match=text):
        compare([bench.run("distilled")], [base])


def test_mixed_baseline_is_refused(bench: Bench) -> None:
    base = [bench.run("baseline"), bench.run("distilled-wrong-view")]
    with pytest.raises(RunError, match=r"several variants \(baseline, distilled-wrong-view\)"):
        compare([bench.run("distilled")], base)


def test_same_seed_twice_is_refused(bench: Bench) -> None:
    runs = [bench.run("distilled", name="one"), bench.run("distilled", name="two")]
    with pytest.raises(RunError, match="both seed 0"):
        compare(runs)


def damage(run: Path, name: str, content: str | None) -> None:
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_text(content)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("run.json", None, "is not a run folder"),
        ("run.json", "{", "not readable JSON"),
        ("run.json", json.dumps({"format": 9}), "run format 9"),
        ("run.json", json.dumps({"format": RUN_FORMAT}), "lacks arm"),
        ("config.yaml", None, "cannot be read as YAML"),
        ("config.yaml", "a: [", "cannot be read as YAML"),
        ("config.yaml", "", "holds no settings"),
        ("predictions-test-last.npz", None, "pointmcd evaluate"),
        ("predictions-test-last.npz", "text", "is damaged"),
    ],
)
def test_damaged_run_folder_is_named(
    bench: Bench, name: str, content: str | None, text: str
) -> None:
    run = bench.run()
    damage(run, name, content)
    with pytest.raises(RunError, match=text) as caught:
        compare([run])
    assert str(run) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_predictions_are_named(bench: Bench) -> None:
    run = bench.run()
    file = run / "predictions-test-last.npz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(RunError, match="is damaged"):
        compare([run])


def test_no_runs() -> None:
    with pytest.raises(RunError, match="no runs"):
        compare([])


def _started(bench, seed, distance, name):
    settings = {"objective": [f"vafp:1,distance={distance}"], "seed": seed}
    start = {"task": "pretrain", "student": "pointnet", "arm": "distilled", "settings": settings}
    return bench.run("finetuned", seed, name=name, info={"init": start})


def test_starts_that_differ_in_more_than_the_seed_are_other_variants(bench: Bench) -> None:
    runs = [
        _started(bench, seed, distance, f"{distance}-{seed}")
        for distance in ("l1", "cosine")
        for seed in (0, 1)
    ]
    labels = [variant.label for variant in compare(runs).variants]
    assert labels == [
        "finetuned (from objective vafp:1,distance=l1)",
        "finetuned (from objective vafp:1,distance=cosine)",
    ]


def test_runs_from_before_a_setting_join_those_from_after(bench: Bench) -> None:
    later = {"label_fraction": 1.0, "init": None, "sampling": "plain", "ema_decay": None}
    runs = [bench.run(seed=0, name="old"), bench.run(seed=1, name="new", config=later)]
    (variant,) = compare(runs).variants
    assert variant.seeds == (0, 1)


def test_options_of_training_that_differ_are_told(bench: Bench) -> None:
    plain = [bench.run(seed=0, name="plain"), bench.run(seed=1, name="plain1")]
    options = {"ema_decay": 0.99, "sampling": "balanced", "clip_gradients": 1.0}
    averaged = [bench.run("distilled", seed, config=options) for seed in (0, 1)]
    assert compare(averaged, plain).warnings == (
        "baseline and distilled differ in clip_gradients: None and 1.0",
        "baseline and distilled differ in ema_decay: None and 0.99",
        "baseline and distilled differ in sampling: plain and balanced",
    )


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_every_accuracy_has_an_interval(bench, seeds):
    runs = bench.variant("distilled", 1.0, seeds)
    text = to_markdown(comparison_table(compare(runs)))
    spread = " ± 0.0" if len(seeds) > 1 else ""
    low = re.search(rf"\| 100\.0{spread} \[(\d\d\.\d), 100\.0\] \|", text)
    assert low is not None
    assert float(low[1]) < 100
    assert "95% interval over test shapes (Wilson's)" in text


def test_teachers_named_by_their_seeds_are_one_variant(bench: Bench) -> None:
    runs = [
        bench.run("distilled", seed, config={"teacher": f"smoothed-0.1-s{seed}"}) for seed in (0, 1)
    ]
    (variant,) = compare(runs).variants
    assert variant.seeds == (0, 1)
    other = bench.run("distilled", 2, config={"teacher": "smoothed-0.1-s1"}, name="other")
    assert [one.seeds for one in compare([*runs, other]).variants] == [(0, 1), (2,)]
