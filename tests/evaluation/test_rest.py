"""`evaluate --split rest` and `compare --split rest`: shapes whose labels no run knew."""

import numpy as np
import pytest
from store_copies import copy_store

from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import SEEN, notes, table_title
from pointmcd.evaluation.evaluate import evaluate, evaluate_teacher
from pointmcd.evaluation.results import read_result
from pointmcd.report.content import headline
from pointmcd.report.page import write_report
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

SHARE = 0.34
SHARED = {"epochs": 1, "batch_size": 3, "points": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def own_store(taught_store, tmp_path_factory):
    """A store whose teachers the tests may add to."""
    return copy_store(taught_store, tmp_path_factory.mktemp("own") / "store")


@pytest.fixture(scope="module")
def runs(own_store, tmp_path_factory):
    """Baseline and distilled runs of two seeds with a third of the labels. To be read only."""
    store, folder = own_store, tmp_path_factory.mktemp("rest")
    found = {"baseline": [], "distilled": []}
    for seed in (0, 1):
        teach(TeachConfig(store, label_fraction=SHARE, seed=seed, device="cpu"))
        for name, made in found.items():
            teacher = "lite0" if name == "distilled" else None
            config = TrainConfig(
                store,
                folder / f"{name}-s{seed}",
                teacher=teacher,
                label_fraction=SHARE,
                seed=seed,
                **SHARED,
            )
            made.append(train(config))
            for split in ("test", "rest"):
                evaluate(made[-1], split, device="cpu")
    return found


def unknown(store, seed):
    """Names of the shapes whose labels a seed does not know."""
    held = np.setdiff1d(store.indices("train"), labelled_train(store, SHARE, seed))
    return {store.shapes[i].name for i in (*held, *store.indices("test"))}


def test_the_rest_is_what_is_not_labelled_in_train_and_the_test_split(runs, own_store):
    store = Store(own_store)
    for seed in (0, 1):
        result = read_result(runs["distilled"][seed], split="rest")
        assert set(result.names) == unknown(store, seed)
        assert len(result.names) == 6 + 6
        test = read_result(runs["distilled"][seed])
        said = dict(zip(result.names, result.arrays["predictions"], strict=True))
        assert [said[name] for name in test.names] == test.arrays["predictions"].tolist()


def test_runs_are_compared_on_what_none_knew(runs, own_store):
    store = Store(own_store)
    found = compare(runs["distilled"], runs["baseline"], split="rest")
    common = unknown(store, 0) & unknown(store, 1)
    assert found.count == len(common) < 12
    assert table_title(found) == f"{len(common)} shapes whose labels no run knew, last epoch"
    results = [*found.baseline.results, *found.variants[0].results, *found.teachers[0][0].results]
    for result in results:
        assert set(result.names) == common
        assert result.score == np.mean(result.arrays["predictions"] == result.labels)
    assert len(results) == 6


def test_the_page_is_headed_by_the_rest(runs, tmp_path):
    page = write_report(runs["distilled"], tmp_path, runs["baseline"]).read_text(encoding="utf-8")
    rest, test = (compare(runs["distilled"], runs["baseline"], split=s) for s in ("rest", "test"))
    line, evidence = headline(test, rest)
    assert line == headline(rest)[0]
    assert f"on the {rest.count} shapes whose labels no run knew;" in evidence
    assert evidence.endswith(headline(test)[1])
    assert line in page
    assert "shapes whose labels no run knew, last epoch" in page
    assert page.count(SEEN) == 1
    assert notes(rest)[-1] == SEEN
    assert SEEN not in notes(test)


def test_a_run_that_knew_all_labels_has_no_rest(trained_run, own_store):
    with pytest.raises(RunError, match=r"knew the labels of all train shapes.*--split test"):
        evaluate(trained_run, "rest", device="cpu")
    with pytest.raises(ConfigError, match="--split rest: is for runs"):
        evaluate_teacher(own_store / "teachers" / "lite0", "rest")


def test_what_is_not_evaluated_says_how(runs, trained_run):
    with pytest.raises(RunError, match=r"evaluate it with: pointmcd evaluate .* --split rest"):
        compare([trained_run], split="rest")
