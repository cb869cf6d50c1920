"""Clipped gradients, averaged weights, dropout of the head, and balanced classes."""

import numpy as np
import pytest
import torch
from launching import launch
from sklearn.utils.class_weight import compute_class_weight
from store_copies import copy_store, edit_shapes
from torch import nn
from trainers import trainer_of

from pointmcd.checkpoint import load_checkpoint, under_prefix
from pointmcd.data.sampling import BalancedSampler, class_weights
from pointmcd.errors import ConfigError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.tasks.classification import ClassificationTask
from pointmcd.training.averages import ExponentialAverage
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
OFF = {
    **dict.fromkeys(("dropout", "clip_gradients", "ema_decay")),
    **{"sampling": "plain", "class_weights": "none"},
}
ON = {
    "dropout": 0.2,
    "clip_gradients": 0.5,
    "ema_decay": 0.9,
    "sampling": "balanced",
    "class_weights": "balanced",
}


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        *(("dropout", bad, "must be at least 0 and below 1") for bad in (-0.1, 1.0, float("nan"))),
        *(("clip_gradients", bad, "must be above 0") for bad in (-1.0, 0.0, float("nan"))),
        ("clip_gradients", float("inf"), "must be above 0"),
        *(("ema_decay", b, "must be between 0 and 1") for b in (-0.5, 0.0, 1.0, float("nan"))),
        ("sampling", "even", "use one of plain, balanced"),
        ("class_weights", "inverse", "use one of none, balanced"),
    ],
)
def test_values_that_cannot_be_meant(make, field, value, rule):
    with pytest.raises(ConfigError) as caught:
        train(make("a", **{field: value}))
    assert str(caught.value) == f"--{field.replace('_', '-')} {value}: {rule}"


@pytest.mark.parametrize("field", ["sampling", "class_weights"])
def test_balance_needs_labels(make, field):
    with pytest.raises(ConfigError, match=f"^--{field.replace('_', '-')}: --task pretrain uses no"):
        train(make("a", task="pretrain", teacher="lite0", **{field: "balanced"}))


def test_a_task_that_weighs_no_shapes_refuses_class_weights(make, monkeypatch):
    monkeypatch.setattr(ClassificationTask, "weighs_shapes", False)
    with pytest.raises(ConfigError, match=r"^--class-weights: --task classification weighs"):
        train(make("a", class_weights="balanced"))


def test_dropout_needs_a_head_that_has_some(make):
    with pytest.raises(ConfigError, match=r"^--dropout 0.2: the head has no dropout layer"):
        train(make("a", student="pointnet", task="classification,head=single", dropout=0.2))


def test_off_is_described_as_before_there_was_a_choice(make):
    assert not OFF.keys() & make("a").decisive().keys()
    assert make("a", **ON).decisive().items() >= ON.items()
    run = Run(train(make("a", student="pointnet", epochs=1, **ON)))
    assert run.settings.items() >= ON.items()
    assert run.config == make("a", student="pointnet", epochs=1, **ON)


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_dropout_is_set_in_the_head_alone(make, parts_store, taught_store, task):
    store = parts_store if task == "segmentation" else taught_store
    options = {"task": task, "student": "pointnet"}

    def layers(**more):
        model = trainer_of(make("a", store, **options, **more)).module
        return [part.p for part in model.modules() if isinstance(part, nn.Dropout)]

    assert layers(dropout=0.2) == [0.2] * len(layers())
    assert layers(dropout=0.0) == [0.0] * len(layers())


def test_a_student_keeps_its_own_dropout(make, parts_store):
    model = trainer_of(make("a", parts_store, task="segmentation", dropout=0.2)).module
    assert model.student.drop.p == 0.1
    assert {part.p for part in model.head.modules() if isinstance(part, nn.Dropout)} == {0.2}


# Clipped gradients


@pytest.mark.parametrize("largest", [1e-3, 1e6])
def test_a_step_is_no_longer_than_the_largest_gradient(make, largest):
    sgd = {"optimizer": "sgd", "lr": 1.0, "weight_decay": 0.0}

    def moved(**options):
        trainer = trainer_of(make("a", **sgd, **options))
        torch.manual_seed(0)
        before = nn.utils.parameters_to_vector(trainer.training.parameters()).detach().clone()
        trainer._step(trainer.dataset.__getitems__([0, 3, 6]), (1.0, 0.0))
        return nn.utils.parameters_to_vector(trainer.training.parameters()).detach() - before

    free, clipped = moved(), moved(clip_gradients=largest)
    factor = min(1.0, largest / float(free.norm()))
    torch.testing.assert_close(clipped, factor * free, rtol=1e-3, atol=1e-6)


# Averaged weights


class Mixed(nn.Module):
    """Every kind of state: weights, statistics, a counter, a queue, a table that is not saved."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.register_buffer("queue", torch.randn(5))
        self.register_buffer("table", torch.arange(10), persistent=False)


def test_the_average_against_sums_by_hand():
    torch.manual_seed(0)
    model = Mixed()
    average = ExponentialAverage(model, 0.4, CPU)
    names = {*dict(model.named_parameters()), "norm.running_mean", "norm.running_var"}
    expected = {}
    for step in range(1, 13):
        model.norm.train()(model.layer(torch.randn(6, 3)))
        model.queue.copy_(torch.randn(5))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update(model)
        share = min(0.4, step / (9 + step)) if step > 1 else 0.0
        now = {name: x.clone() for name, x in model.state_dict().items()}
        old = expected or now
        expected = {
            n: share * old[n] + (1 - share) * x if n in names else x for n, x in now.items()
        }
    assert share == 0.4  # and less in the first steps
    assert average.module.norm.num_batches_tracked == 12
    torch.testing.assert_close(dict(average.module.state_dict()), expected)
    assert torch.equal(average.module.table, torch.arange(10))


def test_what_is_validated_and_kept_is_the_average(make, monkeypatch):
    seen, step = [], Trainer._step

    def spy(self, *arguments):
        logged = step(self, *arguments)
        seen.append({name: x.clone() for name, x in self.module.state_dict().items()})
        return logged

    monkeypatch.setattr(Trainer, "_step", spy)
    folder = train(make("a", ema_decay=0.5, epochs=4, keep_checkpoints=True))
    share, expected = 0.0, seen[0]
    for number, now in enumerate(seen[1:], start=2):
        share = min(0.5, number / (9 + number))
        expected = {
            n: share * expected[n] + (1 - share) * x if x.is_floating_point() else x
            for n, x in now.items()
        }
    tensors, _ = load_checkpoint(folder / "last.safetensors")
    torch.testing.assert_close(under_prefix("model", tensors), expected)
    torch.testing.assert_close(under_prefix("live", tensors), seen[-1])
    loaded = load_model(Run(folder), "last", CPU)
    torch.testing.assert_close(dict(loaded.state_dict()), expected)
    val = evaluate(folder, "val", device="cpu")
    record = Run(folder).metrics()[-1]
    assert val["last"].overall_accuracy == pytest.approx(record["val_accuracy"])
    best, _ = load_checkpoint(folder / "best.safetensors")
    assert {name.split(".")[0] for name in best} == {"model"}


def test_projections_of_objectives_are_averaged_with_the_student(make):
    trainer = trainer_of(make("a", teacher="lite0", ema_decay=0.9))
    trainer.epoch(0)
    ours, live = (part.objectives.state_dict() for part in (trainer.evaluated, trainer.training))
    assert not torch.equal(
        ours["vafp.projection.linear.weight"], live["vafp.projection.linear.weight"]
    )


# Balanced classes


def test_class_weights_are_those_of_scikit_learn():
    labels = np.array([0, 0, 0, 2, 2, 3, 0, 0])
    wanted = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=labels)
    found = class_weights(labels, 5)
    assert found[[0, 2, 3]] == pytest.approx(wanted)
    assert found[[1, 4]].tolist() == [0, 0]
    assert found[labels].mean() == pytest.approx(1)


def test_weights_of_rows_against_a_plain_mean():
    logits, labels = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 0])
    weights = torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0, 0.25], dtype=torch.float64)
    rows = [
        float(smoothed_cross_entropy(logits[i : i + 1], labels[i : i + 1], 0.1)) for i in range(6)
    ]
    expected = sum(w * row for w, row in zip(weights.tolist(), rows, strict=True)) / 6
    assert float(smoothed_cross_entropy(logits, labels, 0.1, weights)) == pytest.approx(expected)


@pytest.fixture
def uneven(taught_store, tmp_path):
    """A store with six beds, two chairs and a lamp to train on."""
    store = copy_store(taught_store, tmp_path / "store")
    names = iter(["bed"] * 6 + ["chair"] * 2 + ["lamp"])

    def change(record):
        if record["split"] == "train":
            record["class"] = next(names)

    edit_shapes(store, change)
    return store


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_a_step_weighs_classes_by_their_labelled_shapes(
    make, uneven, parts_store, monkeypatch, task
):
    store = parts_store if task == "segmentation" else uneven
    trainer = trainer_of(make("a", store, task=task, class_weights="balanced"))
    labels = trainer.dataset.labels
    counts = np.bincount(labels)
    batch = trainer.dataset.__getitems__(list(range(len(labels))))
    kind, seen = type(trainer.task), []
    loss = kind.loss

    def spy(self, logits, batch, smoothing):
        seen.append(logits)
        return loss(self, logits, batch, smoothing)

    monkeypatch.setattr(kind, "loss", spy)
    found = float(trainer._step(batch, (1.0, 0.0))["task_loss"])
    (logits,) = seen
    rows = [
        float(loss(trainer.task, logits[i : i + 1].detach(), _row(batch, i), 0.2))
        for i in range(len(labels))
    ]
    expected = np.mean([len(labels) / (len(counts) * counts[k]) for k in labels] * np.array(rows))
    assert found == pytest.approx(float(expected), rel=1e-5)


def _row(batch, i):
    parts = None if batch.parts is None else batch.parts[i : i + 1]
    return batch._replace(
        points=batch.points[i : i + 1], labels=batch.labels[i : i + 1], parts=parts
    )


def test_a_balanced_sampler_draws_classes_alike_and_shapes_anew():
    labels = np.array([0] * 90 + [1] * 9 + [4])
    sampler = BalancedSampler(labels, 9000, torch.Generator().manual_seed(0))
    items = np.array(list(sampler))
    counts = np.bincount(labels[items % 100], minlength=5)
    assert len(items) == len(sampler) == 9000
    assert counts[[2, 3]].tolist() == [0, 0]
    assert np.abs(counts[[0, 1, 4]] - 3000).max() < 150  # three standard deviations are 134
    assert len(np.unique(items)) == 9000  # no draw of a shape is augmented as another
    lamp = items[items % 100 == 99] // 100
    assert lamp.tolist() == list(range(len(lamp)))
    sampler.generator.manual_seed(0)
    assert list(sampler) == items.tolist()


def test_balanced_batches_of_a_training(make, uneven, monkeypatch):
    seen, step = [], Trainer._step

    def spy(self, batch, weights, unlabelled=None):
        seen.append(batch)
        return step(self, batch, weights, unlabelled)

    monkeypatch.setattr(Trainer, "_step", spy)
    train(make("a", uneven, epochs=60, batch_size=3, sampling="balanced"))
    assert len(seen) == 180  # as many steps as without
    counts = np.bincount(np.concatenate([batch.labels for batch in seen]), minlength=3)
    assert np.abs(counts - 180).max() < 45  # four standard deviations
    lamps = torch.cat([batch.points[batch.labels == 2] for batch in seen])
    assert len(torch.unique(lamps, dim=0)) == len(lamps)


def test_held_back_labels_weigh_nothing(make, uneven):
    options = {"label_fraction": 0.5, "class_weights": "balanced"}
    trainer = trainer_of(make("a", uneven, **options))
    assert np.bincount(trainer.dataset.labels).tolist() == [3, 1, 1]
    assert trainer.weights.tolist() == pytest.approx([5 / 9, 5 / 3, 5 / 3])


@pytest.mark.slow
def test_two_processes_sample_and_average_as_one_does(taught_store, tmp_path):
    options = ["--points", 64, "--batch-size", 4, "--device", "cpu", "--optimizer", "sgd"]
    options += ["--lr", 0.001, "--epochs", 2, "--task", "classification,head=single"]
    options += ["--ema-decay", 0.9, "--clip-gradients", 1, "--sampling", "balanced"]
    options += ["--class-weights", "balanced"]
    runs = []
    for count in (1, 2):
        out = tmp_path / str(count)
        done = launch(["train", taught_store, "--out", out, *options], processes=count)
        assert done.returncode == 0, done.stderr
        runs.append(Run(out))
    for one, two in zip(*(run.metrics() for run in runs), strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == pytest.approx(
            {k: v for k, v in two.items() if k != "seconds"}, rel=1e-5
        )
    one, two = (load_checkpoint(run.checkpoint("best"))[0] for run in runs)
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)
