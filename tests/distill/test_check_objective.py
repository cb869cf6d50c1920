from pathlib import Path

import pytest
import torch
from toy_objective import ShapeMatch

from pointmcd import check_objective
from pointmcd.distill.objective import OBJECTIVES
from pointmcd.errors import ConfigError


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_the_packages_own_pass(name):
    check_objective(name)


@pytest.mark.parametrize(
    "given", [ShapeMatch, "toy_objective:ShapeMatch:2,power=2", "vafp,distance=l1,target=features"]
)
def test_ones_own_pass(given):
    state = torch.random.get_rng_state()
    check_objective(given)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_objective_of_the_documentation_keeps_the_contract(tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "architecture.md"
    code = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    (tmp_path / "my_objectives.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    check_objective("my_objectives:ShapeMatch:0.5,power=2")


class Abstract(ShapeMatch):
    outputs = None


class Unknown(ShapeMatch):
    @classmethod
    def outputs(cls, options):
        return ("smell",)


class NoTuple(ShapeMatch):
    @classmethod
    def outputs(cls, options):
        return "shape"  # a forgotten comma


class NoTexts(ShapeMatch):
    @classmethod
    def outputs(cls, options):
        return (None,)


class BigWeight(ShapeMatch):
    weight = "big"


class NegativeWeight(ShapeMatch):
    weight = -1


class Vector(ShapeMatch):
    def forward(self, features, logits, batch):
        return features.embeddings.mean(dim=(1, 2))


class Double(ShapeMatch):
    def forward(self, features, logits, batch):
        return super().forward(features, logits, batch).double()


class Detached(ShapeMatch):
    def forward(self, features, logits, batch):
        return super().forward(features, logits, batch).detach()


class Writes(ShapeMatch):
    def forward(self, features, logits, batch):
        batch.teacher["shape"].mul_(2)
        return super().forward(features, logits, batch)


class Infinite(ShapeMatch):
    def forward(self, features, logits, batch):
        return super().forward(features, logits, batch) / batch.visibility.sum(1).min()


class Random(ShapeMatch):
    def forward(self, features, logits, batch):
        return super().forward(features, logits, batch) * torch.rand(())


class Fails(ShapeMatch):
    def forward(self, features, logits, batch):
        raise IndexError("out\nof range")


class Deaf(ShapeMatch):
    def forward(self, features, logits, batch):
        return self.linear.weight.square().mean()


class TooSure(ShapeMatch):
    def agreement(self, features, logits, batch):
        return torch.tensor(2.0)


class Forgets(ShapeMatch):
    def __init__(self, options, setup):
        super().__init__(options, setup)
        self.offset = torch.rand(())

    def forward(self, features, logits, batch):
        return super().forward(features, logits, batch) + self.offset


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Abstract, "objective Abstract: outputs fails: TypeError"),
        (dict, "is not a class derived from pointmcd.distill.objective.Objective"),
        (Unknown, "output smell: unknown; known are descriptors, features"),
        (
            NoTuple,
            r"^objective NoTuple: outputs gives 'shape'; write a tuple of names, such as \(\"",
        ),
        (NoTexts, r"outputs gives \(None,\); write a tuple of names"),
        (BigWeight, "objective BigWeight: weight is 'big'; write a number of at least 0"),
        (NegativeWeight, "weight is -1; write a number of at least 0"),
        (Vector, r"the loss is torch.float32 \[4\]; expected a scalar"),
        (Double, r"the loss is torch.float64 \[\]"),
        (Detached, "the loss carries no gradient"),
        (Writes, "writes into the output shape"),
        (Infinite, "the loss is not finite"),
        (Random, "differs from call to call in evaluation"),
        (Fails, "forward fails: IndexError: out$"),
        (Deaf, "depends on neither embeddings nor logits"),
        (TooSure, "agreement is 2.0; expected a number up to 1"),
        (Forgets, "is some state no buffer"),
    ],
)
def test_what_is_broken_is_named_in_one_line(kind, fault):
    with pytest.raises(ConfigError, match=fault) as told:
        check_objective(kind)
    assert "\n" not in str(told.value)


def test_outputs_of_a_lesson_of_ones_own_are_given_by_size():
    class Smells(ShapeMatch):
        @classmethod
        def outputs(cls, options):
            return ("smell",)

        def __init__(self, options, setup):
            torch.nn.Module.__init__(self)
            self.options = options

        def forward(self, features, logits, batch):
            return (features.embeddings.mean() - batch.teacher["smell"].mean()).square()

    check_objective(Smells, {"smell": (7,)})
