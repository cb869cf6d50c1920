"""The part segmenter as users of scikit-learn call it, on small clouds cut by height."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

import pointmcd
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, ShapeError
from pointmcd.estimators.parts import distinct_parts, read_parts
from pointmcd.estimators.segmenter import PartSegmenter
from pointmcd.metrics.part_iou import shape_ious
from pointmcd.training.run import Run

TINY = {"student": "tiny_student:TinyStudent", "points": 64, "epochs": 40, "batch_size": 4}
TINY |= {"workers": 1, "device": "cpu", "teacher": None}
TAUGHT = {"teacher": "lite0", "teacher_epochs": 2, "epochs": 2}
KINDS = ["slab"] * 4 + ["rod"] * 4


@pytest.fixture(scope="module")
def clouds():
    """Boxes [8, 100, 3], the last four thin."""
    points = np.random.default_rng(0).uniform(-1, 1, (8, 100, 3))
    points[4:, :, [0, 2]] *= 0.3
    return points


@pytest.fixture(scope="module")
def parts(clouds):
    """A foot below, the rest above: the head of rods, the top of slabs."""
    names = np.where(clouds[:, :, 1] < 0, "foot", "top").astype("<U4")
    names[4:][names[4:] == "top"] = "head"
    return names


@pytest.fixture(scope="module")
def halves(clouds):
    """Numbers of two parts, 3 below and 7 above."""
    return np.where(clouds[:, :, 1] < 0, 3, 7)


@pytest.fixture(scope="module")
def fitted(clouds, halves):
    return PartSegmenter(**TINY).fit(clouds, halves)


def test_it_names_the_part_of_every_point(fitted, clouds, halves):
    odds = fitted.predict_proba(clouds)
    assert fitted.parts_.tolist() == [3, 7]
    assert odds.shape == (8, 100, 2)  # of all 100 points, though the network sees 64
    np.testing.assert_allclose(odds.sum(axis=2), 1)
    said = fitted.predict(clouds)
    np.testing.assert_array_equal(said, fitted.parts_[odds.argmax(axis=2)])
    assert (said == halves).mean() > 0.8
    assert fitted.predict(clouds[:0]).shape == (0, 100)
    assert fitted.predict_proba(clouds[:0]).shape == (0, 100, 2)


def test_its_score_is_the_mean_instance_iou(fitted, clouds, halves):
    truth, said = (halves == 7).astype(int), (fitted.predict(clouds) == 7).astype(int)
    ious = shape_ious(truth, said, np.zeros(8, int), [[0, 2]])
    assert fitted.score(clouds, halves) == pytest.approx(ious.mean())
    whole = np.full(100, 9)  # a part that was not learnt: half a point of union for each other
    assert fitted.score(clouds[:1], [whole]) < 1 / 3


def test_points_are_answered_in_their_order(fitted, clouds):
    order = np.random.default_rng(1).permutation(100)
    some = [cloud[: 40 + 10 * i] for i, cloud in enumerate(clouds[:3])]
    said = fitted.predict(some)
    assert [one.shape for one in said] == [(40,), (50,), (60,)]
    turned = fitted.predict([5 * some[2][order[order < 60]] + 1])[0]
    np.testing.assert_array_equal(turned, said[2][order[order < 60]])


def test_classes_limit_the_parts(clouds, parts, tmp_path):
    files = [tmp_path / f"{number}.npy" for number in range(8)]
    for file, cloud in zip(files, clouds, strict=True):
        np.save(file, cloud)
    made = PartSegmenter(**TINY).fit(files, list(parts), classes=KINDS)
    assert made.classes_.tolist() == ["rod", "slab"]
    assert made.parts_.tolist() == ["foot", "head", "top"]
    odds = made.predict_proba(clouds, classes=np.array(KINDS))
    assert (odds[:4, :, 1] == 0).all()
    assert (odds[4:, :, 2] == 0).all()
    assert made.score(clouds, parts, classes=KINDS) > 0.6
    with pytest.raises(ConfigError, match="fitted to 2 classes; give one for each shape"):
        made.predict(clouds)
    with pytest.raises(ConfigError, match=r"classes\[1\]: 'cone' was not learnt; use one of 'rod'"):
        made.predict(clouds[:2], classes=["rod", "cone"])


def test_points_and_shapes_without_label(clouds, halves):
    some = [list(row) for row in np.where(clouds[:, :, 0] < 0.2, halves, -1)]
    some[0][:50] = [None] * 50
    some[5] = None
    made = PartSegmenter(**TINY).fit(clouds, some)
    assert made.parts_.tolist() == [3, 7]
    assert made.score(clouds, halves) > 0.5
    assert made.score(clouds, some) != made.score(clouds, halves)
    names = [None if row is None else np.array(row, dtype=object) for row in some]
    same = PartSegmenter(**TINY).fit(clouds, names)
    np.testing.assert_array_equal(same.predict(clouds), made.predict(clouds))
    with pytest.raises(ConfigError, match="y: no point of class 'slab' has a label"):
        made.fit(clouds, [*[None] * 4, *halves[4:]], classes=KINDS)


@pytest.mark.parametrize("kind", [str, object])
def test_a_blank_text_is_no_part(clouds, halves, kind):
    names = np.where(halves == 3, "leg", "seat").astype(kind)
    names[:, :9], names[:, 9] = "", " "
    found = read_parts(names, clouds)
    assert distinct_parts(found).tolist() == ["leg", "seat"]
    assert all(one.known.sum() == 90 for one in found)


def test_files_of_clouds(fitted, clouds, tmp_path):
    files = [str(tmp_path / "a.npy"), tmp_path / "b.xyz"]
    np.save(files[0], clouds[0])
    np.savetxt(files[1], clouds[1, :50])
    said = fitted.predict(files)
    np.testing.assert_array_equal(said[0], fitted.predict(clouds[:1])[0])
    np.testing.assert_array_equal(said[1], fitted.predict([clouds[1, :50]])[0])
    mesh = tmp_path / "a.off"
    mesh.write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    with pytest.raises(ShapeError, match=r"X\[1\] .*a.off: is not a point cloud"):
        fitted.predict([files[0], mesh])


def test_it_is_cloned_pickled_and_searched(fitted, clouds, halves, tmp_path):
    assert "student='tiny_student:TinyStudent'" in repr(fitted)
    assert clone(fitted).get_params() == fitted.get_params()
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "fitted.joblib")):
        np.testing.assert_array_equal(copy.predict_proba(clouds), fitted.predict_proba(clouds))
    search = GridSearchCV(PartSegmenter(**TINY), {"epochs": [1]}, cv=2, error_score="raise")
    assert 0 <= search.fit(list(clouds), list(halves)).best_score_ <= 1


@pytest.mark.slow
def test_a_distilled_one_keeps_its_run(clouds, halves, tmp_path):
    made = PartSegmenter(**TINY | TAUGHT, folder=tmp_path)
    made.fit(clouds[:4], [*halves[:3], None])
    run = Run(tmp_path / "run")
    assert run.meta["teacher"]["name"] == "lite0-segmentation"
    assert run.config.objective == ("point_logits:1",)  # of the points of all four
    assert run.meta["shapes"]["train"] == 3
    assert Store(tmp_path / "store").parts == {"000000": ["3", "7"]}
    assert made.predict(clouds).shape == (8, 100)


def test_a_folder_of_another_fit_is_refused(clouds, halves, tmp_path):
    made = PartSegmenter(**TINY | {"epochs": 1}, folder=tmp_path).fit(clouds, halves)
    source = next(tmp_path.rglob("*.seg")).parent
    (source / ".000000.seg.1.tmp").write_text("4")  # of a fit that was killed
    again = PartSegmenter(**TINY | {"epochs": 1}, folder=tmp_path).fit(clouds, halves)
    np.testing.assert_array_equal(again.predict(clouds), made.predict(clouds))
    with pytest.raises(ConfigError, match=r"0000.seg is of another fit; choose another folder"):
        PartSegmenter(**TINY, folder=tmp_path).fit(clouds, 10 - halves[::-1])
    with pytest.raises(ConfigError, match=r"000000/000003.npy is of another fit; choose another"):
        PartSegmenter(**TINY, folder=tmp_path).fit(clouds[:3], halves[:3])


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda x, y: (x[:3], y), ConfigError, "X has 3 shapes, y the parts of 8"),
        (lambda x, y: (x, None), ConfigError, "X has 8 shapes, y the parts of 0"),
        (lambda x, y: (x[:1], y[:1]), ConfigError, "X: has 1 shapes; two or more are needed"),
        (
            lambda x, y: (x, y[:, :99]),
            ConfigError,
            r"y\[0\]: has 99 labels for the 100 points of X",
        ),
        (lambda x, y: (x, [None] * 8), ConfigError, "y: names no part; two or more are needed"),
        (lambda x, y: (x, np.array([["a", -1] * 50] * 8)), ConfigError, r"y\[0\]: has '-1', 'nan'"),
        (lambda x, y: (x, [*y[:7], [1.5] * 100]), ConfigError, r"y\[7\]: parts are integers or"),
        (lambda x, y: (x, [*y[:7], 3]), ConfigError, r"y\[7\]: has shape \[\] labels for the 100"),
        (lambda x, y: (x, y / 2), ConfigError, r"y\[0\]: parts are integers or texts, not float64"),
        (lambda x, y: (x, 0 * y), ConfigError, "y: names 1 part; two or more are needed"),
        (lambda x, y: (x, [*y[:7], ["a"] * 100]), ConfigError, "y: parts must be all texts or all"),
        (lambda x, y: ([*x[:7], x[7] * np.nan], y), ShapeError, r"X\[7\]: .* points are NaN"),
        (lambda x, y: ([*x[:7], x[7, :, :2]], y), ShapeError, r"X\[7\]: a cloud is \[N, 3\]"),
        (lambda x, y: ([*x[:7], x[7] * 0], y), ShapeError, r"X\[7\]: all points are at one place"),
        (lambda x, y: (["gone.npy"] * 8, y), ShapeError, r"X\[0\] gone.npy: does not exist"),
        (lambda x, y: ("gone.npy", y), ShapeError, "is one path; give a list"),
    ],
)
def test_what_cannot_be_fitted(clouds, halves, change, error, text):
    x, y = change(clouds, halves)
    with pytest.raises(error, match=text):
        PartSegmenter(**TINY).fit(x, y)


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        (["rod"], "classes: X has 8 shapes, classes 1"),
        ([*KINDS[:7], None], r"classes\[7\]: is None; every shape has a class"),
        ([*KINDS[:7], 3], "classes must be all texts or all numbers"),
    ],
)
def test_classes_that_do_not_fit(clouds, halves, classes, text):
    with pytest.raises(ConfigError, match=text):
        PartSegmenter(**TINY).fit(clouds, halves, classes=classes)


def test_classes_of_one_that_knows_none(fitted, clouds):
    with pytest.raises(ConfigError, match="fitted without classes; leave them out"):
        fitted.predict(clouds, classes=KINDS)


def test_not_fitted(clouds, halves):
    with pytest.raises(NotFittedError):
        PartSegmenter().predict(clouds)
    with pytest.raises(NotFittedError):
        PartSegmenter().score(clouds, halves)
    assert pointmcd.PartSegmenter is PartSegmenter


def test_a_run_of_parts_is_a_fitted_segmenter(trained_parts_run, clouds, tmp_path):
    made = PartSegmenter.from_pretrained(trained_parts_run, device="cpu")
    labels = Run(trained_parts_run).labels
    assert made.classes_.tolist() == list(labels.classes)
    assert [one.tolist() for one in made.class_parts_] == [labels.parts[k] for k in labels.classes]
    np.save(tmp_path / "a.npy", clouds[0])
    told = {"label": "chair", "out": tmp_path / "told", "device": "cpu"}
    (wanted,) = pointmcd.predict(trained_parts_run, tmp_path / "a.npy", **told)
    (said,) = made.predict([tmp_path / "a.npy"], classes=["chair"])
    numbers = np.loadtxt(wanted.seg, dtype=int)
    assert said.tolist() == [labels.parts["chair"][number] for number in numbers]
    with pytest.raises(ConfigError, match="give one for each shape"):
        made.predict(clouds)


def test_what_names_no_parts_is_refused(trained_run):
    with pytest.raises(ConfigError, match="--task classification, and names no parts"):
        PartSegmenter.from_pretrained(trained_run)
