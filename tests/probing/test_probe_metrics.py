"""Linear SVM, neighbours, few-shot and retrieval on arrays."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

from pointmcd.metrics.statistics import Spread
from pointmcd.probing import metrics as module
from pointmcd.probing.metrics import (
    COSTS,
    Fitted,
    _first_best,
    _standardiser,
    episodes,
    few_shot,
    linear_svm,
    nearest_neighbours,
    retrieval,
)
from pointmcd.probing.scores import score_features

Probe = Callable[..., Fitted]
both = pytest.mark.parametrize("probe", [linear_svm, nearest_neighbours])


class Data(NamedTuple):
    """Features [n, D] and classes [n]."""

    x: np.ndarray
    y: np.ndarray

    def take(self, rows: np.ndarray) -> "Data":
        return Data(self.x[rows], self.y[rows])


@pytest.fixture
def short_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two settings to choose from, for tests of something else: a third of the time."""
    monkeypatch.setattr(module, "COSTS", (1e-3, 1e-1))
    monkeypatch.setattr(module, "NEIGHBOURS", (1, 5))


def blobs(
    per_class: int, classes: int = 4, noise: float = 0.3, seed: int = 1, channels: int = 12
) -> Data:
    """Shapes around one centre for each class; the centres are the same for every seed."""
    centres = np.random.default_rng(0).normal(size=(classes, channels))
    labels = np.arange(per_class * classes) % classes
    noises = np.random.default_rng(seed).normal(size=(len(labels), channels))
    return Data(centres[labels] + noise * noises, labels)


def accuracy(found: Fitted, test: Data) -> float:
    return float(np.mean(found.predictions == test.y))


# Linear SVM and nearest neighbours


@pytest.mark.usefixtures("short_grids")
@both
def test_separable_classes_are_all_found(probe: Probe) -> None:
    train, test = blobs(10), blobs(5, seed=2)
    found = probe(*train, test.x)
    assert found.cross_validated == 1.0
    assert found.predictions.dtype == np.int64
    assert found.predictions.tolist() == test.y.tolist()


@both
def test_shuffled_labels_are_found_by_chance_only(probe: Probe) -> None:
    train, test = blobs(40), blobs(40, seed=2)
    found = probe(train.x, np.random.default_rng(3).permutation(train.y), test.x)
    assert 0.05 < accuracy(found, test) < 0.45
    assert found.cross_validated is not None
    assert found.cross_validated < 0.4


@pytest.mark.parametrize(("noise", "seed"), [(1.0, 0), (2.5, 1)])
def test_svm_is_the_plain_pipeline_with_libsvms_own_kernel(noise: float, seed: int) -> None:
    train, test = blobs(15, noise=noise), blobs(25, noise=noise, seed=2)
    plain = GridSearchCV(
        make_pipeline(StandardScaler(), SVC(kernel="linear")),
        {"svc__C": COSTS},
        cv=StratifiedKFold(5, shuffle=True, random_state=seed),
    ).fit(*train)
    found = linear_svm(*train, test.x, seed)
    assert found.chosen == plain.best_params_["svc__C"]
    assert found.cross_validated == pytest.approx(plain.best_score_)
    assert found.predictions.tolist() == plain.predict(test.x).tolist()


def test_neighbours_are_the_plain_pipeline() -> None:
    train, test = blobs(15, noise=2.5), blobs(25, noise=2.5, seed=2)
    plain = GridSearchCV(
        make_pipeline(StandardScaler(), Normalizer(), KNeighborsClassifier()),
        {"kneighborsclassifier__n_neighbors": (1, 3, 5, 10, 20)},
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
    ).fit(*train)
    found = nearest_neighbours(*train, test.x)
    assert found.chosen == plain.best_params_["kneighborsclassifier__n_neighbors"] > 1
    assert found.predictions.tolist() == plain.predict(test.x).tolist()


def test_neighbours_by_naive_cosine() -> None:
    train, test = blobs(1, classes=6), blobs(4, classes=6, noise=1.0, seed=2)
    found = nearest_neighbours(*train, test.x)
    mean, deviation = train.x.mean(axis=0), train.x.std(axis=0)
    for row, predicted in zip(test.x, found.predictions, strict=True):
        asked = (row - mean) / deviation
        cosines = [asked @ shown / np.linalg.norm(shown) for shown in (train.x - mean) / deviation]
        assert predicted == train.y[int(np.argmax(cosines))]


def test_of_equally_good_settings_the_first_is_chosen() -> None:
    train = blobs(10, noise=1e-3)
    # Every C and every k up to 8, the members that a fold leaves, makes no mistake.
    assert linear_svm(*train, train.x).chosen == COSTS[0]
    assert nearest_neighbours(*train, train.x).chosen == 1


def test_scores_that_differ_by_rounding_are_equally_good() -> None:
    means = np.array([0.8, np.nextafter(0.9, 0), 0.9, 0.85])
    assert _first_best({"mean_test_score": means}) == 1


@pytest.mark.usefixtures("short_grids")
def test_class_accuracy_weighs_classes_alike() -> None:
    train = blobs(10, classes=2)
    values = np.concatenate([train.x[:4], train.x[:1], train.x[:1]])
    labels = np.array([*train.y[:4], 1, 7])
    assert linear_svm(*train, values).predictions.tolist() == [0, 1, 0, 1, 0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score_features(*train, values, labels)
    assert found.svm == pytest.approx(4 / 6)
    assert found.svm_class == pytest.approx((1 + 2 / 3 + 0) / 3)


@pytest.mark.usefixtures("short_grids")
@both
def test_one_test_shape(probe: Probe) -> None:
    one = blobs(1, seed=2).take(np.array([2]))
    assert probe(*blobs(6), one.x).predictions.tolist() == [2]


@pytest.mark.usefixtures("short_grids")
@pytest.mark.parametrize("shift", [0, 1])
def test_scores_of_one_test_shape(shift: int) -> None:
    one = blobs(1, seed=2).take(np.array([2]))
    found = score_features(*blobs(6), one.x, one.y + shift)
    assert (found.svm, found.svm_class, found.knn) == (1.0 - shift,) * 3


@pytest.mark.usefixtures("short_grids")
@both
def test_a_class_of_one_train_shape_raises_no_warning(probe: Probe) -> None:
    train = blobs(6)
    train = train.take((train.y != 3) | (np.arange(24) == 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = probe(*train, blobs(3, noise=0.01, seed=2).x)
    assert found.cross_validated is not None
    assert found.cross_validated < 1.0  # the lone shape cannot be found when held out
    if probe is linear_svm:
        assert 3 in found.predictions


@pytest.mark.usefixtures("short_grids")
@both
def test_folds_that_leave_one_class_are_left_out(probe: Probe) -> None:
    train = blobs(5, classes=2).take(np.array([0, 1, 2, 4, 6, 8]))
    found = probe(*train, blobs(3, classes=2, noise=0.01).x)
    assert found.cross_validated == pytest.approx(1.0)


@pytest.mark.usefixtures("short_grids")
@both
def test_many_classes_of_few_shapes_raise_no_warning(probe: Probe) -> None:
    train = blobs(2, classes=30, channels=40).take(np.arange(50))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = probe(*train, blobs(1, classes=30, channels=40).x)
    assert found.cross_validated is not None


@pytest.mark.parametrize(("probe", "chosen"), [(linear_svm, 1e-2), (nearest_neighbours, 1.0)])
def test_one_shape_of_each_class_leaves_no_choice(probe: Probe, chosen: float) -> None:
    test = blobs(5, noise=0.01, seed=2)
    found = probe(*blobs(1), test.x)
    assert (found.chosen, found.cross_validated) == (chosen, None)
    assert accuracy(found, test) == 1.0


@both
def test_the_choice_never_depends_on_test(probe: Probe) -> None:
    train = blobs(12, noise=1.5)
    first, second = (probe(*train, blobs(6, noise=n, seed=s).x) for n, s in ((0.1, 5), (9.0, 6)))
    assert first.predictions.tolist() != second.predictions.tolist()
    assert (first.chosen, first.cross_validated) == (second.chosen, second.cross_validated)


@pytest.mark.usefixtures("short_grids")
@both
def test_test_shapes_are_judged_one_by_one(probe: Probe) -> None:
    train, test = blobs(12, noise=1.5), blobs(9, noise=1.5, seed=2)
    order = np.random.default_rng(4).permutation(len(test.y))
    whole, permuted = probe(*train, test.x), probe(*train, test.x[order])
    assert permuted.predictions.tolist() == whole.predictions[order].tolist()


@pytest.mark.usefixtures("short_grids")
@both
def test_order_of_train_shapes_does_not_matter(probe: Probe) -> None:
    # Other orders give other folds, so that only a clear choice of setting can stay.
    train, test = blobs(12, noise=0.3), blobs(9, noise=1.2, seed=2)
    order = np.random.default_rng(4).permutation(len(train.y))
    first, second = probe(*train, test.x), probe(*train.take(order), test.x)
    assert first.chosen == second.chosen
    assert accuracy(first, test) < 1.0
    assert first.predictions.tolist() == second.predictions.tolist()


@pytest.mark.usefixtures("short_grids")
@both
def test_scale_and_offset_do_not_matter(probe: Probe) -> None:
    train, test = blobs(12, noise=1.5), blobs(9, noise=1.5, seed=2)
    plain = probe(*train, test.x)
    stretch = np.geomspace(1e-3, 1e30, train.x.shape[1])
    for scale, offset in ((1000.0, 500.0), (stretch, 0.0)):
        found = probe(train.x * scale + offset, train.y, test.x * scale + offset)
        assert found.predictions.tolist() == plain.predictions.tolist()
        assert (found.chosen, found.cross_validated) == (plain.chosen, plain.cross_validated)


@pytest.mark.usefixtures("short_grids")
@both
def test_a_huge_constant_channel_and_a_huge_test_value(probe: Probe) -> None:
    train, test = blobs(12), blobs(9, seed=2)
    wide = [np.column_stack([part.x, np.full(len(part.x), 1e30)]) for part in (train, test)]
    assert accuracy(probe(wide[0], train.y, wide[1]), test) == 1.0
    test.x[0, 0] = 3e38
    assert probe(*train, test.x).predictions[1:].tolist() == test.y[1:].tolist()


@pytest.mark.usefixtures("short_grids")
@both
def test_features_that_say_nothing(probe: Probe) -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    found = probe(np.ones((6, 3)), labels, np.ones((2, 3)))
    assert found.predictions.tolist() == [0, 0]


def test_standardised_is_less_mean_over_deviation() -> None:
    values = np.random.default_rng(0).normal(3, [1e-6, 1.0, 1e6], (50, 3))
    expected = (values - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(_standardiser().fit_transform(values), expected, atol=1e-9)


@pytest.mark.parametrize("size", [0.0, 0.1, 1e30, 3.3e38])
def test_a_constant_channel_says_nothing_however_large(size: float) -> None:
    values = np.column_stack([np.full(7, size), np.arange(7.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = _standardiser().fit_transform(values)
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-12)
    assert found[:, 1].std() == pytest.approx(1)


# Few-shot


def balanced(per_class: int, classes: int) -> np.ndarray:
    return np.arange(per_class * classes) % classes


def accuracy_of_episodes(train: Data, test: Data, **options: int) -> Spread | None:
    return few_shot(*train, *test, episodes(train.y, test.y, **options))


def test_separable_classes_need_few_shapes() -> None:
    found = accuracy_of_episodes(blobs(8, 6), blobs(8, 6, seed=2), ways=5, shots=4, trials=4)
    assert found == Spread(1.0, 0.0)


def test_few_shuffled_labels_are_found_by_chance_only() -> None:
    train = blobs(30, 6)
    shuffled = Data(train.x, np.random.default_rng(3).permutation(train.y))
    found = accuracy_of_episodes(shuffled, blobs(30, 6, seed=2), ways=5, shots=10)
    assert found is not None
    assert 0.05 < found.mean < 0.4
    assert found.std


def test_each_trial_holds_what_it_should() -> None:
    train, test = balanced(9, 7), balanced(5, 7)
    test = test[(test != 2) | (np.arange(35) == 2)]  # class 2 has one shape
    seen = list(episodes(train, test, 6, 4, trials=12, queries=3))
    assert len(seen) == 12
    for shown, asked in seen:
        assert len(set(shown)) == len(shown)
        assert len(set(asked)) == len(asked)
        classes, counts = np.unique(train[shown], return_counts=True)
        assert (len(classes), set(counts)) == (6, {4})
        assert np.unique(test[asked]).tolist() == classes.tolist()
        assert all((test[asked] == c).sum() == (1 if c == 2 else 3) for c in classes)
    assert len({tuple(sorted(shown)) for shown, _ in seen}) == 12


def test_a_trial_depends_on_seed_and_its_number_alone() -> None:
    labels = balanced(9, 5)

    def drawn(**options: int) -> list[list[list[int]]]:
        trials = episodes(labels, labels, 3, 2, **options)
        return [[rows.tolist() for rows in trial] for trial in trials]

    assert drawn(trials=6)[:3] == drawn(trials=3) == drawn(trials=3, seed=0)
    assert drawn(trials=3) != drawn(trials=3, seed=1)


def test_scores_are_those_of_a_plain_svm_with_c_1() -> None:
    train, test = blobs(9, 6, noise=1.5), blobs(9, 6, noise=1.5, seed=2)
    trials = list(episodes(train.y, test.y, 4, 3, trials=5, queries=7))
    found = few_shot(*train, *test, trials)
    scores = []
    for shown, asked in trials:
        plain = make_pipeline(StandardScaler(), SVC(kernel="linear", C=1.0))
        plain.fit(*train.take(shown))
        scores.append(plain.score(*test.take(asked)))
    assert found is not None
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.std == pytest.approx(np.std(scores, ddof=1))
    assert 0 < found.mean < 1


def test_order_and_scale_of_channels_do_not_matter() -> None:
    train, test = blobs(9, 6, noise=1.5), blobs(9, 6, noise=1.5, seed=2)
    plain = accuracy_of_episodes(train, test, ways=4, shots=3)
    order = np.random.default_rng(4).permutation(12)
    for scale, offset in ((1.0, 0.0), (1000.0, 500.0), (1e30, 0.0)):
        moved = (Data(part.x[:, order] * scale + offset, part.y) for part in (train, test))
        assert accuracy_of_episodes(*moved, ways=4, shots=3) == plain


def test_one_shot_of_many_classes_raises_no_warning() -> None:
    train, test = blobs(1, 25, 0.0), blobs(1, 25, 0.0, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = accuracy_of_episodes(train, test, ways=25, shots=1, trials=1)
    assert found == Spread(1.0, None)


def test_too_few_classes_make_no_trial() -> None:
    train, test = balanced(3, 4), balanced(2, 4)
    assert len(list(episodes(train, test, 4, 3))) == 10
    assert not list(episodes(train, test, 5, 3))
    assert not list(episodes(train, test, 4, 4))
    assert not list(episodes(train, test[test != 1], 4, 3))
    assert not list(episodes(train[1:], test, 4, 3))
    assert few_shot(*blobs(3), *blobs(2), []) is None


# Retrieval

#: Mean 0 and deviation 1 in both channels: standardising with it changes nothing.
UNIT = np.array([[1.0, 1.0], [-1.0, -1.0]])


def at(angles: list[float], labels: list[int]) -> Data:
    """Shapes at directions in degrees: their cosine similarity falls with the angle between."""
    turns = np.deg2rad(angles)
    return Data(np.column_stack([np.cos(turns), np.sin(turns)]), np.array(labels))


def mixed(count: int, seed: int, channels: int = 5) -> Data:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, count)
    return Data(generator.normal(size=(count, channels)) + 0.4 * labels[:, None], labels)


def naive(train: np.ndarray, test: Data) -> float:
    """Mean over queries of the mean precision at each shape of the class, for distinct scores."""
    values = (test.x - train.mean(axis=0)) / train.std(axis=0)
    found = []
    for query in range(len(values)):
        ranked = []
        for other in range(len(values)):
            if other != query:
                lengths = np.linalg.norm(values[query]) * np.linalg.norm(values[other])
                ranked.append((-values[query] @ values[other] / lengths, other))
        hits, precisions = 0, []
        for rank, (_, other) in enumerate(sorted(ranked), start=1):
            if test.y[other] == test.y[query]:
                hits += 1
                precisions.append(hits / rank)
        if precisions:
            found.append(float(np.mean(precisions)))
    return float(np.mean(found))


def test_by_hand() -> None:
    # From 0: 10 (other), 30 (same), 100 (same): (1/2 + 2/3) / 2. From 30: 10 (other), 0, 100:
    # the same. From 100: 30 (same), 10 (other), 0 (same): (1 + 2/3) / 2. The other class has one
    # shape and asks nothing.
    found = retrieval(UNIT, *at([0, 10, 30, 100], [0, 1, 0, 0]))
    assert found == pytest.approx((7 / 12 + 7 / 12 + 5 / 6) / 3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_against_a_naive_ranking(seed: int) -> None:
    test, train = mixed(40, seed), mixed(30, seed + 10)
    found = retrieval(train.x, *test)
    assert found == pytest.approx(naive(train.x, test), abs=1e-12)
    assert found != pytest.approx(naive(test.x, test), abs=1e-4)


def test_it_is_the_mean_of_average_precisions_with_ties_too() -> None:
    test = mixed(60, 4, channels=2)
    test = Data(test.x.round(), test.y)  # many equal directions
    values = test.x / np.linalg.norm(test.x, axis=1, keepdims=True).clip(1e-9)
    similarity = (values @ values.T).round(12)
    precisions = []
    for query, label in enumerate(test.y):
        others = np.arange(60) != query
        precisions.append(
            average_precision_score((test.y == label)[others], similarity[query, others])
        )
    assert len(np.unique(similarity)) < 200
    assert retrieval(UNIT, *test) == pytest.approx(np.mean(precisions), abs=1e-12)


def test_classes_apart_are_retrieved_whole() -> None:
    assert retrieval(UNIT, *at([0, 1, 180, 181], [0, 0, 1, 1])) == 1.0


def test_ties_count_as_found_together() -> None:
    # From each 0 both others are at 90 degrees, one of them of the class: precision 1/2.
    test = at([0, 90, 270], [0, 0, 1])
    # From 90: 0 (same, 90 degrees) before 270 (180 degrees): precision 1.
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        assert retrieval(UNIT, *test.take(np.array(order))) == pytest.approx(0.75)


def test_equal_features_reach_the_share_of_the_class() -> None:
    found = retrieval(UNIT, np.ones((5, 2)), np.array([0, 0, 0, 1, 1]))
    assert found == pytest.approx((3 * 2 / 4 + 2 * 1 / 4) / 5)


def test_two_shapes_of_one_class() -> None:
    assert retrieval(UNIT, *at([0, 90], [3, 3])) == 1.0


def test_no_pair_of_a_class_gives_none() -> None:
    assert retrieval(UNIT, *at([0, 10, 20], [0, 1, 2])) is None
    assert retrieval(UNIT, *at([0], [0])) is None


def test_order_of_shapes_and_channels_does_not_matter() -> None:
    test, train = mixed(40, 1), mixed(30, 2)
    rows, channels = np.random.default_rng(3).permutation(40), np.array([4, 0, 3, 1, 2])
    permuted = retrieval(train.x[:, channels], test.x[rows][:, channels], test.y[rows])
    assert permuted == pytest.approx(retrieval(train.x, *test), abs=1e-12)


@pytest.mark.parametrize(("scale", "offset"), [(1000.0, 500.0), (1e30, 0.0), (1e-6, 0.0)])
def test_scale_and_offset_of_retrieval_do_not_matter(scale: float, offset: float) -> None:
    test, train = mixed(40, 1), mixed(30, 2)
    moved = retrieval(train.x * scale + offset, test.x * scale + offset, test.y)
    assert moved == pytest.approx(retrieval(train.x, *test), abs=1e-12)


@pytest.mark.parametrize("size", [0.0, 0.1, 1e30])
def test_a_constant_channel_changes_nothing(size: float) -> None:
    test, train = mixed(40, 1), mixed(30, 2)
    wide = [np.column_stack([x, np.full(len(x), size)]) for x in (train.x, test.x)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = retrieval(*wide, test.y)
    assert found == pytest.approx(retrieval(train.x, *test), abs=1e-12)


def test_a_huge_value_is_no_overflow() -> None:
    test = at([0, 1, 180, 181], [0, 0, 1, 1])
    test.x[0] = 3e38, 0.0
    assert retrieval(UNIT, *test) == 1.0
