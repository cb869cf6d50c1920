"""Voting over scales: what it computes, and that it is never taken for what the model says."""

import shutil

import numpy as np
import pytest
import torch

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import columns, table_title
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.evaluation.voting import FACTORS, vote
from pointmcd.files import read_json
from pointmcd.report.page import write_report
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

CPU = torch.device("cpu")


def arrays(run, ending):
    with np.load(run / f"predictions-test-{ending}.npz") as saved:
        return dict(saved)


@torch.inference_mode()
def mean_logits(run, votes, limited=False):
    """The mean over copies by hand, and the labels; the factors are measured, not drawn again."""
    opened = Run(run)
    store = Store(opened.config.store)
    indices = store.indices("test")
    points = torch.from_numpy(store.points(indices, opened.config.points))
    labels = torch.from_numpy(store.labels(indices))
    inputs = (labels,) if limited else ()
    seen, model = [], load_model(opened, "last", CPU)
    plain = model.forward
    model.forward = lambda points, *others: (seen.append(points), plain(points, *others))[1]
    vote(model, votes)
    model(points, *inputs)
    factors = [(copy / points).nanmedian(dim=1).values.nanmedian(dim=0).values for copy in seen]
    outputs = [plain(points * factor, *inputs) for factor in factors]
    mean = torch.stack(outputs).mean(dim=0)
    return model.limited(mean, labels) if limited else mean, factors


def test_votes_are_the_mean_over_rescaled_copies(run_copy):
    results = evaluate(run_copy, device="cpu", voting=4)
    logits, factors = mean_logits(run_copy, 4)
    found = arrays(run_copy, "last-voting4")
    assert found["probabilities"] == pytest.approx(logits.softmax(1).numpy(), abs=1e-4)
    assert torch.equal(factors[0], torch.ones(3))
    moved = torch.stack(factors[1:])
    assert len(moved.unique()) == 9
    assert float(moved.min()) > FACTORS[0]
    assert float(moved.max()) < FACTORS[1]
    assert found["voting"] == 4
    described = read_json(run_copy / "test-voting4.json")
    assert described["voting"] == {"votes": 4, "factors": [0.8, 1.2], "seed": 0}
    assert described["last"]["overall_accuracy"] == results["last"].overall_accuracy
    again = arrays(run_copy, "last-voting4")
    evaluate(run_copy, device="cpu", voting=4)
    assert np.array_equal(again["probabilities"], arrays(run_copy, "last-voting4")["probabilities"])


def test_votes_of_parts(trained_parts_run, tmp_path):
    run = shutil.copytree(trained_parts_run, tmp_path / "run")
    evaluate(run, device="cpu", voting=3)
    logits, _ = mean_logits(run, 3, limited=True)
    agree = arrays(run, "last-voting3")["predictions"] == logits.argmax(2).numpy()
    assert agree.mean() > 0.999  # ties by rounding
    assert compare([run], voting=3).voting == 3


def test_results_of_the_model_alone_stay_what_they_are(run_copy, files_of):
    evaluate(run_copy, device="cpu")
    before = files_of(run_copy)
    evaluate(run_copy, device="cpu", voting=2)
    after = files_of(run_copy)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {
        "test-voting2.json",
        *(
            f"{kind}-test-{which}-voting2.{end}"
            for kind, end in KINDS
            for which in ("last", "best")
        ),
    }
    evaluate(run_copy, device="cpu", voting=1)
    assert files_of(run_copy).keys() == after.keys()


KINDS = (("predictions", "npz"), ("confusion", "png"))


@pytest.fixture
def voted(bench):
    """A baseline and a variant, with and without votes."""
    runs = bench.variant("baseline", 0.6), bench.variant("distilled", 0.7)
    for run in (*runs[0], *runs[1]):
        kept = arrays(run, "last") | {"voting": np.array(10)}
        np.savez(run / "predictions-test-last-voting10.npz", **kept)
    return runs


@pytest.mark.slow
def test_every_table_says_that_it_votes(voted, tmp_path):
    baseline, runs = voted
    comparison = compare(runs, baseline, voting=10)
    assert table_title(comparison).endswith("last epoch, voting over 10 scales")
    assert [c for c in columns(comparison) if "accuracy" in c] == [
        "overall accuracy, voting over 10 scales",
        "class accuracy, voting over 10 scales",
    ]
    assert comparison.teachers == ()
    plain = compare(runs, baseline)
    assert "voting" not in table_title(plain) + str(columns(plain))
    page = write_report(runs, tmp_path / "page.html", baseline).read_text()
    assert "last epoch, voting over 10 scales" in page


def test_voted_and_plain_results_never_meet(voted, tmp_path):
    baseline, runs = voted
    with pytest.raises(RunError, match=r"voting7.npz: does not exist; .* --voting 7"):
        compare(runs, baseline, voting=7)
    (baseline[0] / "predictions-test-last-voting10.npz").unlink()
    with pytest.raises(RunError, match="does not exist"):
        compare(runs, baseline, voting=10)
    page = write_report(runs, tmp_path / "page.html", baseline).read_text()
    assert "voting over" not in page  # not every run has it
    one = runs[0] / "predictions-test-last.npz"
    shutil.copy(runs[0] / "predictions-test-last-voting10.npz", one)
    with pytest.raises(RunError, match="holds results of another number of votes"):
        compare(runs, baseline)


def test_votes_that_cannot_be(run_copy, cli):
    with pytest.raises(ConfigError, match=r"^--voting 0: must be at least 1"):
        evaluate(run_copy, device="cpu", voting=0)
    with pytest.raises(ConfigError, match=r"^--voting -1: must be at least 1"):
        compare([run_copy], voting=-1)


def test_the_command_line(run_copy, cli):
    status, _, err = cli("evaluate", run_copy, "--voting", 2, "--corrupt", "all")
    assert (status, err) == (1, "pointmcd: --voting 2: not with --corrupt; leave one out\n")
    status, out, _ = cli("evaluate", run_copy, "--voting", 2, "--device", "cpu")
    assert status == 0
    assert "shapes, voting over 2 scales, in percent" in " ".join(out.split())
    status, out, _ = cli("compare", run_copy, "--voting", 2, "--markdown")
    assert status == 0
    assert "voting over 2 scales" in " ".join(out.split())
