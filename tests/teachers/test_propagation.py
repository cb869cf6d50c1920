"""Labels that spread from few shapes to all: the graph, and the teacher that learns from it."""

import numpy as np
import pytest
import torch
from store_copies import copy_store, files_of

from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.files import read_json
from pointmcd.teachers import teach as teach_module
from pointmcd.teachers import trained as trained_module
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons.views_network import MultiViewHeads, teacher_loss
from pointmcd.teachers.propagation import certainty, pooled_views, propagate, unit_rows
from pointmcd.teachers.teach import teach


def naive(rows, labels, prior):
    """The same by dense matrices, neighbour by neighbour."""
    rows = unit_rows(rows).astype(np.float64)
    count = len(rows)
    weights = np.zeros((count, count))
    for i in range(count):
        far = np.linalg.norm(rows - rows[i], axis=1)
        far[i] = np.inf
        for j in np.argsort(far, kind="stable")[: min(7, count - 1)]:
            weights[i, j] = max(rows[i] @ rows[j], 0) ** 3
    weights = weights + weights.T
    degrees = weights.sum(axis=1)
    scale = 1 / np.sqrt(np.where(degrees > 0, degrees, 1))
    start = 0.1 * prior
    for i, label in enumerate(labels):
        if label >= 0:
            start[i] = np.eye(prior.shape[1])[label]
    spread = np.linalg.inv(np.eye(count) - 0.8 * scale[:, None] * weights * scale) @ start
    spread[labels >= 0] = start[labels >= 0]
    return spread / spread.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("count", "classes"), [(2, 2), (5, 2), (9, 3), (60, 4)])
def test_against_dense_matrices(count, classes):
    generator = np.random.default_rng(count)
    rows = generator.normal(size=(count, 6)).astype(np.float32)
    labels = np.where(generator.random(count) < 0.3, generator.integers(classes, size=count), -1)
    prior = generator.dirichlet(np.ones(classes), size=count)
    found = propagate(rows, labels, prior)
    np.testing.assert_allclose(found, naive(rows, labels, prior.copy()), atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def groups(count=20):
    """Two groups of rows, one shape of each labelled, and a prior that knows nothing."""
    generator = np.random.default_rng(0)
    centres = np.repeat([[4.0, 0, 0, 0], [0, 4.0, 0, 0]], count, axis=0)
    rows = (centres + 0.3 * generator.normal(size=centres.shape)).astype(np.float32)
    labels = np.full(2 * count, -1)
    labels[0], labels[count] = 0, 1
    return rows, labels, np.full((2 * count, 2), 0.5)


def test_one_label_reaches_its_group():
    found = propagate(*groups())
    assert (found.argmax(axis=1) == np.repeat([0, 1], 20)).all()


def test_labels_are_kept_and_known_answers_count():
    rows, labels, prior = groups()
    labels[1] = 1  # in the midst of the others
    assert propagate(rows, labels, prior)[1].tolist() == [0, 1]
    bare = np.full(len(rows), -1)
    prior[:, 0] = np.where(np.arange(40) < 20, 0.9, 0.1)
    prior[:, 1] = 1 - prior[:, 0]
    found = propagate(rows, bare, prior)
    np.testing.assert_array_equal(found.argmax(axis=1), prior.argmax(axis=1))


@pytest.mark.parametrize("rows", [np.zeros((6, 3)), np.ones((6, 3))])
def test_equal_shapes_have_the_prior(rows):
    labels = np.array([0, -1, -1, -1, -1, -1])
    found = propagate(rows.astype(np.float32), labels, np.full((6, 2), 0.5))
    assert np.isfinite(found).all()
    assert (found[1:, 0] >= 0.5 - 1e-9).all()


def test_certainty():
    rows = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])
    np.testing.assert_allclose(certainty(rows), [1, 0, 1 - np.log(2) / np.log(3)], atol=1e-12)
    assert certainty(np.ones((2, 1))).tolist() == [1, 1]


def test_views_are_pooled_by_mean_and_maximum():
    views = np.array([[[1.0, -2], [3, 0]]])
    assert pooled_views(views).tolist() == [[2, -1, 3, 0]]


def test_a_weight_counts_like_that_many_shapes():
    torch.manual_seed(0)
    heads = MultiViewHeads(5, 3).eval()
    output = heads(torch.randn(4, 2, 5))
    labels, weights = torch.tensor([0, 1, 2, 1]), torch.tensor([1.0, 0.0, 2.0, 0.5])
    each = torch.stack(
        [
            teacher_loss(type(output)(*(p[i : i + 1] for p in output)), labels[i : i + 1], 0.1)
            for i in range(4)
        ]
    )
    weighted = teacher_loss(output, labels, 0.1, weights)
    torch.testing.assert_close(weighted, (weights * each).mean())
    torch.testing.assert_close(
        teacher_loss(output, labels, 0.1, torch.ones(4)), teacher_loss(output, labels, 0.1)
    )


@pytest.fixture
def store(tiny_store, tmp_path):
    return copy_store(tiny_store, tmp_path / "store")


def few(store, **options):
    return TeachConfig(
        store, **{"epochs": 3, "label_fraction": 0.34, "device": "cpu", "batch_size": 4} | options
    )


def test_all_train_shapes_take_part(store, monkeypatch):
    seen = []
    train_epoch = trained_module._train_epoch

    def watched(lesson, *arguments):
        seen.append((len(lesson.train), dict(lesson.targets)))
        return train_epoch(lesson, *arguments)

    monkeypatch.setattr(trained_module, "_train_epoch", watched)
    teach(few(store))
    opened = Store(store)
    known, every = labelled_train(opened, 0.34, 0), opened.indices("train")
    assert [count for count, _ in seen] == [len(known)] * 3 + [len(every)] * 3
    targets = seen[-1][1]
    assert sorted(targets) == every.tolist()
    for index, label in zip(known, opened.labels(known), strict=True):
        assert targets[index] == (label, 1.0)
    assert all(0 <= targets[i][1] < 1 for i in every if i not in known)


def test_without_it_and_with_all_labels_the_labels_alone(store):
    alone = read_json(teach(few(store, options={"propagate": "false"})) / "teacher.json")
    assert alone["settings"]["propagate"] is False
    spread = read_json(teach(few(store, name="spread")) / "teacher.json")
    assert spread["fingerprint"] != alone["fingerprint"]
    whole = files_of(teach(few(store, label_fraction=1.0, name="a")))
    same = files_of(teach(few(store, label_fraction=1.0, name="b", options={"propagate": "false"})))
    assert whole["teacher.safetensors"] == same["teacher.safetensors"]


@pytest.mark.parametrize("stop", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4, 5))])
def test_interrupted_in_either_stage(store, monkeypatch, stop):
    calm = files_of(teach(few(store, name="calm")))
    epochs, train_epoch = [], trained_module._train_epoch

    def until(*arguments):
        epochs.append(arguments[-1])
        if len(epochs) == stop + 1:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    monkeypatch.setattr(trained_module, "_train_epoch", until)
    with pytest.raises(KeyboardInterrupt):
        teach(few(store, name="killed"))
    found = files_of(teach(few(store, name="killed")))
    assert len(epochs) == 7  # no epoch twice but the one that was stopped
    assert found["teacher.safetensors"] == calm["teacher.safetensors"]
    assert not list((store / "teachers").glob(".*"))


def test_killed_before_the_export(store, monkeypatch):
    calm = files_of(teach(few(store, name="calm")))
    with monkeypatch.context() as patch:
        patch.setattr(teach_module, "export_teacher", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            teach(few(store, name="killed"))
    found = files_of(teach(few(store, name="killed")))
    assert found["teacher.safetensors"] == calm["teacher.safetensors"]
    assert not list((store / "teachers").glob(".*"))


def _interrupt(*_):
    raise KeyboardInterrupt


def test_loose_shapes_and_joined_encoders(store, tmp_path):
    opened = Store(store)
    loose = {opened.shapes[i].name for i in opened.indices("train")[::2]}

    def change(record):
        if record["name"] in loose:
            record["class"] = None

    bare = copy_store(store, tmp_path / "bare", change)
    folder = teach(TeachConfig(bare, "lite0+random:lite0", epochs=2, device="cpu", batch_size=4))
    assert np.isfinite(np.load(next(folder.glob("logits/*.npy")))).all()
