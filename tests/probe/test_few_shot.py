import warnings

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from pointmcd.errors import PointMCDError
from pointmcd.probe import few_shot as module
from pointmcd.probe.features import Features
from pointmcd.probe.few_shot import few_shot


def blobs(per_class: int, classes: int = 6, noise: float = 0.2, seed: int = 1) -> Features:
    centres = np.random.default_rng(0).normal(size=(classes, 16))
    labels = np.arange(per_class * classes) % classes
    noises = np.random.default_rng(seed).normal(size=(len(labels), 16))
    return Features(centres[labels] + noise * noises, labels)


def numbered(per_class: int, classes: int) -> Features:
    """Shapes whose first channel is their row, so that a trial shows what it drew."""
    labels = np.arange(per_class * classes) % classes
    return Features(np.column_stack([np.arange(len(labels)), labels]).astype(float), labels)


def episodes(
    monkeypatch: pytest.MonkeyPatch, support: Features, query: Features, **options: int
) -> list[tuple[Features, Features]]:
    """The support and query shapes of each trial."""
    seen: list[tuple[Features, Features]] = []

    def spy(shown: Features, asked: Features) -> float:
        seen.append((shown, asked))
        return 0.0

    monkeypatch.setattr(module, "_accuracy", spy)
    few_shot(support, query, **options)
    return seen


def test_separable_classes_are_all_found() -> None:
    found = few_shot(blobs(8), blobs(8, seed=2), ways=5, shots=4, trials=4)
    assert found is not None
    assert (found.mean, found.std) == (1.0, 0.0)


def test_shuffled_labels_are_found_by_chance_only() -> None:
    support = blobs(30)
    shuffled = Features(support.values, np.random.default_rng(3).permutation(support.labels))
    found = few_shot(shuffled, blobs(30, seed=2), ways=5, shots=10, trials=10)
    assert found is not None
    assert 0.05 < found.mean < 0.4
    assert found.std


def test_each_trial_holds_what_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    support, query = numbered(9, classes=7), numbered(5, classes=7)
    query = query.take((query.labels != 2) | (np.arange(35) == 2))  # class 2 has one shape
    seen = episodes(monkeypatch, support, query, ways=6, shots=4, trials=12, queries=3)
    assert len(seen) == 12
    for shown, asked in seen:
        for part in (shown, asked):
            rows = part.values[:, 0]
            assert len(set(rows)) == len(rows)
            assert (part.values[:, 1] == part.labels).all()
        classes, counts = np.unique(shown.labels, return_counts=True)
        assert (len(classes), set(counts)) == (6, {4})
        assert np.unique(asked.labels).tolist() == classes.tolist()
        assert all((asked.labels == c).sum() == (1 if c == 2 else 3) for c in classes)
    assert len({tuple(sorted(shown.values[:, 0])) for shown, _ in seen}) == 12


def test_two_encoders_get_the_same_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = numbered(9, classes=5), numbered(9, classes=5)
    noise = np.random.default_rng(0).normal(size=(45, 7))
    other = Features(np.column_stack([second.values, noise]), second.labels)
    one = episodes(monkeypatch, first, first, ways=3, shots=2)
    two = episodes(monkeypatch, other, other, ways=3, shots=2)
    for trial, twin in zip(one, two, strict=True):
        for part, same in zip(trial, twin, strict=True):
            assert part.values[:, 0].tolist() == same.values[:, 0].tolist()


def test_a_trial_depends_on_seed_and_its_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    part = numbered(9, classes=5)

    def drawn(**options: int) -> list[list[float]]:
        seen = episodes(monkeypatch, part, part, ways=3, shots=2, **options)
        return [shown.values[:, 0].tolist() for shown, _ in seen]

    assert drawn(trials=6)[:3] == drawn(trials=3) == drawn(trials=3, seed=0)
    assert drawn(trials=3) != drawn(trials=3, seed=1)


def test_scores_are_those_of_a_plain_svm_with_c_1(monkeypatch: pytest.MonkeyPatch) -> None:
    support, query = blobs(9, noise=1.5), blobs(9, noise=1.5, seed=2)
    found = few_shot(support, query, ways=4, shots=3, trials=5, queries=7)
    scores = []
    for shown, asked in episodes(monkeypatch, support, query, ways=4, shots=3, trials=5, queries=7):
        plain = make_pipeline(StandardScaler(), SVC(kernel="linear", C=1.0))
        plain.fit(shown.values, shown.labels)
        scores.append(plain.score(asked.values, asked.labels))
    assert found is not None
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.std == pytest.approx(np.std(scores, ddof=1))
    assert 0 < found.mean < 1


def test_order_and_scale_of_channels_do_not_matter() -> None:
    support, query = blobs(9, noise=1.5), blobs(9, noise=1.5, seed=2)
    plain = few_shot(support, query, ways=4, shots=3)
    order = np.random.default_rng(4).permutation(16)
    for scale, offset in ((1.0, 0.0), (1000.0, 500.0), (1e30, 0.0)):
        moved = (
            Features(part.values[:, order] * scale + offset, part.labels)
            for part in (support, query)
        )
        assert few_shot(*moved, ways=4, shots=3) == plain


def test_one_shot_of_many_classes_raises_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = few_shot(blobs(1, 25, 0.0), blobs(1, 25, 0.0, seed=2), ways=25, shots=1, trials=1)
    assert found is not None
    assert (found.mean, found.std) == (1.0, None)


def test_too_few_classes_give_none() -> None:
    support, query = numbered(3, classes=4), numbered(2, classes=4)
    assert few_shot(support, query, ways=4, shots=3, trials=1) is not None
    assert few_shot(support, query, ways=5, shots=3) is None
    assert few_shot(support, query, ways=4, shots=4) is None
    assert few_shot(support, query.take(query.labels != 1), ways=4, shots=3) is None
    assert few_shot(support.take(np.arange(1, 12)), query, ways=4, shots=3) is None


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"ways": 1}, "ways must be 2 or more, not 1"),
        ({"shots": 0}, "shots must be 1 or more, not 0"),
        ({"trials": 0}, "trials must be 1 or more, not 0"),
        ({"queries": 0}, "queries must be 1 or more, not 0"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
    ],
)
def test_numbers_that_make_no_trial_are_named(option: dict[str, int], text: str) -> None:
    part = numbered(3, classes=4)
    with pytest.raises(PointMCDError, match=text):
        few_shot(part, part, **{"ways": 2, "shots": 1, **option})


def test_parts_of_two_encoders_are_refused() -> None:
    with pytest.raises(PointMCDError, match="equal channels: 2 and 16"):
        few_shot(numbered(3, classes=4), blobs(3), ways=2, shots=1)
