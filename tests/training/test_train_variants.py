"""Teaching and training on a store whose train shapes have variants."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from store_copies import copy_store, edit_json
from trainers import steps_of

from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.labelling.propose import shape_features
from pointmcd.teachers import trained as trained_module
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.describe import describe_shapes
from pointmcd.teachers.lessons.classification import ClassificationLesson
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
LOGITS = {"teacher": "lite0", "objective": ("logits:9", "vafp:1")}


@pytest.fixture(scope="module")
def store(varied_store, tmp_path_factory):
    """A copy with a teacher of plain features and one of a third of the labels. To be read only."""
    path = copy_store(varied_store, tmp_path_factory.mktemp("varied-copy") / "store")
    teach(TeachConfig(path, task="features", device="cpu"))
    teach(TeachConfig(path, epochs=2, label_fraction=0.34, device="cpu"))
    return path


@pytest.fixture
def varied(make, store):
    return lambda out, **options: make(out, store, **options)


def rows_of(clouds, store):
    """Which row of the store each cloud is, by its untouched first points."""
    every = store.points(np.arange(len(store.shape_of)), clouds[0].shape[0])
    return [int(np.abs(every - cloud.numpy()).max(axis=(1, 2)).argmin()) for cloud in clouds]


def test_every_variant_is_described(store):
    opened = Store(store)
    rows = np.arange(len(opened.shape_of))
    for teacher, names in (
        ("lite0", ("descriptors", "logits")),
        ("lite0-features", ("descriptors",)),
    ):
        for name in names:
            said = map_output(opened, teacher, name, rows)[rows]
            assert len({row.tobytes() for row in said}) == len(rows)
    found = describe_shapes(store / "teachers" / "lite0", opened, torch.device("cpu"))
    assert sum(map(len, found)) == 24


def test_a_teacher_of_another_store_describes_shapes_alone(store, tiny_store, tmp_path):
    """Without labels, as for probing."""
    other = copy_store(tiny_store, tmp_path / "other")
    teach(TeachConfig(other, task="features", device="cpu"))
    mine = copy_store(store, tmp_path / "mine", without=("teachers",))
    found = describe_shapes(other / "teachers" / "lite0-features", Store(mine), torch.device("cpu"))
    assert sum(map(len, found)) == len(Store(mine).shapes)
    assert len(shape_features(Store(mine))) == len(Store(mine).shapes)


def test_the_head_learns_from_variants_of_labelled_shapes_alone(
    varied_store, tmp_path, monkeypatch
):
    path = copy_store(varied_store, tmp_path / "store")
    opened, asked = Store(path), []
    loss = ClassificationLesson.loss
    monkeypatch.setattr(
        ClassificationLesson, "loss", lambda self, i: (asked.append(np.array(i)), loss(self, i))[1]
    )
    config = TeachConfig(path, epochs=20, label_fraction=0.34, device="cpu", batch_size=4)
    teach(replace(config, options={"propagate": "false"}))
    known = labelled_train(opened, 0.34, 0)
    rows = set(np.concatenate(asked).tolist())
    assert rows == set(opened.with_variants(known).tolist())
    # An epoch has as many steps as without variants, and shows each shape once.
    assert len(np.concatenate(asked)) == 20 * len(known)


def test_an_interrupted_lesson_goes_on_to_the_same_teacher(store, tmp_path, monkeypatch):
    calm, broken = (copy_store(store, tmp_path / name) for name in ("calm", "broken"))
    options = {"epochs": 4, "name": "again", "device": "cpu", "batch_size": 4}
    teach(TeachConfig(calm, **options))
    save, calls = trained_module._save, []

    def stop(*arguments):
        save(*arguments)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trained_module, "_save", stop)
        with pytest.raises(KeyboardInterrupt):
            teach(TeachConfig(broken, **options))
    teach(TeachConfig(broken, **options))
    files = [path / "teachers" / "again" / "teacher.safetensors" for path in (calm, broken)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_both_runs_of_a_comparison_see_the_same_variants(varied, monkeypatch):
    options = {"scale": 1.0, "shift": 0.0, "epochs": 4}
    ours = steps_of(varied("a", **options, **LOGITS), monkeypatch)
    theirs = steps_of(varied("b", **options), monkeypatch)
    for (one, _), (other, _) in zip(ours, theirs, strict=True):
        assert torch.equal(one.points, other.points)


def test_the_teacher_speaks_of_the_variant_that_the_student_sees(varied, store, monkeypatch):
    opened = Store(store)
    steps = steps_of(varied("a", scale=1.0, shift=0.0, epochs=6, **LOGITS), monkeypatch)
    rows = np.concatenate([rows_of(batch.points, opened) for batch, _ in steps])
    assert set(rows.tolist()) <= set(opened.with_variants(opened.indices("train")).tolist())
    assert (rows >= len(opened.shapes)).any()
    assert (rows < len(opened.shapes)).any()
    every = np.arange(len(opened.shape_of))
    for name in ("logits", "descriptors"):
        said = np.concatenate([batch.teacher[name].numpy() for batch, _ in steps])
        assert np.array_equal(said, map_output(opened, "lite0", name, every)[rows])


def test_with_few_labels_both_batches_have_variants_and_no_other_label_is_read(
    varied, store, monkeypatch
):
    opened, asked, read = Store(store), [], Store.labels
    monkeypatch.setattr(Store, "labels", lambda s, i: (asked.append(np.array(i)), read(s, i))[1])
    config = varied("a", label_fraction=0.34, scale=1.0, shift=0.0, epochs=8, teacher="lite0")
    steps = steps_of(config, monkeypatch)
    known = labelled_train(opened, 0.34, config.seed)
    allowed = {*known.tolist(), *opened.indices("val").tolist()}
    assert set(opened.shape_of[np.concatenate(asked)].tolist()) <= allowed
    labelled = {row for batch, _ in steps for row in rows_of(batch.points, opened)}
    unlabelled = {row for _, batch in steps for row in rows_of(batch.points, opened)}
    assert labelled == set(opened.with_variants(known).tolist())
    assert len(unlabelled) > 2 * len(opened.indices("train"))


@pytest.mark.parametrize("options", [{}, LOGITS, {"task": "segmentation"}])
def test_without_variants_only_shapes_are_seen(varied, store, monkeypatch, options):
    opened = Store(store)
    config = varied("a", variants=False, scale=1.0, shift=0.0, **options)
    steps = steps_of(config, monkeypatch)
    rows = {row for batch, _ in steps for row in rows_of(batch.points, opened)}
    assert rows <= set(opened.indices("train").tolist())
    assert Run(config.folder).meta["settings"]["variants"] is False
    assert "variants" not in Run(train(varied("b", **options))).meta["settings"]


def test_shapes_of_another_store_come_as_variants_too(varied, store, tiny_store, monkeypatch):
    # The other store has variants; the one with the labels has none.
    opened = Store(store)
    path = copy_store(tiny_store, store.parent / "tiny")
    edit_json(path / "store.json", lambda meta: meta.update(rig=opened.rig))
    teach(TeachConfig(path, task="features", device="cpu"))
    options = {"unlabelled": (store,), "teacher": "lite0-features", "scale": 1.0, "shift": 0.0}
    config = replace(varied("u", epochs=4, **options), store=path)
    steps = steps_of(config, monkeypatch)
    clouds = torch.cat([others.points for _, others in steps])
    every = opened.points(np.arange(len(opened.shape_of)), clouds.shape[1])
    apart = np.array([np.abs(every - c.numpy()).max(axis=(1, 2)).min() for c in clouds])
    there = rows_of(clouds[apart == 0], opened)
    assert max(there) >= len(opened.shapes)
    assert not set(opened.shape_of[there].tolist()) & set(opened.indices("test").tolist())


def test_pretraining_draws_variants(varied, store, monkeypatch):
    opened = Store(store)
    config = varied("a", task="pretrain", teacher="lite0-features", scale=1.0, shift=0.0, epochs=6)
    steps = steps_of(config, monkeypatch)
    rows = np.concatenate([rows_of(batch.points, opened) for batch, _ in steps])
    assert (rows >= len(opened.shapes)).any()
    said = np.concatenate([batch.teacher["descriptors"].numpy() for batch, _ in steps])
    every = np.arange(len(opened.shape_of))
    assert np.array_equal(said, map_output(opened, "lite0-features", "descriptors", every)[rows])


@pytest.mark.parametrize(
    "options",
    [
        LOGITS,
        {"task": "segmentation", "teacher": None},
        {"label_fraction": 0.34, "teacher": "lite0"},
    ],
)
def test_interrupted_and_run_again(varied, content, monkeypatch, options):
    calm = content(train(varied("b", epochs=4, resample=True, **options)))
    config, epoch = varied("a", epochs=4, resample=True, workers=1, **options), Trainer.epoch

    def stop(self, number):
        if number == 2:
            raise KeyboardInterrupt
        return epoch(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert len(Run(config.folder).metrics()) == 2
    found = content(train(config))
    for which in ("last", "best", "records"):
        assert found[which] == calm[which]


def test_evaluation_sees_the_shapes_of_the_split(varied, store):
    opened = Store(store)
    for split in ("val", "test"):
        result = evaluate(train(varied("a", **LOGITS)), split=split)
        names = np.load(result_file(varied("a").folder, split))["names"]
        assert names.tolist() == [opened.shapes[i].name for i in opened.indices(split)]
        assert result["last"].main is not None


def result_file(folder, split):
    return folder / f"predictions-{split}-last.npz"
