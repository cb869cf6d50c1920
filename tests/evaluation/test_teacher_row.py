"""A teacher that does the task itself is a row beside its students."""

import shutil

import numpy as np
import pytest

from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_rows
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.files import remove
from pointmcd.teachers.stored import map_output, teacher_folder

FEW, ALL = {"label_fraction": 0.1}, {}


def taught(settings, fingerprint="f"):
    settings = {"teacher": "lite0", **settings}
    return {"teacher": {"name": "t", "fingerprint": fingerprint, "settings": settings}}


def with_teacher(bench, run, accuracy, seed):
    """Add a teacher's predictions, right with probability `accuracy`."""
    guess = bench.predictions(accuracy, 1000 + seed)
    kept = dict(np.load(run / "predictions-test-last.npz"))
    kept["predictions"] = guess
    kept["probabilities"] = np.float32(np.eye(3)[guess])
    np.savez(run / "predictions-test-teacher.npz", **kept)
    return run


def test_it_is_evaluated_on_the_same_shapes(trained_run, taught_store, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run")
    found = evaluate(run, device="cpu")["teacher"]
    store = Store(taught_store)
    test = store.indices("test")
    answers = map_output(store, "lite0", "logits", test)[:].argmax(axis=1)
    assert found.scores.tolist() == (answers == store.labels(test)).tolist()
    with np.load(run / "predictions-test-teacher.npz") as kept:
        assert kept["predictions"].tolist() == answers.tolist()
        np.testing.assert_allclose(kept["probabilities"].sum(axis=1), 1, rtol=1e-5)
    (row,) = (row for row in comparison_rows(compare([run])) if row[0] == "teacher")
    assert row[2].split()[0] == f"{100 * (answers == store.labels(test)).mean():.1f}"


def test_without_it_there_is_no_row(trained_run, taught_store, tmp_path):
    store = shutil.copytree(taught_store, tmp_path / "store")
    run = shutil.copytree(trained_run, tmp_path / "run")
    remove(teacher_folder(Store(store), "lite0"))
    assert set(evaluate(run, store=store, device="cpu")) == {"last", "best"}
    assert compare([run]).teachers == ()


def test_it_is_held_against_the_baseline_and_is_no_variant(bench):
    baseline = bench.variant("baseline", 0.5)
    distilled = [
        with_teacher(bench, bench.run("distilled", s, 0.6, info=taught(ALL, str(s))), 0.9, s)
        for s in (0, 1, 2)
    ]
    found = compare(distilled, baseline)
    assert [variant.label for variant in found.all_variants] == ["baseline", "distilled"]
    ((teacher, difference),) = found.teachers
    assert (teacher.label, teacher.seeds) == ("teacher", (0, 1, 2))
    expected = [np.mean(bench.predictions(0.9, 1000 + s) == bench.labels) for s in (0, 1, 2)]
    assert teacher.score.mean == pytest.approx(np.mean(expected))
    gain = teacher.score.mean - found.baseline.score.mean
    assert difference.overall.mean == pytest.approx(gain)
    assert [row[0] for row in comparison_rows(found)] == ["baseline", "distilled", "teacher"]


def test_one_teacher_of_three_students_is_one_seed(bench):
    baseline = bench.variant("baseline", 0.5)
    runs = [
        with_teacher(bench, bench.run("distilled", s, 0.6, info=taught(ALL)), 0.9, 0)
        for s in (0, 1, 2)
    ]
    found = compare(runs, baseline)
    ((teacher, difference),) = found.teachers
    assert (teacher.seeds, teacher.score.std) == ((0,), None)
    gain = teacher.score.mean - found.baseline.score.mean
    assert difference.overall.mean == pytest.approx(gain)
    *_, (label, seeds, accuracy, *_) = comparison_rows(found)
    assert (label, seeds) == ("teacher", "1 (seed 0)")
    assert "±" not in accuracy


def test_teachers_of_other_labels_have_rows_of_their_own(bench):
    runs = [
        with_teacher(
            bench,
            bench.run(
                *("distilled", 0, 0.6),
                name=f"d-{share}",
                info=taught(settings),
                config={"label_fraction": share},
            ),
            0.9,
            0,
        )
        for share, settings in ((0.1, FEW), (1.0, ALL))
    ]
    labels = [teacher.label for teacher, _ in compare(runs).teachers]
    assert labels == ["teacher (label_fraction 0.1)", "teacher (label_fraction 1.0)"]


def test_a_teacher_of_two_variants_is_one_row(bench):
    runs = [
        with_teacher(bench, bench.run(name, 0, 0.6, info=taught(ALL)), 0.9, 0)
        for name in ("distilled", "distilled-wrong-view")
    ]
    assert [teacher.seeds for teacher, _ in compare(runs).teachers] == [(0,)]
