"""Arms of one seed differ in what they are told to differ in, and in nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from trainers import trainer_of

from pointmcd.data.store import Store
from pointmcd.distill.objective import Objective
from pointmcd.errors import ConfigError
from pointmcd.training.run import Run
from pointmcd.training.train import plan_run, train
from pointmcd.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

FEATURES = ("vafp:1,distance=l1,target=features",)
STANDARDISED = ("vafp:1,distance=l1,standardise=true",)
ARMS = {
    "baseline": {"teacher": None},
    "distilled": {},
    "distilled-all-visible": {"visibility": "all"},
    "distilled-wrong-view": {"pairing": "wrong"},
}


@pytest.fixture
def distilled(make):
    def config(out, **options):
        return make(out, **({"teacher": "lite0"} | options))

    return config


def model_of(left):
    return {n: t for n, t in left["last"].items() if n.startswith("model.")}


@pytest.mark.parametrize("student", ["tiny_student:TinyStudent", "pointnet", "dgcnn"])
def test_arms_start_from_the_same_weights(distilled, taught_store, student):
    def start(**options):
        config = distilled("a", student=student, **options)
        return trainer_of(config).module.state_dict()

    first = start(teacher=None)
    for options in (
        {},
        {"visibility": "all"},
        {"objective": FEATURES},
        {"objective": STANDARDISED},
    ):
        state = start(**options)
        assert state.keys() == first.keys()
        assert all(torch.equal(state[name], value) for name, value in first.items())
    other = start(seed=1)
    assert any(not torch.equal(other[name], value) for name, value in first.items())


def test_arms_see_the_same_batches(distilled, monkeypatch):
    seen = {}
    step = Trainer._step
    for arm, options in ARMS.items():
        batches = seen[arm] = []

        def spy(self, batch, weights, batches=batches):
            batches.append(batch)
            return step(self, batch, weights)

        monkeypatch.setattr(Trainer, "_step", spy)
        train(distilled(arm, **options, resample=True))
    first = seen["baseline"]
    assert len(first) == 4  # two epochs of nine shapes by four
    assert not torch.equal(first[0].points, first[2].points)
    for batches in seen.values():
        for batch, expected in zip(batches, first, strict=True):
            assert torch.equal(batch.points, expected.points)
            assert torch.equal(batch.labels, expected.labels)
    plain, every, wrong = (seen[arm][0] for arm in list(ARMS)[1:])
    assert first[0].visibility is None
    assert first[0].teacher == {}
    assert torch.equal(plain.teacher["descriptors"], every.teacher["descriptors"])
    assert torch.equal(plain.visibility, wrong.visibility)
    assert every.visibility.all()
    assert not plain.visibility.all()
    assert not torch.equal(plain.teacher["descriptors"], wrong.teacher["descriptors"])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_distillation_without_weight_is_the_baseline(distilled, content, optimizer):
    baseline = content(train(distilled("a", teacher=None, optimizer=optimizer)))
    weightless = content(
        train(distilled("b", objective=("vafp:0,distance=l1",), optimizer=optimizer))
    )
    weighed = content(train(distilled("c", optimizer=optimizer)))
    assert model_of(weightless) == model_of(baseline)
    assert model_of(weighed) != model_of(baseline)
    for one, other in zip(weightless["records"], baseline["records"], strict=True):
        assert one.pop("vafp_loss") > 0
        assert one == other


def test_a_baseline_does_not_mind_how_others_distil(distilled, content):
    plain = content(train(distilled("a", teacher=None)))
    options = {"distill_course": "first", "visibility": "all", "objective": ("vafp",)}
    other = content(train(distilled("b", teacher=None, **options)))
    assert other["last"] == plain["last"]


OPTIONS = [
    {"visibility": "all"},
    {"pairing": "wrong"},
    {"objective": FEATURES},
    {"objective": STANDARDISED},
    {"objective": ("vafp:1,distance=l1,target=features,standardise=true",)},
    {"objective": ("vafp:1,distance=l1,start=plain",)},
    {"objective": ("vafp:1,distance=l1", "vafp:1,distance=cosine")},
    {"resample": True},
    {"precision": "bf16"},
    {"objective": ("vafp:1,distance=smooth_l1",)},
    {"objective": ("vafp:1,distance=cosine",)},
    {"distill_course": "decay"},
    {"distill_course": "first", "distill_share": 0.5},
    {"task_weight": 0.1},
    {"objective": ("vafp:3,distance=l1",)},
    {"regulariser_weight": 0.1},
    {"label_smoothing": 0.0},
    {"scale": 1.0},
    {"shift": 0.0},
    {"warmup_epochs": 1},
    {"weight_decay": 0.5},
    {"optimizer": "sgd"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_runs_and_does_something(distilled, content, plain_model, options):
    left = content(train(distilled("a", **options)))
    assert left["run"]["finished"]
    assert model_of(left) != plain_model
    assert {str(tensor[0]) for tensor in left["last"].values()} <= {"torch.float32", "torch.int64"}


@pytest.fixture
def plain_model(distilled, content):
    return model_of(content(train(distilled("plain"))))


class Told(Objective):
    """It keeps what it was made for."""

    @classmethod
    def outputs(cls, options):
        return ("descriptors", "logits", "view_logits", "shape")

    def __init__(self, options, setup):
        super().__init__(options, setup)
        self.setup = setup

    def forward(self, features, logits, batch):
        return features.embeddings.mean()


def test_objectives_are_told_what_they_are_made_for(distilled, taught_store):
    config = distilled("a", objective=(f"{__name__}:Told",))
    trainer = trainer_of(config)
    setup = trainer.training.objectives["Told"].setup
    assert setup.channels == trainer.module.student.num_features
    assert setup.sizes == {
        **{"descriptors": (3, 512), "shape": (512,)},
        **{"logits": (3,), "view_logits": (3, 3)},
    }
    folder = taught_store / "teachers/lite0/logits"
    logits = np.concatenate([np.load(path) for path in sorted(folder.glob("*.npy"))])
    seen = logits[Store(taught_store).indices("train")]
    np.testing.assert_allclose(setup.statistics("logits").mean, seen.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("control", [{"pairing": "wrong"}, {"visibility": "all"}])
def test_a_control_that_changes_nothing_is_refused(distilled, control):
    # Of class probabilities there is one for a shape: such a run would equal the plain one.
    with pytest.raises(ConfigError, match=r"^--\w+ \w+: changes nothing, as logits reads no outp"):
        train(distilled("a", objective=("logits:9",), **control))
    assert not list(distilled("a").folder.parent.glob("a*"))
    for objective in (("logits:9", "vafp:1"), ("view_logits:1",)):
        plan_run(distilled("a", objective=objective, **control))
    plan_run(distilled("a", objective=("logits:9",), pairing="shuffled"))
    plan_run(distilled("a", teacher=None, objective=(), **control))


def test_names_of_arms_are_written_down(distilled):
    for arm, options in ARMS.items():
        assert Run(train(distilled(arm, **options, epochs=1))).meta["arm"] == arm


def test_standardised_targets_may_be_negative_and_are_reached_without_relu(distilled):
    trainer = trainer_of(distilled("a", objective=STANDARDISED))
    assert trainer.training.objectives["vafp"].projection.signed
    plain = trainer_of(distilled("a"))
    assert not plain.training.objectives["vafp"].projection.signed


def weights_of(module):
    return {name: tensor.clone() for name, tensor in module.named_parameters()}


def moved(module, before):
    return {name for name, t in module.named_parameters() if not torch.equal(t, before[name])}


def test_distilling_first_leaves_the_head_and_then_the_projection_alone(distilled, taught_store):
    config = distilled("a", distill_course="first", distill_share=0.5, weight_decay=0.0)
    trainer = trainer_of(replace(config, optimizer="sgd", lr=0.1))
    student, head = trainer.module.student, trainer.module.head
    parts = (student, head, trainer.training.objectives)
    before = [weights_of(part) for part in parts]
    trainer.epoch(0)
    assert [bool(moved(*pair)) for pair in zip(parts, before, strict=True)] == [True, False, True]
    before = [weights_of(part) for part in parts]
    trainer.epoch(1)
    assert moved(student, before[0])
    assert moved(head, before[1])


@pytest.mark.parametrize("student", ["pointnet", "dgcnn"])
def test_real_students_run_in_half_precision(distilled, student):
    folder = train(distilled("a", student=student, precision="bf16", epochs=1, points=32))
    (record,) = Run(folder).metrics()
    assert 0 < record["task_loss"] < 3
    assert record["vafp_loss"] > 0


def test_fp16_is_not_passed_over_in_silence(distilled):
    config = distilled("a", precision="fp16")
    with pytest.raises(ConfigError, match="--precision fp16: needs a GPU; use bf16 or no"):
        train(config)
    assert not config.out.exists()
