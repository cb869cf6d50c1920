"""Runs trained as one model: equal to the same runs trained alone."""

from contextlib import ExitStack

import pytest
import torch
from store_copies import copy_store
from trainers import trainer_of

from pointmcd import checkpoint
from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.keeper import Keeper
from pointmcd.training.run import Run
from pointmcd.training.together import Together, train_together
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
#: Weights hardly move: where one max or ReLU turns by rounding, trainings go apart.
STILL = {"optimizer": "sgd", "lr": 1e-6, "final_lr": 1e-7, "objective": ("logits:9",)}
DISTILLED = {"teacher": "lite0", "label_fraction": 0.5}


@pytest.fixture(scope="module")
def store(taught_store, tmp_path_factory):
    """A store with a teacher for the labels of each of two seeds."""
    store = copy_store(taught_store, tmp_path_factory.mktemp("together") / "store")
    for seed in (0, 1):
        teach(TeachConfig(store, label_fraction=0.5, seed=seed, epochs=1, device="cpu"))
    return store


@pytest.fixture
def pair(make, store):
    def configs(name, **options):
        return [make(f"{name}-{s}", store, seed=s, **(STILL | options)) for s in (0, 1)]

    return configs


def assert_equal_but_for_rounding(run, other):
    for which in ("last", "best"):
        ours, theirs = (load_checkpoint(one / f"{which}.safetensors")[0] for one in (run, other))
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-5)
    for mine, alone in zip(Run(run).metrics(), Run(other).metrics(), strict=True):
        assert mine.keys() == alone.keys()
        wanted = {key: value for key, value in alone.items() if key != "seconds"}
        assert {k: mine[k] for k in wanted} == pytest.approx(wanted, rel=1e-3, abs=1e-5)


def as_doubles(batches):
    return tuple(one._replace(points=one.points.double()) for one in batches)


@pytest.mark.parametrize("student", ["pointnet", "pointnet-vanilla"])
@pytest.mark.parametrize("options", [{}, DISTILLED], ids=["baseline", "distilled"])
def test_steps_are_those_of_each_alone(pair, student, options):
    options = {"student": student, "dropout": 0.0, "lr": 0.02, **options}
    alone, ours = ([trainer_of(one) for one in pair(name, **options)] for name in ("a", "b"))
    for trainer in [*alone, *ours]:
        trainer.training.double()
        trainer.start_epoch(0)
    together = Together(ours)
    with ExitStack() as stack:
        each = zip(*(trainer.batches(stack) for trainer in alone), strict=True)
        for batches in ([as_doubles(one) for one in step] for step in each):
            logged = together.step(batches, (0.5, 1.0))
            for i, (trainer, batch) in enumerate(zip(alone, batches, strict=True)):
                wanted = trainer._step(batch[0], (0.5, 1.0), *batch[1:])
                assert {k: float(v[i]) for k, v in logged.items()} == pytest.approx(
                    {k: float(v) for k, v in wanted.items()}, rel=1e-5
                )
    for mine, other in zip(ours, alone, strict=True):
        states = (one.training.state_dict() for one in (mine, other))
        for (name, tensor), wanted in zip(next(states).items(), next(states).values(), strict=True):
            torch.testing.assert_close(
                tensor, wanted, rtol=1e-4, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}"
            )
    first, second = (one.module.head.classifier.weight for one in ours)
    assert not torch.equal(first, second)


def test_runs_are_those_trained_alone(pair, content):
    options = {"student": "pointnet-vanilla", "dropout": 0.0, **DISTILLED}
    alone = [train(config) for config in pair("alone", **options)]
    together = train_together(pair("together", **options))
    for run, other in zip(together, alone, strict=True):
        assert_equal_but_for_rounding(run, other)
        assert content(run)["files"] == content(other)["files"]
        assert evaluate(run)["last"].main == evaluate(other)["last"].main


def test_an_interrupted_training_goes_on(pair, monkeypatch):
    options = {"student": "pointnet-vanilla", "dropout": 0.0, "lr": 0.001, "epochs": 3}
    whole = train_together(pair("whole", **options))
    real, epochs = Together.epoch, []

    def stopping(self, epoch):
        epochs.append(epoch)
        if epochs == [0, 1]:
            raise KeyboardInterrupt
        return real(self, epoch)

    monkeypatch.setattr(Together, "epoch", stopping)
    configs = pair("cut", **options)
    with pytest.raises(KeyboardInterrupt):
        train_together(configs)
    assert [epochs_of(config.folder) for config in configs] == [1, 1]
    runs = train_together(configs)
    assert epochs == [0, 1, 1, 2]  # together, and from where they were stopped
    for run, other in zip(runs, whole, strict=True):
        assert epochs_of(run) == 3
        for ours, theirs in zip(tensors(run), tensors(other), strict=True):
            assert torch.equal(ours, theirs)
    assert train_together(configs) == runs
    assert epochs == [0, 1, 1, 2]


def epochs_of(run):
    return load_checkpoint(run / "last.safetensors")[1]["epoch"]


def tensors(run):
    return load_checkpoint(run / "last.safetensors")[0].values()


def test_finished_runs_stay_as_they_are(pair, monkeypatch):
    configs = pair("a", student="pointnet-vanilla", epochs=1)
    finished = train(configs[0])
    before = (finished / "last.safetensors").read_bytes()
    real, trained = Together.__init__, []

    def counting(self, trainers):
        trained.append(len(trainers))
        real(self, trainers)

    monkeypatch.setattr(Together, "__init__", counting)
    train_together(configs)
    assert trained == [1]
    assert Run(configs[1].folder).finished
    assert (finished / "last.safetensors").read_bytes() == before


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_all_are_kept_at_once_or_none(pair, monkeypatch, every):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY", every)
    written, real = [], Keeper._write

    def writing(self, epoch):
        written.append((self.run.path.name, epoch))
        real(self, epoch)

    monkeypatch.setattr(Keeper, "_write", writing)
    train_together(pair("a", student="pointnet-vanilla", epochs=2))
    epochs = (2,) if every else (1, 2)
    assert written == [(name, epoch) for epoch in epochs for name in ("a-0", "a-1")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"student": "dgcnn"}, "--student dgcnn: such runs cannot"),
        ({"objective": ("vafp:1",), "teacher": "lite0"}, "--objective vafp:1: such runs cannot"),
        ({"ema_decay": 0.9}, "--ema-decay 0.9: such runs cannot"),
    ],
)
def test_what_cannot_be_batched_is_refused(pair, options, message):
    configs = pair("a", **({"student": "pointnet", "teacher": None} | options))
    with pytest.raises(ConfigError, match=message):
        train_together(configs)
    assert not configs[0].folder.exists()


def label_file(store, folder, counts):
    """A label file that names so many shapes of each class."""
    rows = [s for s in Store(store).shapes if s.split == "train"]
    chosen = [
        [one for one in rows if one.label == label][:count] for label, count in counts.items()
    ]
    file = folder / f"{'-'.join(map(str, counts.values()))}.csv"
    file.write_text("".join(f"{s.name},{s.label}\n" for rows in chosen for s in rows))
    return file


def test_runs_of_other_classes_or_steps_are_refused_before_any_folder(make, store, tmp_path):
    few = label_file(store, tmp_path, {"bed": 2, "chair": 2, "lamp": 1})
    two = label_file(store, tmp_path, {"bed": 2, "chair": 2, "lamp": 2})
    two.write_text(two.read_text().replace(",lamp", ",stool"))
    many = label_file(store, tmp_path, {"bed": 3, "chair": 2, "lamp": 2})
    of = {"student": "pointnet", "batch_size": 4}
    one, other, third = (make(file.stem, store, labels=file, **of) for file in (few, two, many))
    with pytest.raises(ConfigError, match=r"has other classes than .*; train them one by one"):
        train_together([one, other])
    with pytest.raises(ConfigError, match=r"steps an epoch, .* label equally many shapes in each"):
        train_together([one, third])
    assert not any(
        config.folder.exists() and any(config.folder.glob("*.json"))
        for config in (one, other, third)
    )


def test_a_folder_that_is_given_twice(make, store):
    config = make("a", store, student="pointnet")
    with pytest.raises(ConfigError, match=r"--out .*: is given twice"):
        train_together([config, config])


def test_a_default_objective_is_named(make, store):
    config = make("a", store, student="pointnet", teacher="lite0", objective=())
    teach(TeachConfig(store, epochs=1, device="cpu", overwrite=True))
    with pytest.raises(ConfigError, match=r"--objective vafp.*: such runs cannot"):
        train_together([config])


def test_other_differences_are_refused(make, store):
    configs = [make(name, store, student="pointnet", lr=lr) for name, lr in (("a", 0.1), ("b", 1))]
    with pytest.raises(ConfigError, match=r"has lr 1, .* 0\.1; runs that are trained together"):
        train_together(configs)


def test_none_is_none():
    assert train_together([]) == []
