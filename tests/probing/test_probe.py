"""Frozen students, probed together with random weights and their teacher."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import torch
from store_copies import copy_store, edit_json, edit_shapes, files_of, turn_labels

from pointmcd.checkpoint import load_checkpoint, save_checkpoint, under_prefix
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError, StoreError
from pointmcd.probing import metrics
from pointmcd.probing import probe as module
from pointmcd.probing.config import ProbeConfig
from pointmcd.probing.metrics import linear_svm, nearest_neighbours, retrieval
from pointmcd.probing.scores import EPISODES, score_features
from pointmcd.students.registry import create_student
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = {"device": "cpu"}
ALONE = {"references": False, "device": "cpu"}
RANDOM = "random weights (3 seeds)"
TEACHER = "teacher lite0-features"


def probe(run, store, **options):
    return module.probe(ProbeConfig(run, store, **options))


@pytest.fixture(scope="module", autouse=True)
def short_grids():
    """Two settings to choose from: a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "COSTS", (1e-3, 1e-1))
        patch.setattr(metrics, "NEIGHBOURS", (1, 5))
        yield


@pytest.fixture(scope="module")
def store(taught_store, tmp_path_factory):
    """A store with a teacher of labels, lite0, and one without, lite0-features. To be read only."""
    path = copy_store(taught_store, tmp_path_factory.mktemp("probing") / "store")
    teach(TeachConfig(path, task="features", device="cpu"))
    return path


@pytest.fixture(scope="module")
def pretrained_run(store, tmp_path_factory):
    """A tiny student of two epochs that saw no label, never probed. To be read only."""
    options = {"student": "tiny_student:TinyStudent", "epochs": 2, "batch_size": 4, "points": 64}
    out = tmp_path_factory.mktemp("pretrained") / "pretrained"
    return train(TrainConfig(store, out, task="pretrain", lr=0.01, device="cpu", **options))


@pytest.fixture(scope="module")
def usual(pretrained_run, store, tmp_path_factory, short_grids):
    """What probing it on its own store gives, all settings the usual ones."""
    copy = shutil.copytree(pretrained_run, tmp_path_factory.mktemp("usual") / "pretrained")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = probe(copy, store, **CPU)
    torch.set_num_threads(threads)
    return rows


@pytest.fixture
def pretrained(pretrained_run, tmp_path):
    """A copy of it, to be probed."""
    return shutil.copytree(pretrained_run, tmp_path / "runs" / "pretrained")


@pytest.fixture
def parts_run(trained_parts_run, tmp_path):
    return shutil.copytree(trained_parts_run, tmp_path / "runs" / "of-parts")


@pytest.fixture
def elsewhere(parts_store, tmp_path):
    """A copy of the store of parts: another data set, of two classes. It may be written to."""
    return copy_store(parts_store, tmp_path / "elsewhere")


@pytest.fixture
def seen(monkeypatch):
    """The features and labels that every scoring gets, fitted on and scored on, in their order."""
    parts, score = [], module.score_features

    def note(fit_x, fit_y, score_x, score_y, seed):
        parts.append(((fit_x, fit_y), (score_x, score_y)))
        return score(fit_x, fit_y, score_x, score_y, seed)

    monkeypatch.setattr(module, "score_features", note)
    return parts


def names(rows):
    return [row.name for row in rows]


def written(run, store="store", split="test", how="last-max"):
    return json.loads((run / f"probe-{store}-{split}-{how}.json").read_text())


def embeddings(run, store, indices, checkpoint="last", points=64):
    """Max-pooled embeddings of the run's tiny student, one shape at a time, by the plain way."""
    student = create_student("tiny_student:TinyStudent").eval()
    tensors, _ = load_checkpoint(run / f"{checkpoint}.safetensors")
    student.load_state_dict(under_prefix("model.student", tensors))
    clouds = [torch.from_numpy(store.points(np.array([i]), points)) for i in indices]
    with torch.no_grad():
        return np.stack([student(cloud).embeddings[0].amax(dim=0).numpy() for cloud in clouds])


def parts_of(store, fitted_on=("train", "val"), read="test"):
    fit = np.sort(np.concatenate([store.indices(split) for split in fitted_on]))
    return fit, store.indices(read)


def choices(rows):
    """What was chosen on the part that is fitted on."""
    every = [s for row in rows for s in row.scores]
    return [(s.svm_cost, s.svm_cross_validated, s.knn_neighbours) for s in every]


# Scores of features


def blobs(per_class, classes, noise, seed):
    centres = 5 * np.random.default_rng(0).normal(size=(classes, 16))
    labels = np.arange(per_class * classes) % classes
    noises = np.random.default_rng(seed).normal(size=(len(labels), 16))
    return centres[labels] + noise * noises, labels


def test_separable_features_are_read_without_a_mistake():
    found = score_features(*blobs(20, 11, 0.01, 1), *blobs(4, 11, 0.01, 2))
    assert (found.svm, found.svm_class, found.knn, found.retrieval_map) == (1.0, 1.0, 1.0, 1.0)
    assert list(found.few_shot) == [f"{ways}w{shots}s" for ways, shots in EPISODES]
    assert all((s.mean, s.std) == (1.0, 0.0) for s in found.few_shot.values())
    assert found.svm_cost in (1e-3, 1e-1)
    assert found.knn_neighbours == 1


def test_scores_are_those_of_each_probe():
    fit, (read, labels) = blobs(12, 6, 8, 1), blobs(5, 6, 8, 2)
    found = score_features(*fit, read, labels, 3)
    svm, knn = linear_svm(*fit, read, 3), nearest_neighbours(*fit, read, 3)
    assert found.svm == np.mean(svm.predictions == labels)
    assert found.svm_class == pytest.approx(found.svm)  # classes have as many shapes
    assert (found.svm_cost, found.svm_cross_validated) == (svm.chosen, svm.cross_validated)
    assert found.knn == np.mean(knn.predictions == labels)
    assert found.knn_neighbours == knn.chosen
    assert found.retrieval_map == retrieval(fit[0], read, labels)
    assert 0 < found.svm < 1
    # 6 classes of 12 shapes: enough for 5 ways of 10 shots, and for nothing else.
    assert [key for key, spread in found.few_shot.items() if spread is not None] == ["5w10s"]


# Rows


def test_a_pretrained_run_on_its_own_store(usual):
    assert names(usual) == ["pretrained", RANDOM, TEACHER]
    assert [len(row.scores) for row in usual] == [1, 3, 1]
    for row in usual:
        for scores in row.scores:
            figures = (scores.svm, scores.svm_class, scores.knn, scores.retrieval_map)
            assert all(0 <= figure <= 1 for figure in figures)
            assert set(scores.few_shot.values()) == {None}  # three classes


def test_a_supervised_run_beside_others(run_copy, pretrained, store, usual):
    rows = probe(run_copy, store, others=[pretrained, run_copy], **CPU)
    random, teacher = RANDOM, "teacher lite0"
    assert names(rows) == ["run", "pretrained", "run", random, teacher]
    assert rows[0] == rows[2]
    assert rows[1] == usual[0]


def test_a_run_of_parts_has_no_teacher(parts_run, parts_store):
    rows = probe(parts_run, parts_store, pooling="both", **CPU)
    assert names(rows) == ["of-parts", RANDOM]


def test_without_references(pretrained, store):
    rows = probe(pretrained, store, others=[pretrained], **ALONE)
    assert names(rows) == ["pretrained", "pretrained"]


def test_a_pretrained_run_on_another_data_set(pretrained, elsewhere):
    rows = probe(pretrained, elsewhere, **CPU)
    assert names(rows) == ["pretrained", RANDOM, TEACHER]
    assert written(pretrained, "elsewhere")["settings"]["store"] == str(elsewhere.resolve())
    assert not (elsewhere / "teachers").exists()


def test_a_run_of_labels_on_another_data_set(run_copy, elsewhere):
    assert names(probe(run_copy, elsewhere, **ALONE)) == ["run"]


def test_a_teacher_of_other_labels_is_no_reference(run_copy, elsewhere):
    rows = probe(run_copy, elsewhere, **CPU)
    assert names(rows) == ["run", RANDOM]


def test_classes_need_not_have_the_same_names(pretrained, store, usual, tmp_path):
    other = copy_store(store, tmp_path / "store")

    def rename(meta):
        meta["classes"] = [f"my {label}" for label in meta["classes"]]
        for record in meta["shapes"]:
            record["class"] = f"my {record['class']}"

    edit_json(other / "store.json", rename)
    assert Store(other).fingerprint != Store(store).fingerprint
    assert probe(pretrained, other, **ALONE) == usual[:1]


def test_random_weights_are_three_different_students(usual):
    assert len({str(scores) for scores in usual[1].scores}) > 1


def test_references_do_not_depend_on_what_the_run_learnt(store, usual, tmp_path):
    longer = TrainConfig(
        *(store, tmp_path / "longer", "pretrain", "tiny_student:TinyStudent"),
        **{"epochs": 3, "batch_size": 4, "points": 64, "seed": 4, "device": "cpu"},
    )
    assert probe(train(longer), store, **CPU)[1:] == usual[1:]


# What the scores are of


@pytest.mark.parametrize(("split", "fitted_on"), [("test", ("train", "val")), ("val", ("train",))])
def test_scores_are_those_of_pooled_embeddings(pretrained, store, split, fitted_on):
    opened = Store(store)
    fit, read = (
        (embeddings(pretrained, opened, part), opened.labels(part))
        for part in parts_of(opened, fitted_on, split)
    )
    (row,) = probe(pretrained, store, split=split, **ALONE)
    (found,), expected = row.scores, score_features(*fit, *read)
    assert (found.svm, found.svm_cost, found.knn_neighbours) == (
        *(expected.svm, expected.svm_cost, expected.knn_neighbours),
    )
    assert found.knn == expected.knn
    assert found.retrieval_map == pytest.approx(expected.retrieval_map)


@pytest.mark.parametrize(
    ("pooling", "over_views"),
    [
        ("max", lambda rows: rows.max(axis=1)),
        ("mean", lambda rows: rows.mean(axis=1)),
        ("both", lambda rows: np.hstack([rows.max(axis=1), rows.mean(axis=1)])),
    ],
)
def test_the_teachers_row_is_of_its_descriptors(pretrained, store, seen, pooling, over_views):
    opened = Store(store)
    fit, read = (
        (
            over_views(map_output(opened, "lite0-features", "descriptors", part)[:]),
            opened.labels(part),
        )
        for part in parts_of(opened)
    )
    found = probe(pretrained, store, pooling=pooling, **CPU)[-1].scores[0]
    for given, expected in zip(seen[-1], (fit, read), strict=True):
        assert given[0] == pytest.approx(expected[0], abs=1e-5)
        assert np.array_equal(given[1], expected[1])
    expected = score_features(*fit, *read)
    assert (found.svm, found.svm_class, found.knn) == (
        *(expected.svm, expected.svm_class, expected.knn),
    )
    assert found.retrieval_map == pytest.approx(expected.retrieval_map)


@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_weights_are_those_of_the_checkpoint(pretrained, store, seen, checkpoint):
    tensors, state = load_checkpoint(pretrained / "last.safetensors")
    tensors["model.student.rise.weight"] *= -2
    state.pop("format")
    save_checkpoint(pretrained / "best.safetensors", tensors, state)
    probe(pretrained, store, checkpoint=checkpoint, **ALONE)
    ((_, (read, _)),) = seen
    opened = Store(store)
    for which in ("last", "best"):
        expected = embeddings(pretrained, opened, opened.indices("test"), which)
        assert np.allclose(read, expected, atol=1e-5) == (which == checkpoint)


def test_the_same_twice_and_nothing_else_is_written(pretrained, store, usual):
    before, of_store = files_of(pretrained), files_of(store)
    torch.manual_seed(99)  # nobody's business
    assert probe(pretrained, store, **CPU) == usual
    after = files_of(pretrained)
    assert after.pop("probe-store-test-last-max.json")
    assert after == before
    assert files_of(store) == of_store


# What is fitted on what


@pytest.mark.parametrize(("split", "sizes"), [("test", (12, 6)), ("val", (9, 3))])
def test_every_row_is_fitted_and_read_on_the_same_shapes(pretrained, store, seen, split, sizes):
    probe(pretrained, store, split=split, **CPU)
    assert len(seen) == 5
    assert {(len(fit_y), len(read_y)) for (_, fit_y), (_, read_y) in seen} == {sizes}
    for fit, read in seen:
        assert np.array_equal(fit[1], seen[0][0][1])
        assert np.array_equal(read[1], seen[0][1][1])


def test_labels_of_test_change_no_choice(pretrained, store, usual, tmp_path):
    turned = copy_store(store, tmp_path / "turned", turn_labels("test"))
    after = probe(pretrained, turned, **CPU)
    assert choices(after) == choices(usual)
    assert after != usual  # but they are what is measured


def test_points_of_test_change_no_choice(pretrained, store, usual, tmp_path):
    moved = copy_store(store, tmp_path / "moved")
    opened = Store(moved)
    for index in opened.indices("test"):
        shard, row = opened.locate(int(index))
        path = moved / "shards" / shard / "points.npy"
        points = np.load(path)
        points[row] = np.roll(points[row], 1, axis=1) * 0.1
        np.save(path, points)
    after = probe(pretrained, moved, **CPU)
    assert choices(after) == choices(usual)
    assert after[0].scores[0].retrieval_map != usual[0].scores[0].retrieval_map
    assert after[2] == usual[2]  # the teacher sees views, and they stay


def test_what_is_fitted_on_train_does_not_see_val_or_test(pretrained, store, tmp_path):
    first = probe(pretrained, store, split="val", **ALONE)
    test = copy_store(store, tmp_path / "test", turn_labels("test"))
    assert probe(pretrained, test, split="val", **ALONE) == first
    val = copy_store(store, tmp_path / "val", turn_labels("val"))
    after = probe(pretrained, val, split="val", **ALONE)
    assert choices(after) == choices(first)
    assert after != first


def test_the_test_part_is_fitted_on_val_too(pretrained, store, tmp_path, seen):
    turned = copy_store(store, tmp_path / "turned", turn_labels("val"))
    probe(pretrained, store, **ALONE)
    probe(pretrained, turned, **ALONE)
    (before, _), (after, _) = seen
    assert (before[1] != after[1]).sum() == 3
    assert np.array_equal(before[0], after[0])


# What is written


def test_scores_and_settings_are_written(pretrained, store):
    options = {"split": "val", "pooling": "both", "checkpoint": "best", "seed": 5}
    rows = probe(pretrained, store, **options, **CPU)
    found = written(pretrained, split="val", how="best-both")
    assert found["settings"] == options | {
        "store": str(store.resolve()),
        "store_fingerprint": Store(store).fingerprint,
        "points": 64,
        "runs": [str(pretrained.resolve())],
        "references": True,
    }
    assert found["rows"] == [
        {"name": row.name, "scores": [asdict(scores) for scores in row.scores]} for row in rows
    ]


def test_parts_of_one_store_are_written_apart(pretrained, store, parts_store, tmp_path):
    probe(pretrained, store, **ALONE)
    probe(pretrained, store, split="val", **ALONE)
    probe(pretrained, copy_store(parts_store, tmp_path / "other"), **ALONE)
    assert sorted(path.name for path in pretrained.glob("probe-*")) == [
        "probe-other-test-last-max.json",
        "probe-store-test-last-max.json",
        "probe-store-val-last-max.json",
    ]


def test_only_the_first_run_is_written_to(pretrained, parts_run, store):
    before = files_of(parts_run)
    probe(pretrained, store, others=[parts_run], **ALONE)
    assert files_of(parts_run) == before


def test_a_run_named_by_a_dot(pretrained, store, monkeypatch):
    monkeypatch.chdir(pretrained)
    (row,) = probe(type(pretrained)(), store, **ALONE)
    assert row.name == "pretrained"


# What cannot be probed


@pytest.fixture
def refused(pretrained):
    """Expect one line of an error class from a probe, and nothing written."""

    def refuse(error, text, *arguments, **options):
        with pytest.raises(error, match=text) as caught:
            probe(*arguments, **(CPU | options))
        assert "\n" not in str(caught.value)
        assert not list(pretrained.glob("probe-*"))

    return refuse


def test_a_run_that_is_not_finished(refused, pretrained, run_copy, store):
    edit_json(run_copy / "run.json", lambda meta: meta.update(finished=False))
    refused(RunError, f"^{run_copy}: not finished", run_copy, store)
    refused(RunError, f"^{run_copy}: not finished", pretrained, store, others=[run_copy])


def test_what_is_no_run(refused, store, tmp_path):
    refused(RunError, "is not a run folder", tmp_path / "none", store)


def test_a_checkpoint_that_is_gone(refused, pretrained, store):
    (pretrained / "best.safetensors").unlink()
    refused(RunError, r"best\.safetensors: does not exist", pretrained, store, checkpoint="best")


def test_a_store_without_labels(refused, pretrained, store, tmp_path):
    bare = copy_store(store, tmp_path / "bare", lambda record: record.update({"class": None}))
    refused(StoreError, f"^{bare}: shape .* has no class label", pretrained, bare)


def test_shapes_without_a_label_are_left_out(pretrained, store, tmp_path, capsys):
    bare = copy_store(store, tmp_path / "bare")
    (first, *_) = Store(bare).indices("test")
    name = Store(bare).shapes[first].name
    edit_shapes(bare, lambda r: r.update({"class": None}) if r["name"] == name else None)
    count = len(Store(bare).indices("test"))
    assert probe(pretrained, bare, **ALONE)
    _, scored = module._shapes(Store(bare), "test")
    assert len(scored) == count - 1
    assert first not in scored
    assert (
        f"note: {bare}: 1 of {count} shapes have no label and are left" in capsys.readouterr().err
    )


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_store_without_the_part(refused, pretrained, store, tmp_path, split):
    def change(record):
        if record["split"] == split:
            record["split"] = "train"

    lacking = copy_store(store, tmp_path / "lacking", change)
    refused(
        StoreError, f"lacking: no shapes in the {split} split", pretrained, lacking, split=split
    )


def test_a_store_with_nothing_to_fit_on(refused, pretrained, store, tmp_path):
    tested = copy_store(store, tmp_path / "tested", lambda record: record.update(split="test"))
    refused(StoreError, "tested: no shapes in the train split", pretrained, tested)


def test_a_store_without_a_validation_part_will_do(pretrained, store, usual, tmp_path):
    def change(record):
        if record["split"] == "val":
            record["split"] = "train"

    rows = probe(pretrained, copy_store(store, tmp_path / "merged", change), **ALONE)
    assert rows == usual[:1]


def test_a_store_of_fewer_points_than_the_run_saw(refused, pretrained, store, tmp_path):
    sparse = copy_store(store, tmp_path / "sparse")
    edit_json(sparse / "store.json", lambda meta: meta.update(points=63))
    refused(
        StoreError, "sparse: holds 63 points per shape, .* takes 64; prepare", pretrained, sparse
    )


def test_a_store_of_one_class(refused, pretrained, store, tmp_path):
    one = copy_store(store, tmp_path / "one", lambda record: record.update({"class": "bed"}))
    refused(StoreError, f"^{one}: the train split shows one class", pretrained, one)


def test_a_student_that_diverged(refused, pretrained, store):
    tensors, state = load_checkpoint(pretrained / "last.safetensors")
    tensors["model.student.rise.weight"][0, 0] = float("nan")
    state.pop("format")
    save_checkpoint(pretrained / "last.safetensors", tensors, state)
    refused(RunError, "^pretrained: its features of .*store are not finite", pretrained, store)


@pytest.mark.parametrize("split", ["train", "dev", ""])
def test_an_unknown_part(refused, pretrained, store, split):
    refused(ConfigError, f"--split {split}: use one of test, val", pretrained, store, split=split)


def test_an_unknown_pooling(refused, pretrained, store):
    refused(ConfigError, "--pooling sum: use one of", pretrained, store, pooling="sum")


def test_a_negative_seed(refused, pretrained, store):
    refused(ConfigError, "--seed -1: must be from 0 to 4294967295", pretrained, store, seed=-1)


def test_a_store_that_is_absent(refused, pretrained, tmp_path):
    refused(StoreError, "none: no such store", pretrained, tmp_path / "none")


def test_a_teacher_is_found_in_a_store_that_moved(pretrained, store, tmp_path):
    edit_json(pretrained / "run.json", lambda meta: meta.update(store=str(tmp_path / "gone")))
    assert names(probe(pretrained, store)) == ["pretrained", RANDOM, "teacher lite0-features"]


def test_a_teacher_that_is_gone_is_left_out_with_a_note(pretrained, store, tmp_path, capsys):
    bare = copy_store(store, tmp_path / "bare", without=("lite0-features",))
    edit_json(pretrained / "run.json", lambda meta: meta.update(store=str(tmp_path / "gone")))
    assert names(probe(pretrained, bare)) == ["pretrained", RANDOM]
    assert "its teacher lite0-features is left out: it is not in" in capsys.readouterr().err


def test_another_teacher_of_that_name_is_left_out(pretrained, store, capsys):
    edit_json(
        pretrained / "run.json", lambda meta: meta["teacher"].update(fingerprint="of another")
    )
    assert names(probe(pretrained, store)) == ["pretrained", RANDOM]
    assert "or another one stands there" in capsys.readouterr().err


def test_a_teacher_of_an_older_format_is_left_out(pretrained, store, tmp_path, capsys):
    older = copy_store(store, tmp_path / "older")
    file = older / "teachers" / "lite0-features" / "teacher.json"
    edit_json(file, lambda meta: meta.update(format=1))
    edit_json(pretrained / "run.json", lambda meta: meta.update(store=str(older)))
    assert names(probe(pretrained, older)) == ["pretrained", RANDOM]
    assert "teacher format 1; run pointmcd teach again" in capsys.readouterr().err
