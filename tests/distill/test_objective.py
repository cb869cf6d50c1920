import pytest
import torch

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import OBJECTIVES, Objective, Objectives, Setup, read_terms
from pointmcd.errors import ConfigError
from pointmcd.students.base import PointFeatures


class Mean(Objective):
    """The mean embedding is the teacher's number."""

    @classmethod
    def outputs(cls, options):
        return ("numbers",)

    def forward(self, features, logits, batch):
        return (features.embeddings.mean() - batch.teacher["numbers"].mean()).abs()


MEAN = f"{__name__}:Mean"
NO_STATISTICS = Setup(4, {}, lambda name: pytest.fail(f"nobody reads {name}"), None)


def test_a_term_has_a_column_a_weight_and_options():
    terms = read_terms(["vafp", "vafp:0.5,distance=l1,start=plain", f"{MEAN}:2", MEAN])
    assert [term.key for term in terms] == ["vafp", "vafp2", "Mean", "Mean2"]
    assert [term.weight for term in terms] == [3.0, 0.5, 2.0, 1.0]
    assert terms[1].options.distance == "l1"
    assert terms[2].outputs == ("numbers",)
    assert (
        terms[0].text == "vafp:3,target=descriptors,start=targets,standardise=false,distance=cosine"
    )
    assert read_terms([term.text for term in terms]) == terms
    assert read_terms([]) == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("vafb", "objective vafb: unknown; did you mean vafp"),
        ("vafp:-1", "--objective vafp:-1: the weight must be at least 0"),
        ("vafp:nan", "--objective vafp:nan: the weight must be at least 0"),
        ("vafp:inf", "--objective vafp:inf: the weight must be at least 0"),
        ("vafp:big", "--objective vafp:big: the weight big is not a number"),
        (f"{MEAN}:big", f"--objective {MEAN}:big: the weight big is not a number"),
        (
            "own/x.py:Mean:big,a=1",
            "--objective own/x.py:Mean:big,a=1: the weight big is not a number",
        ),
        ("own/x.py:Mean", "own/x.py:Mean: cannot be imported: .*x.py: no such file"),
        (r"C:\x.py:Mean", r"objective C:\\x.py:Mean: cannot be imported: .*x.py: no such file"),
        (
            "vafp,distance=l2",
            "--objective vafp, distance l2: use one of l1, smooth_l1, cosine, centred_cosine",
        ),
        ("vafp,target=logits", "--objective vafp, target logits: use one of descriptors, features"),
        ("vafp,colour=red", "--objective vafp: no option colour; it has target, start"),
        ("vafp,l1", "--objective vafp,l1: expected NAME,OPTION=VALUE"),
        (f"{MEAN},x=1", "no option x; it has none"),
    ],
)
def test_what_is_no_objective_is_refused(text, fault):
    with pytest.raises(ConfigError, match=fault):
        read_terms([text])


def test_every_term_has_a_key_of_its_own(tmp_path, monkeypatch):
    """Names that end in a digit too."""
    monkeypatch.chdir(tmp_path)
    own = "from toy_objective import ShapeMatch\nclass L2(ShapeMatch): ...\nvafp2 = L2\n"
    (tmp_path / "mine.py").write_text(own)
    texts = ["mine.py:L2", "vafp", "mine.py:vafp2", "mine.py:L2", "vafp", "mine.py:L2", "vafp"]
    keys = [term.key for term in read_terms(texts)]
    assert keys == ["L2", "vafp", "vafp2", "L22", "vafp3", "L23", "vafp4"]


def test_losses_stand_in_the_order_of_the_terms():
    objectives = Objectives(read_terms([f"{MEAN}:2", f"{MEAN}:3"]), NO_STATISTICS)
    features = PointFeatures(torch.full((2, 5, 4), 2.0))
    batch = Batch(torch.zeros(2, 5, 3), torch.zeros(2), teacher={"numbers": torch.tensor([0.5])})
    losses = objectives.losses(features, torch.zeros(2, 0), batch)
    assert losses.tolist() == [1.5, 1.5]
    assert list(objectives.weights.values()) == [2.0, 3.0]
    agreement = objectives.agreement(features, torch.zeros(2, 0), batch)
    assert float(agreement) == pytest.approx(float(torch.tensor(-1.5).exp()))


def test_a_baseline_has_none():
    objectives = Objectives((), NO_STATISTICS)
    batch = Batch(torch.zeros(2, 5, 3), torch.zeros(2))
    assert objectives.losses(
        PointFeatures(torch.zeros(2, 5, 4)), torch.zeros(2, 3), batch
    ).shape == (0,)
    assert objectives.state_dict() == {}


def test_vafp_comes_with_the_package():
    assert "vafp" in OBJECTIVES.names()


class BigWeight(Mean):
    weight = "big"


class NoTuple(Mean):
    @classmethod
    def outputs(cls, options):
        return "numbers"


def test_a_class_that_breaks_the_contract_is_refused_in_a_line():
    with pytest.raises(ConfigError, match=r"objective .*:BigWeight: weight is 'big'; write a numb"):
        read_terms([f"{__name__}:BigWeight"])
    (term,) = read_terms([f"{__name__}:NoTuple"])
    with pytest.raises(ConfigError, match=r"^objective .*:NoTuple: outputs gives 'numbers'; write"):
        _ = term.outputs
