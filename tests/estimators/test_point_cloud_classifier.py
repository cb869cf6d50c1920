"""The estimators as users of scikit-learn call them, on small real clouds."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import trimesh
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import pointmcd
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError, ShapeError
from pointmcd.estimators.base import is_unknown
from pointmcd.estimators.classifier import PointCloudClassifier, PointCloudEmbedder, _named_as_given
from pointmcd.training.run import Run

TINY = {"student": "tiny_student:TinyStudent", "points": 64, "epochs": 3, "batch_size": 4}
#: The name of a mesh, whatever is in it.
MESH = str(Path(__file__).parents[1] / "inference" / "mfcad_block.off")
TINY |= {"workers": 1, "device": "cpu"}
SMALL = "module:own_encoders:Own"  # a teacher that reads all views in no time


@pytest.fixture(scope="module")
def shapes(tiny_store):
    """Clouds [18, 64, 3] and their classes."""
    store = Store(tiny_store)
    every = np.arange(len(store.shapes))
    return store.points(every, 64), np.array([str(one.label) for one in store.shapes])


@pytest.fixture(scope="module")
def few(shapes):
    """Six of them, two of each class, for what has nothing to do with their number."""
    return shapes[0][::3], shapes[1][::3]


@pytest.fixture(scope="module")
def baseline(shapes):
    return PointCloudClassifier(teacher=None, **TINY).fit(*shapes)


def test_it_predicts_classes_and_probabilities(baseline, shapes):
    clouds, labels = shapes
    said = baseline.predict_proba(clouds)
    assert baseline.classes_.tolist() == ["bed", "chair", "lamp"]
    assert said.shape == (18, 3)
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)
    assert (baseline.predict(clouds) == baseline.classes_[said.argmax(axis=1)]).all()
    assert baseline.score(clouds, labels) == np.mean(baseline.predict(clouds) == labels)
    assert baseline.predict(clouds[:0]).shape == (0,)


def test_shapes_without_label_are_not_scored(baseline, shapes):
    clouds, labels = shapes
    some = [str(label) if i % 3 else None for i, label in enumerate(labels)]
    right = baseline.predict(clouds) == labels
    known = np.arange(len(labels)) % 3 > 0
    assert baseline.score(clouds, some) == np.mean(right[known])
    weights = np.arange(len(labels), dtype=float)
    wanted = np.average(right[known], weights=weights[known])
    assert baseline.score(clouds, some, sample_weight=weights) == pytest.approx(wanted)
    with pytest.raises(ConfigError, match="no label is known"):
        baseline.score(clouds, [None] * len(clouds))
    with pytest.raises(ConfigError, match="X has 18 shapes, y 1 labels"):
        baseline.score(clouds, ["bed"])


def test_a_broken_file_is_named_as_it_was_given(furniture_root, tmp_path):
    files = sorted((furniture_root / "bed" / "train").glob("*.off"))[:2]
    broken = tmp_path / "half a, file.off"
    broken.write_text("OFF\n3 1 0\n0 0 0\n")
    made = PointCloudClassifier("tiny_student:TinyStudent", teacher=None, **_without("student"))
    with pytest.raises(ShapeError) as error:
        made.fit([*files, broken], ["a", "b", "a"])
    assert str(error.value).startswith(f"X[2] {broken}: ")
    gone = tmp_path / "shapes" / "000123.off"
    with pytest.raises(ShapeError, match=r"^X\[2\] .*000123\.off: does not exist"):
        made.fit([*files, gone], ["a", "b", "a"])


def test_place_and_size_of_a_cloud_do_not_matter(baseline, shapes):
    clouds = shapes[0][:4]
    moved = [3.0 * cloud.astype(np.float64) + [1, 2, 3] for cloud in clouds]
    np.testing.assert_allclose(
        baseline.predict_proba(moved), baseline.predict_proba(clouds), atol=1e-4
    )


def test_a_distilled_one_learns_from_shapes_without_label(shapes, tmp_path):
    clouds, labels = shapes
    numbers = np.unique(labels, return_inverse=True)[1]
    numbers[1::2] = -1  # as in scikit-learn's semi-supervised estimators
    made = PointCloudClassifier(teacher=SMALL, folder=tmp_path, teacher_epochs=2, **TINY)
    made.fit(list(clouds), numbers)
    run = Run(tmp_path / "run")
    assert run.meta["teacher"]["name"].startswith("module-own_encoders-Own-labels-")
    assert run.config.objective == ("logits:9",)
    assert run.meta["shapes"]["train"] == (numbers >= 0).sum()
    assert set(made.predict(clouds)) <= set(made.classes_.tolist())


def test_fits_on_the_same_shapes_share_what_is_prepared(few, tmp_path):
    clouds, labels = few
    options = TINY | {"teacher": None, "store": tmp_path / "stores"}
    plain = PointCloudClassifier(teacher=None, **TINY).fit(clouds, labels)
    made = PointCloudClassifier(**options).fit(clouds, labels)
    np.testing.assert_array_equal(made.predict_proba(clouds), plain.predict_proba(clouds))

    def written():
        files = (tmp_path / "stores").glob("*/store/shards/*/points.npy")
        return {file.parts[-5]: file.stat().st_mtime_ns for file in files}

    first = written()
    PointCloudClassifier(**options | {"epochs": 1}).fit(clouds, labels[::-1])
    assert written() == first
    for other in (clouds[1:], clouds[::-1]):  # of other shapes, or in another order
        PointCloudClassifier(**options | {"epochs": 1}).fit(other, labels[: len(other)])
    PointCloudClassifier(**options | {"epochs": 1, "points": 32}).fit(clouds, labels)
    assert len(written()) == 4
    assert first.items() < written().items()
    (place,) = first
    kept = {path.name for path in (tmp_path / "stores" / place).iterdir()}
    assert kept == {".lock", "shapes", "store"}


@pytest.mark.slow
def test_fits_on_the_same_shapes_share_the_teacher(shapes, tmp_path):
    clouds, labels = shapes
    options = TINY | {"teacher": "lite0", "store": tmp_path / "stores", "epochs": 1}
    both = (PointCloudClassifier(**options | {"batch_size": size}) for size in (3, 4))
    joblib.Parallel(2)(joblib.delayed(one.fit)(clouds, labels) for one in both)  # one waits
    (teacher,) = (tmp_path / "stores").glob("*/store/teachers/*/teacher.json")
    made = teacher.stat().st_mtime_ns
    PointCloudClassifier(**options).fit(clouds, labels)
    assert teacher.stat().st_mtime_ns == made
    PointCloudEmbedder(**options).fit(clouds)
    names = {path.name for path in (tmp_path / "stores").glob("*/store/teachers/*")}
    assert names == {teacher.parent.name, "lite0-features"}


def _without(name):
    return {key: value for key, value in TINY.items() if key != name}


def test_the_same_state_gives_the_same_answers(baseline, shapes):
    again = clone(baseline)
    assert not hasattr(again, "model_")
    np.testing.assert_array_equal(
        again.fit(*shapes).predict_proba(shapes[0]), baseline.predict_proba(shapes[0])
    )
    other = clone(baseline).set_params(random_state=1).fit(*shapes)
    assert not np.array_equal(other.predict_proba(shapes[0]), baseline.predict_proba(shapes[0]))


def test_a_fitted_one_is_pickled_with_its_weights(baseline, shapes):
    there = pickle.loads(pickle.dumps(baseline))
    np.testing.assert_array_equal(there.predict_proba(shapes[0]), baseline.predict_proba(shapes[0]))


def test_files_of_meshes(tiny_store, tmp_path):
    files = sorted(map(str, (tiny_store.parent / "meshes").rglob("*.off")))
    labels = [file.split("/")[-3] for file in files]
    made = PointCloudClassifier(teacher=None, **TINY).fit(files, labels)
    assert made.predict(np.array(files[:2])).shape == (2,)
    assert set(made.classes_) == set(labels)


def test_in_a_grid_search_and_a_pipeline(few):
    clouds, labels = few
    search = GridSearchCV(PointCloudClassifier(teacher=None, **TINY), {"epochs": [1, 2]}, cv=2)
    search.fit(clouds, labels)
    assert search.best_params_["epochs"] in (1, 2)
    made = make_pipeline(PointCloudEmbedder(teacher=None, **TINY), LogisticRegression())
    made.fit(clouds, labels)
    assert made.predict(clouds[:3]).shape == (3,)
    rows = made[0].transform(clouds)
    assert rows.shape == (6, made[0].model_.student.num_features)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda x, y: (x[:3], y), ConfigError, "X has 3 shapes, y 18 labels"),
        (lambda x, y: (x, ["bed"] * 18), ConfigError, "y: names 1 class"),
        (lambda x, y: (x, [None] * 18), ConfigError, "y: names no class"),
        (lambda x, y: (x, np.array(["a", "b", -1] * 6)), ConfigError, "'-1', 'nan' or 'None'"),
        (lambda x, y: (x, np.array(["a", "b", np.nan] * 6)), ConfigError, "'-1', 'nan' or 'None'"),
        (lambda x, y: (x, ["a", 1] * 9), ConfigError, "all texts or all numbers"),
        (lambda x, y: (x, [("a", 1), ("b", 2)] * 9), ConfigError, "all texts or all numbers"),
        (
            lambda x, y: (x, np.array([[0], [1]] * 9)),
            ConfigError,
            r"y: is a ndarray of shape \[18, 1\]; give a list of labels \[S\]",
        ),
        (lambda x, y: (x, dict(enumerate(y))), ConfigError, "y: is a dict; give a list"),
        (lambda x, y: (x, "bed"), ConfigError, "y: is a str; give a list"),
        (lambda x, y: (x, 3), ConfigError, "y: is a int; give a list"),
        (
            lambda x, y: (x, np.array([-1, 1] * 9)),
            ConfigError,
            "names 1 class; two or more are needed; -1 marks an unknown label",
        ),
        (lambda x, y: (x, [np.nan] * 18), ConfigError, "names no class; two or more are needed$"),
        (lambda x, y: (x, ["bed", ""] * 9), ConfigError, "names 1 class; two or more are needed$"),
        (
            lambda x, y: ([trimesh.creation.box(), *x[1:]], y),
            ShapeError,
            r"X\[0\]: is a Trimesh; give points \[N, 3\], or files",
        ),
        (lambda x, y: ([*x[1:], __file__], y), ShapeError, r"X\[17\] .*: is not a mesh or point"),
        (lambda x, y: ([".", *x[1:]], y), ShapeError, r"X\[0\] .: is a folder"),
        (lambda x, y: (x[0], y), ShapeError, r"an array of clouds is \[S, N, 3\], not \[64, 3\]"),
        (
            lambda x, y: ([c[:, :2] for c in x], y),
            ShapeError,
            r"a cloud is \[N, 3\], not \[64, 2\]",
        ),
        (
            lambda x, y: ([*x[:-1], x[0] * np.nan], y),
            ShapeError,
            "64 of 64 points are NaN",
        ),
        (lambda x, y: (["gone.off"] * 18, y), ShapeError, r"X\[0\] gone.off: does not exist"),
        (lambda x, y: ("gone.off", y), ShapeError, "is one path; give a list"),
        (
            lambda x, y: ([MESH, *x[1:]], y),
            ShapeError,
            r"mesh in X\[0\] and a cloud in",
        ),
    ],
)
def test_what_cannot_be_fitted(shapes, change, error, text):
    clouds, labels = change(*shapes)
    with pytest.raises(error, match=text):
        PointCloudClassifier(teacher=None, **TINY).fit(clouds, labels)


def test_a_quiet_fit(few, capfd):
    PointCloudClassifier(teacher=None, **TINY, verbose=False).fit(*few)
    assert capfd.readouterr() == ("", "")
    PointCloudClassifier(teacher=None, **TINY).fit(*few)
    assert "prepare" in capfd.readouterr().err


def test_not_fitted(shapes):
    with pytest.raises(NotFittedError):
        PointCloudClassifier().predict(shapes[0])


def test_public_names():
    assert pointmcd.PointCloudClassifier is PointCloudClassifier
    assert pointmcd.PointCloudEmbedder is PointCloudEmbedder


def test_an_embedder_needs_no_labels(shapes):
    clouds = shapes[0][:9]
    embedder = PointCloudEmbedder(teacher=SMALL, **TINY | {"epochs": 1}).fit(clouds)
    found = embedder.transform(clouds[:2])
    assert found.shape == (2, embedder.model_.student.num_features)
    assert len(embedder.get_feature_names_out()) == found.shape[1]
    assert np.isfinite(found).all()
    with pytest.raises(ConfigError, match="y: is None, and there is no teacher"):
        PointCloudEmbedder(teacher=None, **TINY).fit(clouds)


@pytest.mark.parametrize("state", [None, np.random.RandomState(3), np.int64(3)], ids=str)
def test_random_state_is_what_scikit_learn_takes(few, state):
    made = PointCloudClassifier(teacher=None, **TINY | {"epochs": 1}, random_state=state)
    assert made.fit(*few).predict(few[0][:2]).shape == (2,)


def test_labels_must_be_given(shapes):
    with pytest.raises(ConfigError, match="y: is None; give a label for each shape"):
        PointCloudClassifier(**TINY).fit(shapes[0])


def test_one_objective_and_a_teacher_of_few_epochs(shapes, tmp_path):
    options = TINY | {
        "teacher": SMALL,
        "folder": tmp_path,
        "objective": "logits:3",
        "teacher_epochs": 2,
    }
    PointCloudClassifier(**options).fit(*shapes)
    assert Run(tmp_path / "run").config.objective == ("logits:3",)
    (teacher,) = (tmp_path / "store" / "teachers").glob("*/teacher.json")
    assert json.loads(teacher.read_text())["settings"]["epochs"] == 2
    with pytest.raises(ConfigError, match=r"^folder: .*run is of another fit; choose another"):
        PointCloudClassifier(**options | {"epochs": 2}).fit(*shapes)
    with pytest.raises(ConfigError, match=r"^folder: .*Own-\S* is of another fit; choose another"):
        PointCloudClassifier(**options | {"teacher_epochs": 3}).fit(*shapes)


def test_numbers_of_numpy(few, tmp_path):
    names = ("points", "epochs", "batch_size", "teacher_epochs", "random_state")
    numbers = {name: np.int64(value) for name, value in zip(names, (32, 1, 4, 1, 3), strict=True)}
    PointCloudClassifier(teacher=SMALL, **TINY | numbers, folder=tmp_path).fit(*few)
    assert Run(tmp_path / "run").config.points == 32


def test_a_loss_that_is_not_finite_is_told_as_it_is(few):
    diverging = PointCloudClassifier(teacher=None, **TINY)
    diverging._training = lambda *args, **kwargs: replace(
        PointCloudClassifier._training(diverging, *args, **kwargs), lr=1e30
    )
    with pytest.raises(RunError, match="loss is no longer finite"):
        diverging.fit(*few)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"student": "pointnett"}, "pointnett"),
        ({"teacher": "lite9"}, "lite9"),
        ({"epochs": -1}, "^epochs -1: must be at least 0"),
        ({"points": "128"}, "^points: is '128'; give a whole number"),
        ({"points": None}, "^points: is None; give a whole number"),
        ({"teacher_epochs": 2.5}, "^teacher_epochs: is 2.5; give a whole number"),
        ({"teacher_epochs": 0}, "^teacher_epochs: is 0; must be at least 1"),
        ({"random_state": 2**32}, "^random_state: is 4294967296; must be from 0 to 4294967295"),
        ({"objective": 3}, "^objective: is 3; give a text, or a list of them"),
        ({"objective": "logit"}, "objective logit: unknown"),
        ({"device": "gpu"}, "device gpu: not available here"),
    ],
)
def test_a_wrong_parameter_is_told_before_any_work(shapes, wrong, text, tmp_path):
    estimator = pointmcd.PointCloudClassifier(folder=tmp_path / "work", **wrong)
    with pytest.raises(ConfigError, match=text):
        estimator.fit(*shapes)
    assert not (tmp_path / "work").exists()


class NAType:
    """As pandas', whose comparisons have no truth value."""

    def __eq__(self, other):
        raise TypeError("boolean value of NA is ambiguous")

    __ne__ = __eq__
    __hash__ = None


@pytest.mark.parametrize(
    ("label", "unknown"),
    [
        *((NAType(), True), (None, True), (np.nan, True), (-1, True), ("-1", False), (0, False)),
        *(("", True), (" \t", True), (np.str_(""), True)),
    ],
)
def test_which_labels_are_unknown(label, unknown):
    assert is_unknown(label) is unknown


def test_a_file_that_is_named_like_a_copy_keeps_its_name():
    with pytest.raises(ShapeError, match=r"^/data/000999.off: br"), _named_as_given(["a.off"]):
        raise ShapeError("/data/000999.off: broken")


def test_a_run_is_a_fitted_estimator(trained_run, shapes, tmp_path):
    made = PointCloudClassifier.from_pretrained(trained_run, device="cpu")
    np.save(tmp_path / "a.npy", shapes[0][0])
    (wanted,) = pointmcd.predict(trained_run, tmp_path / "a.npy", device="cpu")
    assert made.predict([tmp_path / "a.npy", shapes[0][0]]).tolist() == [wanted.label] * 2
    assert made.classes_.tolist() == Run(trained_run).meta["classes"]
    assert made.get_params()["student"] == Run(trained_run).meta["student"]


def test_weights_are_frozen_in_a_pipeline(few):
    frozen = pytest.importorskip("sklearn.frozen")
    clouds, labels = few
    name = "pointnet2-ldraw32"
    embedder = PointCloudEmbedder.from_pretrained(name, device="cpu")
    before = embedder.transform(clouds[:2])
    model = make_pipeline(frozen.FrozenEstimator(embedder), LogisticRegression(max_iter=1000))
    assert set(model.fit(clouds, labels).predict(clouds[:3])) <= set(labels)
    np.testing.assert_array_equal(model[0].transform(clouds[:2]), before)


def test_weights_that_classify_no_clouds_are_refused():
    for kind in (PointCloudClassifier, PointCloudEmbedder):
        with pytest.raises(ConfigError, match="pointnet2-mfcad16: takes normals"):
            kind.from_pretrained("pointnet2-mfcad16")
