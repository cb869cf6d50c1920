"""`evaluate --split folds`, and comparing on it: labelled shapes that were held out in turn."""

from dataclasses import replace

import numpy as np
import pytest
from store_copies import copy_store

from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import notes, table_title
from pointmcd.evaluation.evaluate import evaluate, evaluate_teacher
from pointmcd.evaluation.results import read_result
from pointmcd.evaluation.seeds import train_seeds
from pointmcd.evaluation.shape_sets import FOLDS, SHAPE_SETS
from pointmcd.report.page import write_report
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.folds import cross_validate
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = {"student": "tiny_student:TinyStudent", "epochs": 1, "points": 32, "batch_size": 3}
TITLE = "labelled shapes, each classified by a fold trained without it, last epoch"


@pytest.fixture(scope="module")
def untested(taught_store, tmp_path_factory):
    """A store without test split and labels, as of a flat folder, and a file of nine labels."""
    folder = tmp_path_factory.mktemp("untested")
    rows = [
        LabelRow(shape.name, shape.label)
        for label in Store(taught_store).classes
        for shape in [s for s in Store(taught_store).shapes if s.label == label][:3]
    ]
    write_labels(folder / "labels.csv", rows)

    def bare(record):
        record.update({"split": "train", "class": None})

    return copy_store(taught_store, folder / "store", bare), folder / "labels.csv"


@pytest.fixture(scope="module")
def compared(untested, tmp_path_factory):
    """Runs of two seeds with their baselines, and what was compared. To be read only."""
    store, labels = untested
    out = tmp_path_factory.mktemp("runs") / "few"
    config = TrainConfig(store, out, labels=labels, device="cpu", **TINY)
    teach(TeachConfig(store, labels=labels, epochs=1, device="cpu"))
    return out, train_seeds(config, [0, 1], folds=3)


def test_every_labelled_shape_is_judged_by_the_fold_that_held_it_out(compared):
    out, (found,) = compared
    assert found.split == FOLDS
    assert found.count == 9
    assert table_title(found) == f"9 {TITLE}"
    assert notes(found)[-1] == SHAPE_SETS[FOLDS].note
    assert [variant.label for variant in found.all_variants] == ["baseline", "distilled"]
    assert found.differences[0].paired_by_seed
    ((teacher, _),) = found.teachers
    assert teacher.seeds == (0, 1)  # each has folds of its own
    result = read_result(out.with_name("few-distilled-s1"), split="folds")
    kept = {}
    for number in "123":
        fold = Run(out.with_name("few-distilled-s1-folds") / number)
        held = read_result_of_val(fold)
        assert not kept.keys() & held.keys()
        kept |= held
    assert dict(zip(result.names, result.arrays["predictions"], strict=True)) == kept


def read_result_of_val(fold):
    """The predictions of a fold for its own validation split, by name."""
    evaluate(fold.path, "val", device="cpu")
    with np.load(fold.path / "predictions-val-last.npz") as said:
        return dict(zip(said["names"].tolist(), said["predictions"].tolist(), strict=True))


def test_a_teacher_of_a_fold_is_that_fold_s(compared):
    out, _ = compared
    said = read_result(out.with_name("few-distilled-s0"), "teacher", split="folds")
    for number in "123":
        fold = Run(out.with_name("few-distilled-s0-folds") / number)
        store = fold.open_store()
        held = store.indices("val")
        answers = map_output(store, fold.meta["teacher"]["name"], "logits", held)[:].argmax(axis=1)
        for name, answer in zip([store.shapes[i].name for i in held], answers, strict=True):
            assert said.arrays["predictions"][said.names.index(name)] == answer


def test_the_page_is_about_the_folds_where_there_is_no_test_split(compared, tmp_path):
    out, _ = compared
    runs = [out.with_name(f"few-{name}-s{s}") for name in ("baseline", "distilled") for s in (0, 1)]
    page = write_report(runs, tmp_path).read_text(encoding="utf-8")
    assert f"9 {TITLE}" in page
    assert "on 9 labelled shapes" in page
    assert "All views of a few labelled shapes" in page
    assert "test shapes" not in page


def test_where_there_is_no_test_split_an_error_says_what_to_do(compared):
    out, _ = compared
    with pytest.raises(RunError, match="its store has no test split; add --folds K to the command"):
        read_result(out.with_name("few-baseline-s0"))


def test_where_there_is_a_test_split_it_comes_last(taught_store, tmp_path):
    config = TrainConfig(taught_store, tmp_path / "a", teacher=None, device="cpu", **TINY)
    folds, test = train_seeds(config, [0], folds=2)
    assert (folds.split, folds.count) == ("folds", 12)
    assert (test.split, test.count) == ("test", 6)


def test_a_run_without_folds_says_so(trained_run, taught_store, tmp_path):
    with pytest.raises(RunError, match=r"has no folds; make them with: .* --folds K"):
        evaluate(trained_run, "folds", device="cpu")
    with pytest.raises(ConfigError, match="--split folds: is for runs"):
        evaluate_teacher(taught_store / "teachers" / "lite0", "folds")


def test_folds_of_another_run_of_that_name_are_refused(taught_store, tmp_path):
    config = TrainConfig(taught_store, tmp_path / "a", teacher=None, device="cpu", **TINY)
    cross_validate(config, 2)
    other = TrainConfig(taught_store, tmp_path / "a", teacher=None, device="cpu", lr=0.01, **TINY)
    run = train(other)
    with pytest.raises(RunError, match=r"those in .*a-folds are not finished, or of a run with ot"):
        evaluate(run, "folds", device="cpu")


def test_folds_that_are_made_anew_leave_nothing_old(taught_store, tmp_path, monkeypatch):
    config = TrainConfig(taught_store, tmp_path / "a", teacher=None, device="cpu", **TINY)
    cross_validate(config, 4)
    run = train(config)
    evaluate(run, "folds", device="cpu")
    assert read_result(run, split="folds").folds == 4
    cross_validate(replace(config, overwrite=True), 2)
    with pytest.raises(RunError, match=r"evaluate it with: .* --split folds"):
        read_result(run, split="folds")
    evaluate(run, "folds", device="cpu")
    assert read_result(run, split="folds").folds == 2
    with pytest.raises(ConfigError, match="leave out --label-fraction"):
        cross_validate(replace(config, label_fraction=0.5), 3)
    assert evaluate(run, "folds", device="cpu")["last"].count == 12  # nothing was touched
    with pytest.raises(ConfigError, match="Absent"):
        cross_validate(replace(config, overwrite=True, student="tiny_student:Absent"), 3)
    assert evaluate(run, "folds", device="cpu")["last"].count == 12  # nor then
    monkeypatch.setattr("pointmcd.training.folds.train_all", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # as if killed in the first fold
        cross_validate(replace(config, overwrite=True), 3)
    with pytest.raises(RunError, match="are not finished"):
        evaluate(run, "folds", device="cpu")


def test_other_numbers_of_folds_are_told(taught_store, tmp_path):
    runs = []
    for name, folds in (("a", 2), ("b", 3)):
        config = TrainConfig(taught_store, tmp_path / name, teacher=None, device="cpu", **TINY)
        cross_validate(config, folds)
        runs.append(train(config))
        evaluate(runs[-1], "folds", device="cpu")
    found = compare(runs[:1], runs[1:], split="folds")
    assert any("have different numbers of folds: 3 and 2" in text for text in found.warnings)


def test_a_class_of_test_shapes_alone_keeps_its_place(taught_store, tmp_path):
    own = Store(taught_store)
    rows = [
        LabelRow(shape.name, shape.label, "test" if shape.label == "chair" else "train")
        for shape in own.shapes
    ]
    write_labels(tmp_path / "labels.csv", rows)
    config = TrainConfig(
        taught_store,
        tmp_path / "a",
        teacher=None,
        labels=tmp_path / "labels.csv",
        device="cpu",
        **TINY,
    )
    cross_validate(config, 2)
    found = evaluate(train(config), "folds", device="cpu")["last"]
    assert found.per_class["chair"] is None
    assert None not in (found.per_class["bed"], found.per_class["lamp"])


def test_all_is_refused_before_the_first_fold(untested, tmp_path):
    store, labels = untested
    config = TrainConfig(store, tmp_path / "a", labels=labels, teacher="nope", device="cpu", **TINY)
    with pytest.raises(ConfigError, match="teacher nope: unknown; use one of"):
        train_seeds(config, [0], folds=2)
    assert not list(tmp_path.iterdir())


def test_a_pattern_that_matches_folds_too(compared, tmp_path, cli):
    out, _ = compared
    every = sorted(out.parent.glob("few-*"))
    assert any(path.name.endswith("-folds") for path in every)
    assert cli("report", *every, "--out", tmp_path / "report.html")[0] == 0
    status, _, error = cli("compare", *every, "--split", "folds")
    assert (status, error) == (0, "")


def test_from_within_the_folder(compared, monkeypatch):
    out, _ = compared
    monkeypatch.chdir(out.with_name("few-baseline-s0"))
    assert evaluate(".", "folds", device="cpu")["last"].count == 9


def test_no_best_epoch_is_compared(compared):
    out, _ = compared
    with pytest.raises(RunError, match="chose their best epoch on these shapes"):
        compare([out.with_name("few-baseline-s0")], checkpoint="best", split="folds")
