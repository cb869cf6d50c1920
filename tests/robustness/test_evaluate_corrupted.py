"""Runs on corrupted clouds: what is written, what is compared, what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from synthetic_runs import Bench

from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.robustness.evaluate import evaluate_corrupted
from pointmcd.robustness.registry import SEVERITIES, corrupted
from pointmcd.robustness.result import (
    CorruptionResult,
    compare_corrupted,
    corruption_errors,
    ratios_against,
    read_corrupted,
    write_corrupted,
)
from pointmcd.robustness.tables import mean_corruption_error
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

NAMES = ("lidar", "gaussian", "shear")
CPU = torch.device("cpu")


def result(*errors, count=60, clean=0.0, names=NAMES):
    """A result whose first shapes are wrong: errors[c] of them at each severity of corruption c."""
    labels = np.arange(count) % 3

    def scores(share):
        return (np.arange(count) >= round(share * count)).astype(np.float64)

    found = {name: np.stack([scores(error)] * 5) for name, error in zip(names, errors, strict=True)}
    shapes = tuple(f"shape{i:03d}" for i in range(count))
    return CorruptionResult(shapes, labels, scores(clean), found)


def saved(run, made, checkpoint="last"):
    write_corrupted(run, "test", checkpoint, made, "0" * 16)
    return run


def predictions_file(run, split, checkpoint):
    return run / f"corrupted-{split}-{checkpoint}.npz"


def test_scores_are_the_models_own_on_the_registrys_clouds(run_copy, taught_store):
    found = evaluate_corrupted(run_copy, NAMES, device="cpu")
    store = Store(taught_store)
    indices = store.indices("test")
    names = [store.shapes[i].name for i in indices]
    whole = store.points(indices, 128)
    for checkpoint in ("last", "best"):
        model, one = load_model(Run(run_copy), checkpoint, CPU), found[checkpoint]
        assert list(one.found) == list(NAMES)
        assert one.names == tuple(names)
        assert one.labels.tolist() == store.labels(indices).tolist()
        for name in NAMES:
            for severity in SEVERITIES:
                clouds = np.stack(
                    [
                        corrupted(cloud, shape, name, severity)[:64]
                        for cloud, shape in zip(whole, names, strict=True)
                    ]
                )
                with torch.inference_mode():
                    said = model(torch.from_numpy(clouds)).argmax(dim=1).numpy()
                expected = (said == one.labels).astype(float)
                assert one.found[name][severity - 1].tolist() == expected.tolist()


def test_clean_error_is_that_of_evaluate(run_copy):
    plain = evaluate(run_copy, device="cpu")
    found = evaluate_corrupted(run_copy, NAMES[:1], device="cpu")
    for checkpoint in ("last", "best"):
        accuracy = plain[checkpoint].overall_accuracy
        assert found[checkpoint].clean_error == pytest.approx(1 - accuracy)


def test_more_corruptions_are_added_to_those_before(run_copy):
    whole = evaluate_corrupted(run_copy, NAMES, device="cpu")
    for path in run_copy.glob("corrupted-*"):
        path.unlink()
    evaluate_corrupted(run_copy, NAMES[2:], device="cpu")
    later = evaluate_corrupted(run_copy, NAMES[:2], device="cpu")
    for checkpoint in ("last", "best"):
        assert list(later[checkpoint].found) == list(NAMES)
        assert later[checkpoint].errors == whole[checkpoint].errors
        written = json.loads((run_copy / f"corrupted-test-{checkpoint}.json").read_text())
        assert written["errors"] == whole[checkpoint].errors
        assert written["count"] == 6
        kept, _ = read_corrupted(run_copy, "test", checkpoint)
        assert all((kept.found[n] == whole[checkpoint].found[n]).all() for n in NAMES)


def test_those_of_other_weights_are_forgotten(run_copy):
    before = evaluate_corrupted(run_copy, NAMES[:2], device="cpu")
    saved(run_copy, before["last"])
    after = evaluate_corrupted(run_copy, NAMES[2:], device="cpu")
    assert list(after["last"].found) == ["shear"]
    assert list(after["best"].found) == list(NAMES)


def test_mean_corruption_error_by_hand():
    baseline, run = result(0.5, 0.2, 0.4), result(0.25, 0.3, 0.4)
    assert corruption_errors(run.errors, baseline.errors) == pytest.approx(
        {"lidar": 0.5, "gaussian": 1.5, "shear": 1.0}
    )
    assert run.mean_error == pytest.approx((0.25 + 0.3 + 0.4) / 3)
    assert run.scores.mean() == pytest.approx(1 - run.mean_error)


def test_a_baseline_without_errors():
    ratios = corruption_errors(result(0, 0.1, 0).errors, result(0, 0, 0.5).errors)
    assert ratios == {"lidar": 1.0, "gaussian": float("inf"), "shear": 0.0}


def test_variants_are_paired_by_seed(bench):
    theirs, ours = bench.variant("baseline", 0.7, (0, 1)), bench.variant("distilled", 0.7, (0, 1))
    for seed, run in enumerate(theirs):
        saved(run, result(*[(0.2, 0.4)[seed]] * 3, clean=0.1))
    for seed, run in enumerate(ours):
        saved(run, result(*[(0.1, 0.6)[seed]] * 3, clean=0.2))
    found = compare_corrupted(ours, theirs)
    (variant,), (difference,) = found.variants, found.differences
    assert found.baseline.label == "baseline"
    assert mean_corruption_error(found.baseline, found.baseline)[0].mean == pytest.approx(1)
    mce, ratios = mean_corruption_error(variant, found.baseline)
    assert mce.mean == pytest.approx((0.5 + 1.5) / 2)
    assert mce.std == pytest.approx(np.std([0.5, 1.5], ddof=1))
    assert ratios == pytest.approx(dict.fromkeys(NAMES, 1.0))
    assert 1 - variant.score.mean == pytest.approx(0.35)
    assert 1 - variant.class_score.mean == pytest.approx(0.2)
    assert difference.overall.mean == pytest.approx(-0.05)
    assert difference.overall.low < -0.05 < difference.overall.high


def test_variants_of_other_seeds_are_compared_with_the_mean(bench):
    theirs, ours = bench.variant("baseline", 0.7, (0, 1)), bench.variant("distilled", 0.7, (2,))
    for seed, run in enumerate(theirs):
        saved(run, result(*[(0.2, 0.4)[seed]] * 3))
    saved(ours[0], result(0.3, 0.3, 0.3))
    found = compare_corrupted(ours, theirs)
    assert mean_corruption_error(found.variants[0], found.baseline)[0].mean == pytest.approx(1)


def test_without_a_baseline_there_are_plain_errors(bench):
    runs = bench.variant("distilled", 0.7, (0, 1))
    for run in runs:
        saved(run, result(0.1, 0.2, 0.3))
    found = compare_corrupted(runs)
    assert (found.baseline, found.differences) == (None, ())
    assert 1 - found.variants[0].score.mean == pytest.approx(0.2)


def test_what_was_not_evaluated_alike_is_refused(bench):
    theirs, ours = bench.run("baseline"), bench.run("distilled")
    saved(theirs, result(0.1, 0.2, 0.3))
    with pytest.raises(RunError, match=r"does not exist; make it with: .*--corrupt all"):
        compare_corrupted([ours], [theirs])
    saved(ours, result(0.1, 0.2, names=NAMES[:2]))
    with pytest.raises(RunError, match="shear was evaluated in only one"):
        compare_corrupted([ours], [theirs])
    saved(ours, result(0.1, 0.2, 0.3, count=59))
    with pytest.raises(RunError, match="tested on different shapes"):
        compare_corrupted([ours], [theirs])


def test_a_run_may_have_fewer_corruptions_than_what_it_is_held_against(bench):
    theirs, ours = bench.run("baseline"), bench.run("distilled")
    saved(theirs, result(0.1, 0.2, 0.3))
    fewer = result(0.4, names=["gaussian"])
    ratios = ratios_against(theirs, ours, fewer, "test", "last")
    assert ratios == pytest.approx({"gaussian": 2.0})
    more = result(0.1, 0.1, 0.1, 0.1, names=[*NAMES, "ffd"])
    with pytest.raises(RunError, match=r"lacks ffd; make it with: .*,ffd$"):
        ratios_against(theirs, ours, more, "test", "last")


def test_the_baseline_is_to_be_shown_the_same_corruptions(bench, cli):
    theirs, ours = bench.run("baseline"), bench.run("distilled")
    options = ("--corrupt", "lidar,gaussian", "--against", theirs)
    for shown in (None, NAMES[:1]):
        if shown:
            saved(theirs, result(0.1, names=shown))
        _, _, err = cli("evaluate", ours, *options)
        assert err.splitlines()[-1].endswith(f"evaluate {theirs} --corrupt lidar,gaussian")
    _, _, err = cli("evaluate", ours, *options, "--split", "val")
    assert err.splitlines()[-1].endswith("--split val")


def test_runs_of_other_stores_are_not_held_against_each_other(bench, tmp_path):
    theirs, ours = Bench(tmp_path / "other", fingerprint="f" * 16).run("baseline"), bench.run()
    saved(theirs, result(0.1, 0.2, 0.3))
    with pytest.raises(RunError, match="different stores"):
        ratios_against(theirs, ours, result(0.1, 0.2, 0.3), "test", "last")


@pytest.mark.parametrize("damage", ["cut", "version", "lacks", "shape"])
def test_damaged_predictions_are_refused_and_made_again(damage, run_copy):
    before = evaluate_corrupted(run_copy, NAMES[:1], device="cpu")
    file = predictions_file(run_copy, "test", "last")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:300])
    else:
        with np.load(file) as arrays:
            kept = dict(arrays)
        change = {
            "version": {"version": 0},
            "lacks": {"labels": None},
            "shape": {"lidar": np.zeros((4, 6))},
        }[damage]
        kept = {key: value for key, value in (kept | change).items() if value is not None}
        np.savez(file, **kept)
    with pytest.raises(RunError) as error:
        read_corrupted(run_copy, "test", "last")
    assert "\n" not in str(error.value)
    assert f"pointmcd evaluate {run_copy} --corrupt all" in str(error.value)
    after = evaluate_corrupted(run_copy, NAMES[:1], device="cpu")
    assert after["last"].errors == before["last"].errors


def test_only_finished_classifiers(run_copy, trained_parts_run):
    with pytest.raises(RunError, match="labels parts; only runs that label whole shapes"):
        evaluate_corrupted(trained_parts_run, NAMES)
    meta = json.loads((run_copy / "run.json").read_text())
    (run_copy / "run.json").write_text(json.dumps({**meta, "finished": False}))
    with pytest.raises(RunError, match="not finished"):
        evaluate_corrupted(run_copy, NAMES)


def test_the_command_line_prints_errors_and_ratios(run_copy, trained_run, tmp_path, cli):
    other = shutil.copytree(trained_run, tmp_path / "other")
    status, out, _ = cli("evaluate", other, "--corrupt", "lidar,gaussian", "--device", "cpu")
    assert status == 0
    assert "lidar" in out
    assert "CE" not in out.splitlines()[3]
    command = ("evaluate", run_copy, "--corrupt", "gaussian", "--device", "cpu")
    status, out, err = cli(*command, "--against", other)
    assert (status, "lidar" in out) == (0, False)
    assert "100.0" in out
    gaussian, clean = json.loads(cli(*command, "--against", other, "--json")[1])
    assert (gaussian["corruption"], clean["corruption"]) == ("gaussian", None)
    errors = [gaussian[f"error_{severity}"] for severity in range(1, 6)]
    assert gaussian["mean_error"] == pytest.approx(np.mean(errors))
    assert 0 <= clean["mean_error"] <= 1
    assert gaussian["ce"] == 1
    status, out, err = cli(*command, "--against", tmp_path / "nothing")
    assert (status, out) == (1, "")
    assert "does not exist" in err
    status, out, err = cli("evaluate", run_copy, "--against", other)
    assert (status, out) == (1, "")
    assert "--corrupt" in err
    status, out, err = cli("evaluate", run_copy, "--corrupt", "fog")
    assert (status, out) == (1, "")
    assert "use all, or some of occlusion" in err


def test_the_command_line_compares_over_seeds(bench, cli):
    theirs, ours = bench.variant("baseline", 0.7), bench.variant("distilled", 0.7)
    for run in (*theirs, *ours):
        saved(run, result(0.1, 0.2, 0.3))
    asked = ("compare", *ours, "--baseline", *theirs, "--corrupted", "--json")
    rows = json.loads(cli(*asked)[1])
    assert [row["variant"] for row in rows] == ["baseline", "distilled"]
    assert rows[1]["mce"] == pytest.approx(1)
    assert rows[1]["difference_low"] <= rows[1]["difference"] <= rows[1]["difference_high"]
    status, out, _ = cli("compare", *ours, "--baseline", *theirs, "--corrupted", "--markdown")
    assert status == 0
    assert "| distilled | 3 (0, 1, 2) | 0.0 ± 0.0 | 20.0 ± 0.0 | 100.0 ± 0.0 |" in out
    assert "| lidar | 10.0 | 10.0 (100.0) |" in out
    status, out, _ = cli("compare", *ours, "--baseline", *theirs, "--corrupted")
    assert status == 0
    assert "mCE" in out
