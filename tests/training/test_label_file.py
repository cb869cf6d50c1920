"""Training with a label file: teacher, run, evaluation, and cross-validation over its shapes."""

import pytest
from store_copies import copy_store

from pointmcd.data.label_file import labels_digest
from pointmcd.data.labels import LabelRow, read_labels, write_labels
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.files import read_json
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons.classification import ClassificationLesson, ClassificationOptions
from pointmcd.teachers.stored import read_teacher
from pointmcd.teachers.teach import teach
from pointmcd.training.folds import cross_validate
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = {"teacher": "lite0", "objective": (), "batch_size": 3}


def label_file(store, path, each=2):
    """The first shapes of every class in train, with their labels."""
    rows, opened = [], Store(store)
    for label in opened.classes:
        members = [s for s in opened.shapes if (s.label, s.split) == (label, "train")]
        rows += [LabelRow(s.name, label) for s in members[:each]]
    write_labels(path, rows)
    return path


@pytest.fixture(scope="module")
def labels(taught_store, tmp_path_factory):
    return label_file(taught_store, tmp_path_factory.mktemp("labels") / "labels.csv")


@pytest.fixture(scope="module")
def store(taught_store, labels, tmp_path_factory):
    """A store with a teacher of those labels. To be read only, but for teachers of folds."""
    path = copy_store(taught_store, tmp_path_factory.mktemp("file") / "store")
    made = teach(TeachConfig(path, labels=labels, epochs=2, device="cpu"))
    assert made.name == f"lite0-labels-{labels_digest(labels)}"
    return path


def test_a_run_distils_from_the_teacher_of_the_same_labels(make, store, labels, tmp_path):
    path = train(make("a", store, labels=labels, **FEW))
    run = Run(path)
    assert run.meta["teacher"]["name"] == f"lite0-labels-{labels_digest(labels)}"
    assert run.meta["shapes"] == {"train": 6, "val": 0, "test": 6}
    assert run.config.objectives == ("logits:9",)  # as few labels are known
    assert read_labels(run.label_file) == [
        row._replace(line=i) for i, row in enumerate(read_labels(labels), start=2)
    ]
    found = evaluate(path, device="cpu")
    assert set(found) == {"last", "best", "teacher"}


def test_a_run_is_replaced_by_one_of_its_own_label_file(make, store, labels):
    base = FEW | {"teacher": None}
    path = train(make("a", store, labels=labels, **base))
    known = (path / "labels.csv").read_bytes()
    train(make("a", store, labels=path / "labels.csv", seed=1, overwrite=True, **base))
    assert ((path / "labels.csv").read_bytes(), Run(path).meta["seed"]) == (known, 1)
    train(make("a", store, overwrite=True, **base))
    assert not (path / "labels.csv").exists()


def test_the_run_keeps_the_labels_when_the_file_changes(make, store, labels, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_bytes(labels.read_bytes())
    config = make("a", store, labels=file, **(FEW | {"teacher": None}))
    path = train(config)
    write_labels(file, read_labels(file)[1:])
    evaluate(path, device="cpu")  # with those that it was trained with
    with pytest.raises(Exception, match="differs in labels"):
        train(config)
    file.unlink()
    evaluate(path, device="cpu")


def test_no_other_teacher_of_labels_serves(make, store, labels, tmp_path):
    other = label_file(store, tmp_path / "one.csv", each=1)
    with pytest.raises(StoreError, match=rf"no teacher lite0-labels-\w+ .* --labels {other}$"):
        train(make("a", store, labels=other, **FEW))
    knows_all = FEW | {"teacher": "lite0-labels-" + labels_digest(labels)}
    with pytest.raises(StoreError, match="made from another"):
        train(make("a", store, labels=other, **knows_all))


def test_features_of_the_views_are_not_made_again(store, labels, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("pointmcd.teachers.features.encode_shapes", refuse)
    teach(TeachConfig(store, labels=label_file(store, tmp_path / "one.csv", 1), epochs=1))


def test_a_teacher_without_labels_serves_with_any(make, store, labels):
    teach(TeachConfig(store, task="features", device="cpu"))
    options = FEW | {"teacher": "lite0-features", "objective": ("vafp:1",)}
    train(make("a", store, labels=labels, **options))


def test_a_start_that_knows_other_labels_is_refused(make, store, labels):
    start = train(make("all", store))
    with pytest.raises(ConfigError, match="learnt from labels of this store; with --labels"):
        train(make("a", store, labels=labels, init=start))
    few = train(make("few", store, labels=labels))
    with pytest.raises(ConfigError, match="with --label-fraction"):
        train(make("b", store, label_fraction=0.34, init=few))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label_fraction": 0.5}, "--labels: says which labels are used"),
        ({"task": "pretrain", "teacher": "lite0-features"}, "--labels: --task pretrain uses no"),
    ],
)
def test_what_does_not_go_with_labels(make, labels, options, said):
    with pytest.raises(ConfigError, match=said):
        train(make("a", labels=labels, **options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label_fraction": 0.5}, "--labels: says which labels are used"),
        ({"task": "features"}, "--labels: --task features uses no labels"),
    ],
)
def test_what_does_not_go_with_labels_of_a_teacher(store, labels, options, said):
    with pytest.raises(ConfigError, match=said):
        teach(TeachConfig(store, labels=labels, **options))


def test_cross_validation_scores_every_labelled_shape_once(make, store, labels, tmp_path):
    config = make("a", store, labels=labels, **FEW)
    found = cross_validate(config, 3)
    folder = config.folder.with_name("a-folds")
    held = []
    for number in (1, 2, 3):
        run = Run(folder / str(number))
        rows = read_labels(run.label_file)
        val = [row for row in rows if row.split == "val"]
        assert len({row.label for row in val}) == len(val) == 2  # the classes take turns
        held += [row.path for row in val]
        teacher = read_teacher(Store(store, run.label_file), run.meta["teacher"]["name"])
        assert teacher["settings"]["labels"] == labels_digest(run.label_file)
        assert run.meta["shapes"]["val"] == 2
    assert sorted(held) == sorted(row.path for row in read_labels(labels))
    assert found.shapes == 6
    accuracies = [Run(folder / n).metrics()[-1]["val_accuracy"] for n in "123"]
    assert found.accuracy == pytest.approx(sum(accuracies) / 3)
    assert 0 <= found.low < found.accuracy + 1e-9
    assert found.accuracy - 1e-9 < found.high <= 1
    assert read_json(folder / "folds.json")["shapes"] == 6


def test_folds_make_the_teacher_of_the_label_file(
    make, taught_store, labels, tmp_path, capsys, monkeypatch
):
    options = classmethod(lambda kind, finetune: ClassificationOptions(epochs=2))
    monkeypatch.setattr(ClassificationLesson, "default_options", options)
    store = copy_store(taught_store, tmp_path / "store")
    config = make("a", store, labels=labels, **FEW)
    with pytest.raises(ConfigError, match="--folds 7: must be from 2 to the 6"):
        cross_validate(config, 7)
    assert not [*store.glob("teachers/*-labels-*")]  # refused before one is made
    cross_validate(config, 2)
    said = capsys.readouterr().err
    assert "few for a teacher" not in said  # its epochs are the lesson's own choice
    assert "labels (teacher) 2/2" in said
    assert "all shapes (teacher)" in said
    assert Run(train(config)).meta["teacher"]["name"] == f"lite0-labels-{labels_digest(labels)}"


def test_no_other_teacher_than_the_one_meant_is_made(make, store, labels):
    before = sorted(store.glob("teachers/*"))
    with pytest.raises(StoreError, match="no teacher lite0-autoencoder"):
        cross_validate(make("a", store, labels=labels, **FEW | {"teacher": "lite0-autoencoder"}), 2)
    assert sorted(store.glob("teachers/*")) == before


def test_cross_validation_goes_on_where_it_was_stopped(make, store, labels, monkeypatch):
    config = make("a", store, labels=labels, teacher=None)
    wanted = cross_validate(config, 2)
    (config.folder.with_name("a-folds") / "2" / "run.json").unlink()
    for path in (config.folder.with_name("a-folds") / "2").iterdir():
        path.unlink()
    assert cross_validate(config, 2) == wanted


def test_folds_hold_out_whatever_the_run_itself_is_fitted_on(make, store):
    config = make("a", store, teacher=None, fit_on="train+val")
    assert cross_validate(config, 2).shapes == 12
    assert Run(config.folder.with_name("a-folds") / "1").meta["shapes"]["val"] == 6


def test_what_the_run_itself_cannot_be_is_refused_before_its_folds(make, store, labels):
    config = make("a", store, labels=labels, teacher=None, fit_on="train+val")
    with pytest.raises(StoreError, match="has no validation split; leave out --fit-on"):
        cross_validate(config, 2)
    assert not config.folder.with_name("a-folds").exists()


def test_cross_validation_over_the_labels_of_the_store(make, store):
    found = cross_validate(make("a", store, teacher="lite0", objective=("logits:1",)), 2)
    assert found.shapes == 12  # train and val


@pytest.mark.parametrize(
    ("folds", "options", "said"),
    [
        (1, {}, "--folds 1: must be from 2 to the 12 labelled shapes"),
        (13, {}, "--folds 13: must be"),
        (2, {"label_fraction": 0.5}, "leave out --label-fraction"),
        (2, {"task": "pretrain", "teacher": "lite0-features"}, "is for classification"),
    ],
)
def test_what_cannot_be_cross_validated(make, store, folds, options, said):
    with pytest.raises(ConfigError, match=said):
        cross_validate(make("a", store, **options), folds)


def test_a_start_with_labels_cannot_be_cross_validated(make, store):
    start = train(make("all", store))
    with pytest.raises(ConfigError, match="learnt labels that a fold holds out"):
        cross_validate(make("a", store, init=start), 2)
