"""`--unlabelled`: shapes of other stores, for the objectives alone."""

import json

import numpy as np
import pytest
import torch
from store_copies import copy_store, edit_json, edit_shapes
from trainers import trainer_of

from pointmcd.data.dataset import NO_LOGIT, ShapeDataset
from pointmcd.data.joined import JoinedDataset
from pointmcd.data.store import Store
from pointmcd.errors import StoreError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach
from pointmcd.training.inputs import open_unlabelled
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
DISTILLED = {"teacher": "lite0", "objective": ("logits:1",), "batch_size": 4}


@pytest.fixture(scope="module")
def store(taught_store, tmp_path_factory):
    return copy_store(taught_store, tmp_path_factory.mktemp("unlabelled") / "store")


@pytest.fixture(scope="module")
def other(furniture_root, taught_store, tmp_path_factory):
    """Seven loose sofas, prepared as the store is."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "meshes").mkdir()
    for path in sorted((furniture_root / "sofa" / "train").glob("*.off"))[:7]:
        (folder / "meshes" / path.name).write_bytes(path.read_bytes())
    rig = json.loads((taught_store / "plan.json").read_text())["rig"]
    (folder / "rig.json").write_text(json.dumps(rig))
    options = {"points": 128, "shard_size": 3, "workers": 1, "val_fraction": 0.2}
    prepare(PrepareConfig(folder / "meshes", folder / "store", rig=folder / "rig.json", **options))
    return folder / "store"


def member(store, indices, **options):
    return ShapeDataset(store, np.array(indices), 16, labelled=False, **options)


def test_a_joined_batch_holds_the_rows_that_were_asked_for(taught_store, other):
    one, two = Store(taught_store), Store(other)
    outputs = [{"t": np.arange(n * 2, dtype=np.float32).reshape(n, 2) + n} for n in (3, 4)]
    members = [
        member(one, [5, 0, 2], teacher=outputs[0]),
        member(two, range(4), teacher=outputs[1]),
    ]
    joined = JoinedDataset(members)
    assert len(joined) == 7
    order = [6, 0, 3, 2, 2, 5]
    batch = joined.__getitems__(order)
    for row, item in enumerate(order):
        alone = members[item >= 3].__getitems__([item - 3 * (item >= 3)])
        assert torch.equal(batch.points[row], alone.points[0])
        assert torch.equal(batch.visibility[row], alone.visibility[0])
        assert torch.equal(batch.teacher["t"][row], alone.teacher["t"][0])
        assert batch.labels[row] == -1
    assert torch.equal(joined[4].points, joined.__getitems__([4]).points)


def test_objectives_see_all_and_the_task_what_it_saw_before(make, store, other):
    trainer = trainer_of(make("a", store, unlabelled=(other,), **DISTILLED))
    assert trainer.unlabelled is not None
    assert len(trainer.unlabelled) == 2 * (9 + 7)
    assert set(trainer.dataset.indices) == set(Store(store).indices("train"))
    assert len(trainer.dataset) == 18  # twice, as there are about twice as many shapes
    batch = trainer.unlabelled.__getitems__(list(range(32)))
    assert set(batch.labels.tolist()) == {-1}


def test_the_teacher_says_of_a_copy_what_it_says_of_the_shapes_themselves(
    make, store, taught_store, tmp_path
):
    """A store of the same shapes under another fingerprint: outputs are equal to the teacher's."""
    twin = copy_store(taught_store, tmp_path / "twin", without=("teachers", "features"))

    def rename(meta):
        for shape in meta["shapes"]:
            shape["name"] += "x"

    edit_json(twin / "store.json", rename)
    trainer = trainer_of(make("a", store, unlabelled=(twin,), **DISTILLED))
    own = Store(store)
    shapes = np.sort(np.concatenate([own.indices("train"), own.indices("val")]))
    wanted = map_output(own, "lite0", "logits", shapes)[:]
    found = trainer.unlabelled.members[1].teacher["logits"][:]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_store_that_was_moved_is_described_again(make, taught_store, other, tmp_path):
    places, found = [tmp_path / "before", tmp_path / "after"], []
    copy_store(taught_store, places[0])
    for place in places:
        trainer = trainer_of(make(place.name, place, unlabelled=(other,), **DISTILLED))
        found.append(trainer.unlabelled.members[1].teacher["logits"][:])
        place.rename(places[1])
    np.testing.assert_array_equal(*found)


def test_labels_of_the_other_store_are_not_read(make, store, taught_store, tmp_path, monkeypatch):
    labelled = copy_store(taught_store, tmp_path / "twin", without=("teachers",))
    edit_json(
        labelled / "store.json", lambda m: [s.update(name=s["name"] + "x") for s in m["shapes"]]
    )
    for path in labelled.glob("features/*"):
        for file in path.iterdir():
            file.unlink()
    read, asked = Store.labels, []
    monkeypatch.setattr(Store, "labels", lambda s, i: (asked.append(s.path), read(s, i))[1])
    train(make("a", store, unlabelled=(labelled,), **DISTILLED))
    assert labelled not in asked
    assert asked


def test_a_baseline_takes_as_many_steps(make, store, other):
    distilled = trainer_of(make("a", store, unlabelled=(other,), **DISTILLED))
    baseline = trainer_of(make("b", store, unlabelled=(other,), batch_size=4))
    assert baseline.unlabelled is None
    assert baseline.steps == distilled.steps


def test_a_run_resumes_and_knows_its_stores(make, store, other, content):
    whole = train(make("a", store, unlabelled=(other,), **DISTILLED))
    run = Run(whole)
    assert run.meta["settings"]["unlabelled"] == [Store(other).fingerprint]
    assert run.config.unlabelled == (other,)
    before = content(whole)
    assert train(make("a", store, unlabelled=(other,), **DISTILLED)) == whole
    assert content(whole) == before
    with pytest.raises(Exception, match="differs in unlabelled"):
        train(make("a", store, **DISTILLED))


def test_pretraining_learns_from_all_stores(make, store, other):
    teach(TeachConfig(store, task="features", device="cpu"))
    options = {"task": "pretrain", "teacher": "lite0-features", "batch_size": 4}
    trainer = trainer_of(make("a", store, unlabelled=(other,), **options))
    assert len(trainer.dataset) == 9 + 7
    assert trainer.unlabelled is None
    trainer.epoch(0)


def test_a_label_file_and_other_stores_together(make, store, other, tmp_path):
    rows = [s for s in Store(store).shapes if s.split == "train"][::4]
    file = tmp_path / "labels.csv"
    file.write_text("".join(f"{s.name},{s.label}\n" for s in rows))
    teach(TeachConfig(store, labels=file, epochs=1, device="cpu"))
    config = make("a", store, labels=file, unlabelled=(other,), **DISTILLED)
    assert len(trainer_of(config).unlabelled) == 2 * (12 + 7)


def test_another_rig_is_refused(make, store, furniture_root, tmp_path):
    (tmp_path / "m").mkdir()
    mesh = next((furniture_root / "sofa" / "train").glob("*.off"))
    for name in "ab":
        (tmp_path / "m" / f"{name}.off").write_bytes(mesh.read_bytes())
    prepare(PrepareConfig(tmp_path / "m", tmp_path / "s", points=128, workers=1, twins="keep"))
    with pytest.raises(StoreError, match=r"has another rig .* same --rig"):
        train(make("a", store, unlabelled=(tmp_path / "s",), **DISTILLED))


def test_views_of_another_renderer_are_refused_where_the_teacher_answers(
    make, store, other, tmp_path
):
    splatted = copy_store(other, tmp_path / "splatted")
    edit_json(splatted / "store.json", lambda store: store.update(renderer="splat-grey-3"))
    config = make("a", store, unlabelled=(splatted,), **DISTILLED)
    with pytest.raises(StoreError, match=r"of splat-grey-3, .* of embree-grey-1: a teacher that"):
        train(config)
    assert not config.folder.exists()
    pretrained = make("b", store, unlabelled=(splatted,), task="pretrain")
    assert len(open_unlabelled(pretrained, Store(store))) == 1
    both = copy_store(store, tmp_path / "both")
    edit_json(both / "store.json", lambda s: s.update(renderer="embree-grey-1+splat-grey-3"))
    assert len(open_unlabelled(config, Store(both))) == 1


def test_the_store_itself_is_refused(make, store):
    with pytest.raises(StoreError, match="is the store itself; leave it out"):
        train(make("a", store, unlabelled=(store,), **DISTILLED))


@pytest.fixture
def more(labelled_meshes, taught_parts, tmp_path):
    """The beds and chairs of the set with parts, without their labels, and other points of them."""

    def prepared(*labels):
        for label in labels:
            for path in (labelled_meshes / label).glob("*.off"):
                place = tmp_path / "more" / label / path.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())
        rig = json.loads((taught_parts / "plan.json").read_text())["rig"]
        (tmp_path / "rig.json").write_text(json.dumps(rig))
        options = {"rig": tmp_path / "rig.json", "points": 128, "workers": 1, "seed": 1}
        none = {"val_fraction": 0.0, "test_fraction": 0.0}
        return prepare(PrepareConfig(tmp_path / "more", tmp_path / "s", **options, **none)).store

    return prepared


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_a_teacher_of_few_labels_answers_for_a_store_of_few_shapes(
    make, taught_parts, more, task, tmp_path
):
    # The fraction of labels drew what it learnt from, and says nothing of what it describes.
    store, other = copy_store(taught_parts, tmp_path / "store"), more("bed", "chair")
    first = Store(other).shapes[0].name
    edit_shapes(other, lambda s: s.update(split="train" if s["name"] == first else "none"))
    teach(TeachConfig(store, task=task, epochs=1, label_fraction=0.34, device="cpu"))
    few = {"task": task, "teacher": "lite0", "objective": (), "label_fraction": 0.34}
    trainer = trainer_of(make("a", store, unlabelled=(other,), batch_size=4, **few))
    assert len(trainer.unlabelled) == 2 * (12 + 1)


def test_parts_of_other_stores_are_answered_for(make, taught_parts, more, tmp_path):
    store, other = copy_store(taught_parts, tmp_path / "store"), more("bed", "chair")
    few = {"task": "segmentation", "teacher": "lite0", "objective": ("point_logits:1",)}
    config = make("a", store, unlabelled=(other,), batch_size=4, **few)
    trainer = trainer_of(config)
    assert len(trainer.unlabelled) == 2 * (12 + 24)
    mine, theirs = Store(store), Store(other)
    member = trainer.unlabelled.members[1]
    said = member.teacher["point_logits"][:]
    assert said.shape == (24, 128, 3)
    # A shape of both stores has other points there, but is seen alike: about the same is said.
    shapes = {s.name: i for i, s in enumerate(mine.shapes)}
    own = map_output(mine, "lite0-segmentation", "point_logits", np.arange(24))[:]
    for index, shape in zip(member.indices, theirs.shapes, strict=True):
        label = mine.classes.index(shape.label)
        batch = member.__getitems__([int(np.flatnonzero(member.indices == index)[0])])
        assert batch.labels.tolist() == [label]
        assert batch.parts is None
        likely = [
            odds[odds.max(axis=1) > NO_LOGIT] for odds in (said[index], own[shapes[shape.name]])
        ]
        one, two = (np.bincount(rows.argmax(1), minlength=3) / len(rows) for rows in likely)
        assert np.abs(one - two).max() < 0.2
    assert Run(train(config)).finished


def test_shapes_without_a_class_are_of_the_only_one(more, taught_parts):
    loose, like = Store(more("chair")), Store(taught_parts)  # a lone folder is no class
    with pytest.raises(StoreError, match="has none of the classes"):
        loose.with_classes_of(like)
    like.classes = ["chair"]
    told = loose.with_classes_of(like)
    assert {shape.label for shape in loose.shapes} == {None}
    assert told.labels(np.arange(12)).tolist() == [0] * 12
    assert not any(told.is_labelled(index) for index in range(12))
    assert told.part_ranges.tolist() == [[0, 3]]


def test_a_class_without_parts_is_refused(make, taught_parts, other):
    with pytest.raises(StoreError, match=r"has none of the classes of .* \(bed, chair\)"):
        train(make("a", taught_parts, task="segmentation", unlabelled=(other,), teacher=None))


def test_a_store_that_is_not_there(make, store, tmp_path):
    with pytest.raises(StoreError, match="no such store"):
        train(make("a", store, unlabelled=(tmp_path / "none",), **DISTILLED))
