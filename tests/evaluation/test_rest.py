"""`evaluate --split rest` and `compare --split rest`: shapes whose labels no run knew."""

from dataclasses import replace

import numpy as np
import pytest
from store_copies import copy_store

from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.splits import held_back, labelled_train
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import notes, table_title
from pointmcd.evaluation.evaluate import evaluate, evaluate_teacher
from pointmcd.evaluation.results import read_result
from pointmcd.evaluation.shape_sets import SHAPE_SETS
from pointmcd.report.content import headline
from pointmcd.report.learning_curve import learning_curve_figure
from pointmcd.report.page import write_report
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

SEEN = SHAPE_SETS["rest"].note
SHARE = 0.34
SHARED = {"student": "tiny_student:TinyStudent", "epochs": 1, "batch_size": 3, "points": 32}
SHARED |= {"device": "cpu"}


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
        teach(TeachConfig(store, label_fraction=SHARE, seed=seed, epochs=2, device="cpu"))
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


def test_votes_of_seeds_that_know_other_labels_are_told(runs):
    found = compare(runs["distilled"], runs["baseline"])
    better = replace(found.baseline, joint_scores=np.ones(6))
    (said,) = [text for text in notes(replace(found, baseline=better)) if "knows more than" in text]
    assert "the test compares these votes (baseline 100.0" in said
    results = [replace(one, config={**one.config, "label_fraction": 1.0}) for one in better.results]
    same = replace(better, results=tuple(results))  # all of the labels, and so the same
    assert not same.labels_by_seed
    assert better.labels_by_seed
    few = [text for text in found.warnings if "too few to compare results (200 or more)" in text]
    assert len(few) == 2


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


def label_file(store, folder, seed, count):
    """A file with `count` labels of the store's own for each class outside the test split."""
    rows, outside = [], [s for s in store.shapes if s.split != "test"]
    for label in store.classes:
        members = [shape for shape in outside if shape.label == label]
        kept = np.random.default_rng(seed).permutation(len(members))[:count]
        rows += [LabelRow(members[i].name, label) for i in sorted(kept)]
    write_labels(folder / f"{count}-s{seed}.csv", rows)
    return folder / f"{count}-s{seed}.csv"


@pytest.fixture(scope="module")
def file_runs(own_store, tmp_path_factory):
    """Baselines of two seeds, each with one and with two labels a class of its own files."""
    folder = tmp_path_factory.mktemp("files")
    found = {}
    for count in (1, 2):
        for seed in (0, 1):
            file = label_file(Store(own_store), folder, seed, count)
            out = folder / f"baseline-{count}-s{seed}"
            run = train(TrainConfig(own_store, out, teacher=None, labels=file, seed=seed, **SHARED))
            for split in ("test", "rest"):
                evaluate(run, split, device="cpu")
            found.setdefault(count, []).append(run)
    return found


def test_beside_a_label_file_the_rest_is_what_the_store_itself_knows(file_runs, own_store):
    own, relabelled = Store(own_store), Store(own_store, file_runs[1][0] / "labels.csv")
    named = {s.name for s in relabelled.shapes if s.split == "train" and s.label is not None}
    assert len(named) == len(own.classes)
    true = {shape.name: shape.label for shape in own.shapes}
    result = read_result(file_runs[1][0], split="rest")
    assert set(result.names) == {*true} - named
    said = [relabelled.classes[i] for i in result.labels]
    assert said == [true[name] for name in result.names]


def test_runs_of_other_label_files_are_compared_by_their_number_of_labels(file_runs, own_store):
    every = [run for runs in file_runs.values() for run in runs]
    found = compare(every)
    assert [v.label for v in found.variants] == [
        "baseline (label file of 3 labels)",
        "baseline (label file of 6 labels)",
    ]
    assert [v.seeds for v in found.variants] == [(0, 1), (0, 1)]
    rest = compare(file_runs[2], file_runs[1], split="rest")
    files = [Store(own_store, run / "labels.csv") for run in every]
    named = {
        shape.name
        for store in files
        for shape in store.shapes
        if shape.split == "train" and shape.label is not None
    }
    assert rest.count == len(Store(own_store).shapes) - len(named)
    lines = {line.get_label() for line in learning_curve_figure(found).axes[0].lines}
    assert "baseline" in lines


def test_label_files_of_one_number_and_seed_are_no_variant(file_runs, own_store, tmp_path):
    file = label_file(Store(own_store), tmp_path, 7, 1)
    run = train(TrainConfig(own_store, tmp_path / "run", teacher=None, labels=file, **SHARED))
    evaluate(run, device="cpu")
    with pytest.raises(
        RunError, match=r"both seed 0 of baseline; .* runs of one file as --baseline"
    ):
        compare([run, *file_runs[1]])
    found = compare([run], file_runs[1][:1])
    assert any(
        "were trained with different label files (seed 0)" in text for text in found.warnings
    )
    assert not any("label files" in text for text in compare(file_runs[1]).warnings)


def test_folders_that_contradict_the_file_are_no_truth(own_store, tmp_path):
    own = Store(own_store)
    rows = [LabelRow(own.shapes[i].name, own.shapes[i].label) for i in own.indices("train")][:6]
    write_labels(tmp_path / "same.csv", rows)
    known = len(own.indices("train")) + len(own.indices("val"))
    assert len(held_back(Store(own_store, tmp_path / "same.csv"))) == known - 6
    other = next(label for label in own.classes if label != rows[0].label)
    write_labels(tmp_path / "corrected.csv", [rows[0]._replace(label=other), *rows[1:]])
    assert len(held_back(Store(own_store, tmp_path / "corrected.csv"))) == 0


def test_folders_that_are_no_classes_are_no_truth(own_store, tmp_path):
    own = Store(own_store)
    train_names = [own.shapes[i].name for i in own.indices("train")]
    rows = [LabelRow(name, "odd" if i % 2 else "even") for i, name in enumerate(train_names[:6])]
    write_labels(tmp_path / "other.csv", rows)
    assert len(held_back(Store(own_store, tmp_path / "other.csv"))) == 0
    assert len(held_back(Store(own_store))) == 0


def test_a_run_that_knew_all_labels_has_no_rest(trained_run, own_store):
    with pytest.raises(RunError, match=r"knew the labels of all train shapes.*--split test"):
        evaluate(trained_run, "rest", device="cpu")
    with pytest.raises(ConfigError, match="--split rest: is for runs"):
        evaluate_teacher(own_store / "teachers" / "lite0", "rest")


def test_what_is_not_evaluated_says_how(runs, trained_run):
    with pytest.raises(RunError, match=r"evaluate it with: pointmcd evaluate .* --split rest"):
        compare([trained_run], split="rest")
