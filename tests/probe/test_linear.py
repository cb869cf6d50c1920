import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

from pointmcd.errors import PointMCDError
from pointmcd.probe import linear as module
from pointmcd.probe.features import Features
from pointmcd.probe.linear import (
    COSTS,
    ProbeResult,
    _first_best,
    linear_svm,
    nearest_neighbours,
)

Probe = Callable[..., ProbeResult]
both = pytest.mark.parametrize("probe", [linear_svm, nearest_neighbours])


@pytest.fixture
def short_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two settings to choose from, for tests of something else: a third of the time."""
    monkeypatch.setattr(module, "COSTS", (1e-3, 1e-1))
    monkeypatch.setattr(module, "NEIGHBOURS", (1, 5))


def blobs(
    per_class: int, classes: int = 4, noise: float = 0.3, seed: int = 1, channels: int = 12
) -> Features:
    """Shapes around one centre for each class; the centres are the same for every seed."""
    centres = np.random.default_rng(0).normal(size=(classes, channels))
    labels = np.arange(per_class * classes) % classes
    noises = np.random.default_rng(seed).normal(size=(len(labels), channels))
    return Features(centres[labels] + noise * noises, labels)


@pytest.mark.usefixtures("short_grids")
@both
def test_separable_classes_are_all_found(probe: Probe) -> None:
    test = blobs(5, seed=2)
    found = probe(blobs(10), test)
    assert (found.accuracy, found.class_accuracy, found.cross_validated) == (1.0, 1.0, 1.0)
    assert found.predictions.dtype == np.int64
    assert found.predictions.tolist() == test.labels.tolist()


@both
def test_shuffled_labels_are_found_by_chance_only(probe: Probe) -> None:
    train = blobs(40)
    shuffled = Features(train.values, np.random.default_rng(3).permutation(train.labels))
    found = probe(shuffled, blobs(40, seed=2))
    assert 0.05 < found.accuracy < 0.45
    assert found.cross_validated is not None
    assert found.cross_validated < 0.4


@pytest.mark.parametrize(("noise", "seed"), [(1.0, 0), (2.5, 1)])
def test_svm_is_the_plain_pipeline_with_libsvms_own_kernel(noise: float, seed: int) -> None:
    train, test = blobs(15, noise=noise), blobs(25, noise=noise, seed=2)
    plain = GridSearchCV(
        make_pipeline(StandardScaler(), SVC(kernel="linear")),
        {"svc__C": COSTS},
        cv=StratifiedKFold(5, shuffle=True, random_state=seed),
    ).fit(train.values, train.labels)
    found = linear_svm(train, test, seed)
    assert found.chosen == plain.best_params_["svc__C"]
    assert found.cross_validated == pytest.approx(plain.best_score_)
    assert found.predictions.tolist() == plain.predict(test.values).tolist()
    assert found.accuracy == plain.score(test.values, test.labels)


def test_neighbours_are_the_plain_pipeline() -> None:
    train, test = blobs(15, noise=2.5), blobs(25, noise=2.5, seed=2)
    plain = GridSearchCV(
        make_pipeline(StandardScaler(), Normalizer(), KNeighborsClassifier()),
        {"kneighborsclassifier__n_neighbors": (1, 3, 5, 10, 20)},
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
    ).fit(train.values, train.labels)
    found = nearest_neighbours(train, test)
    assert found.chosen == plain.best_params_["kneighborsclassifier__n_neighbors"] > 1
    assert found.predictions.tolist() == plain.predict(test.values).tolist()


def test_neighbours_by_naive_cosine() -> None:
    train, test = blobs(1, classes=6), blobs(4, classes=6, noise=1.0, seed=2)
    found = nearest_neighbours(train, test)
    mean, deviation = train.values.mean(axis=0), train.values.std(axis=0)
    for row, predicted in zip(test.values, found.predictions, strict=True):
        asked = (row - mean) / deviation
        cosines = [
            asked @ shown / np.linalg.norm(shown) for shown in (train.values - mean) / deviation
        ]
        assert predicted == train.labels[int(np.argmax(cosines))]


def test_of_equally_good_settings_the_first_is_chosen() -> None:
    train = blobs(10, noise=1e-3)
    # Every C and every k up to 8, the members that a fold leaves, makes no mistake.
    assert linear_svm(train, train).chosen == COSTS[0]
    assert nearest_neighbours(train, train).chosen == 1


def test_scores_that_differ_by_rounding_are_equally_good() -> None:
    means = np.array([0.8, np.nextafter(0.9, 0), 0.9, 0.85])
    assert _first_best({"mean_test_score": means}) == 1


@pytest.mark.usefixtures("short_grids")
def test_class_accuracy_weighs_classes_alike() -> None:
    train = blobs(10, classes=2)
    values = np.concatenate([train.values[:4], train.values[:1], train.values[:1]])
    test = Features(values, np.array([*train.labels[:4], 1, 7]))
    found = linear_svm(train, test)
    assert found.predictions.tolist() == [0, 1, 0, 1, 0, 0]
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.class_accuracy == pytest.approx((1 + 2 / 3 + 0) / 3)


@pytest.mark.usefixtures("short_grids")
@both
@pytest.mark.parametrize("shift", [0, 1])
def test_one_test_shape(probe: Probe, shift: int) -> None:
    one = blobs(1, seed=2).take(np.array([2]))
    found = probe(blobs(6), Features(one.values, one.labels + shift))
    assert (found.accuracy, found.class_accuracy) == (1.0 - shift, 1.0 - shift)
    assert found.predictions.tolist() == [2]


@pytest.mark.usefixtures("short_grids")
@both
def test_a_class_of_one_train_shape_raises_no_warning(probe: Probe) -> None:
    train = blobs(6)
    train = train.take((train.labels != 3) | (np.arange(24) == 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = probe(train, blobs(3, noise=0.01, seed=2))
    assert found.cross_validated is not None
    assert found.cross_validated < 1.0  # the lone shape cannot be found when held out
    if probe is linear_svm:
        assert 3 in found.predictions


@pytest.mark.usefixtures("short_grids")
@both
def test_folds_that_leave_one_class_are_left_out(probe: Probe) -> None:
    train = blobs(5, classes=2)
    found = probe(train.take(np.array([0, 1, 2, 4, 6, 8])), blobs(3, classes=2, noise=0.01))
    assert found.cross_validated == pytest.approx(1.0)


@pytest.mark.usefixtures("short_grids")
@both
def test_many_classes_of_few_shapes_raise_no_warning(probe: Probe) -> None:
    train = blobs(2, classes=30, channels=40).take(np.arange(50))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe(train, blobs(1, classes=30, channels=40)).cross_validated is not None


@pytest.mark.parametrize(("probe", "chosen"), [(linear_svm, 1e-2), (nearest_neighbours, 1.0)])
def test_one_shape_of_each_class_leaves_no_choice(probe: Probe, chosen: float) -> None:
    found = probe(blobs(1), blobs(5, noise=0.01, seed=2))
    assert (found.chosen, found.cross_validated) == (chosen, None)
    assert found.accuracy == 1.0


@both
def test_the_choice_never_depends_on_test(probe: Probe) -> None:
    train = blobs(12, noise=1.5)
    first, second = (probe(train, blobs(6, noise=n, seed=s)) for n, s in ((0.1, 5), (9.0, 6)))
    assert first.accuracy != second.accuracy
    assert (first.chosen, first.cross_validated) == (second.chosen, second.cross_validated)


@pytest.mark.usefixtures("short_grids")
@both
def test_test_shapes_are_judged_one_by_one(probe: Probe) -> None:
    train, test = blobs(12, noise=1.5), blobs(9, noise=1.5, seed=2)
    order = np.random.default_rng(4).permutation(len(test.labels))
    whole, permuted = probe(train, test), probe(train, test.take(order))
    assert permuted.predictions.tolist() == whole.predictions[order].tolist()
    assert permuted.accuracy == whole.accuracy
    assert permuted.class_accuracy == pytest.approx(whole.class_accuracy)


@pytest.mark.usefixtures("short_grids")
@both
def test_order_of_train_shapes_does_not_matter(probe: Probe) -> None:
    # Other orders give other folds, so that only a clear choice of setting can stay.
    train, test = blobs(12, noise=0.3), blobs(9, noise=1.2, seed=2)
    order = np.random.default_rng(4).permutation(len(train.labels))
    first, second = probe(train, test), probe(train.take(order), test)
    assert first.chosen == second.chosen
    assert first.accuracy < 1.0
    assert first.predictions.tolist() == second.predictions.tolist()


@pytest.mark.usefixtures("short_grids")
@both
def test_scale_and_offset_do_not_matter(probe: Probe) -> None:
    train, test = blobs(12, noise=1.5), blobs(9, noise=1.5, seed=2)
    plain = probe(train, test)
    stretch = np.geomspace(1e-3, 1e30, train.values.shape[1])
    for scale, offset in ((1000.0, 500.0), (stretch, 0.0)):
        moved = [Features(part.values * scale + offset, part.labels) for part in (train, test)]
        found = probe(*moved)
        assert found.predictions.tolist() == plain.predictions.tolist()
        assert (found.chosen, found.cross_validated) == (plain.chosen, plain.cross_validated)


@pytest.mark.usefixtures("short_grids")
@both
def test_a_huge_constant_channel_and_a_huge_test_value(probe: Probe) -> None:
    train, test = blobs(12), blobs(9, seed=2)
    wide = [
        Features(np.column_stack([part.values, np.full(len(part.values), 1e30)]), part.labels)
        for part in (train, test)
    ]
    assert probe(*wide).accuracy == 1.0
    test.values[0, 0] = 3e38
    assert probe(train, test).predictions[1:].tolist() == test.labels[1:].tolist()


@pytest.mark.usefixtures("short_grids")
@both
def test_features_that_say_nothing(probe: Probe) -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    found = probe(Features(np.ones((6, 3)), labels), Features(np.ones((2, 3)), labels[3:5]))
    assert found.accuracy == 0.5


@both
def test_unusable_input_is_named(probe: Probe) -> None:
    train = blobs(3)
    with pytest.raises(PointMCDError, match="shows one class; a probe needs at least two"):
        probe(train.take(train.labels == 1), train)
    with pytest.raises(PointMCDError, match="equal channels: 12 and 5"):
        probe(train, Features(train.values[:, :5], train.labels))
    with pytest.raises(PointMCDError, match="seed of a probe"):
        probe(train, train, seed=-1)
