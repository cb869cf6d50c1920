import numpy as np
import pytest
import torch

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import Setup, read_terms
from pointmcd.errors import ConfigError
from pointmcd.students.base import PointFeatures
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

B, K = 4, 6
FEATURES = PointFeatures(torch.zeros(B, 5, 3))


def loss_of(text, ours, theirs):
    (term,) = read_terms([text])
    setup = Setup(3, {"logits": (K,)}, lambda name: pytest.fail(f"nobody reads {name}"), None)
    batch = Batch(torch.zeros(B, 5, 3), torch.zeros(B), teacher={"logits": theirs})
    return term.kind(term.options, setup)(FEATURES, ours, batch)


def naive(ours, theirs, temperature, standardise):
    total = 0.0
    for mine, wanted in zip(ours.double().tolist(), theirs.double().tolist(), strict=True):
        pair = []
        for row in (np.array(mine), np.array(wanted)):
            z = (row - row.mean()) / row.std(ddof=1) if standardise else row
            odds = np.exp(z / temperature)
            pair.append(odds / odds.sum())
        q, p = pair
        total += (p * np.log(p / q)).sum()
    return temperature**2 * total / len(ours)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("standardise", [True, False])
def test_it_is_its_formula(temperature, standardise):
    torch.manual_seed(0)
    ours, theirs = torch.randn(B, K), 3 * torch.randn(B, K) + 1
    text = f"logits,temperature={temperature},standardise={standardise}"
    found = loss_of(text, ours, theirs)
    assert float(found) == pytest.approx(naive(ours, theirs, temperature, standardise), rel=1e-5)


def test_standardised_logits_may_have_any_scale_and_offset():
    torch.manual_seed(0)
    ours, theirs = torch.randn(B, K), torch.randn(B, K)
    found = loss_of("logits", ours, theirs)
    assert float(loss_of("logits", 5 * ours - 3, theirs)) == pytest.approx(float(found), rel=1e-4)
    assert float(loss_of("logits", 7 * theirs + 2, theirs)) == pytest.approx(0, abs=1e-6)


def test_its_gradient_is_finite_where_all_logits_are_equal():
    ours = torch.ones(B, K, requires_grad=True)
    loss_of("logits", ours, torch.randn(B, K)).backward()
    assert torch.isfinite(ours.grad).all()


def test_the_defaults_are_those_of_the_paper():
    (term,) = read_terms(["logits"])
    assert (term.weight, term.options.temperature, term.options.standardise) == (9.0, 2.0, True)


@pytest.mark.parametrize("temperature", ["0", "-1", "nan", "inf"])
def test_a_temperature_that_cannot_be_meant(temperature):
    with pytest.raises(ConfigError, match=r"temperature .*: must be above 0"):
        read_terms([f"logits,temperature={temperature}"])


def test_a_run_learns_from_logits_and_descriptors(taught_store, tmp_path):
    options = {"epochs": 3, "points": 64, "batch_size": 4, "device": "cpu", "lr": 0.01}
    config = TrainConfig(
        taught_store,
        tmp_path / "run",
        student="tiny_student:TinyStudent",
        objective=("logits", "vafp:3"),
        **options,
    )
    records = Run(train(config)).metrics()
    assert records[-1]["logits_loss"] < records[0]["logits_loss"]
    assert {"task_loss", "logits_loss", "vafp_loss"} <= records[0].keys()
