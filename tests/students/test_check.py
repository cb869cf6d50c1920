"""Every rule of the contract, broken by one small student."""

import pytest
import torch
from tiny_student import TinyStudent
from torch import nn

from pointmcd.errors import ConfigError
from pointmcd.students.base import PointFeatures
from pointmcd.students.check import check_student


class Sound(nn.Module):
    """Keeps every other point; `broken` says what else is done to what it gives."""

    num_features, num_local = 4, 5

    def __init__(self):
        super().__init__()
        self.rise, self.local = nn.Linear(3, 4), nn.Linear(3, 5)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, points):
        kept = torch.arange(0, points.shape[1], 2).expand(len(points), -1)
        embeddings = self.norm(self.rise(points[:, ::2]).transpose(1, 2)).transpose(1, 2)
        penalty = self.rise.weight.square().mean()
        return self.broken(embeddings, kept, penalty, self.local(points), points)

    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings, kept, penalty, local)


class OwnHead(nn.Linear):
    def forward(self, points, features, onehot):
        return super().forward(features.local)


class SoundHead(Sound):
    def part_head(self, num_classes, num_parts):
        return OwnHead(self.num_local, num_parts)


class HeadOfNothing(Sound):
    def part_head(self, num_classes, num_parts):
        return num_classes + num_parts


class HeadOfClasses(Sound):
    def part_head(self, num_classes, num_parts):
        return OwnHead(self.num_local, num_classes)


class BlindHead(Sound):
    def part_head(self, num_classes, num_parts):
        return nn.Linear(self.num_local, num_parts)


class NoWidth(Sound):
    num_features = None


class OtherWidth(Sound):
    num_features = 6


class NoLocalWidth(Sound):
    num_local = None


class Bare(nn.Module):
    num_features = 3

    def forward(self, points):
        return PointFeatures(points)


class PlainTensor(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return embeddings


class ListOfIndices(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings, kept.tolist())


class Flat(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings[:, 0])


class NoIndex(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings)


class ShortIndex(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings, kept.int())


class FarIndex(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings, kept + 2)


class NegativeIndex(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings, kept - 1)


class LocalOfKept(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings, kept, local=local[:, ::2])


class Penalties(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings, kept, penalty.expand(len(points)))


class Detached(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings.detach(), kept)


class NotFinite(Sound):
    """0 / 0 where all points of a cloud coincide."""

    def broken(self, embeddings, kept, penalty, local, points):
        spread = (points - points.mean(dim=1, keepdim=True)).norm(dim=2).amax(dim=1) > 1e-5
        return PointFeatures(embeddings / spread[:, None, None] * spread[:, None, None], kept)


class NoFiniteGradient(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures((embeddings - embeddings).sqrt() + embeddings, kept)


class Writes(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        points += 1
        return PointFeatures(embeddings, kept)


class AlwaysDrops(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(nn.functional.dropout(embeddings, 0.5), kept)


class KeepsLearning(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        self.norm.num_batches_tracked += 1
        return PointFeatures(embeddings, kept)


class BatchMean(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings, kept, local=local - local.mean(dim=0))


class HiddenState(Sound):
    """Its mean is no buffer."""

    mean = 0

    def broken(self, embeddings, kept, penalty, local, points):
        if self.training:
            self.mean = embeddings.detach().mean() + 1
        return PointFeatures(embeddings * self.mean, kept)


class FixedSize(Sound):
    def broken(self, embeddings, kept, penalty, local, points):
        return PointFeatures(embeddings.view(-1, 64, 4), kept)


class GrowsState(Sound):
    """A buffer that a fresh one has not."""

    def broken(self, embeddings, kept, penalty, local, points):
        self.register_buffer("seen", torch.ones(1))
        return PointFeatures(embeddings, kept)


BREACHES = {
    NoWidth: "num_features is None; make it a positive integer attribute",
    OtherWidth: "embeddings: torch.float32 [3, 64, 4], must be floats [3, 64, 6] ([B, M, num_f",
    NoLocalWidth: "local: torch.float32 [3, 128, 5], must be floats [3, 128, None] ([B, N, num_l",
    Bare: "has no parameters; keep layers in attributes or an nn.ModuleList",
    PlainTensor: "forward returns Tensor, not PointFeatures",
    ListOfIndices: "index: of type list, must be a tensor",
    Flat: "embeddings: torch.float32 [3, 4], must be floats [3, 128, 4]",
    NoIndex: "embeddings: torch.float32 [3, 64, 4], must be floats [3, 128, 4] ([B, M, num_",
    ShortIndex: "index: torch.int32 [3, 64], must be torch.int64 [3, 64]",
    FarIndex: "index is from 2 to 128, outside of 128 points",
    NegativeIndex: "index is from -1 to 125, outside of 128 points",
    LocalOfKept: "local: torch.float32 [3, 64, 5], must be floats [3, 128, 5]",
    Penalties: "penalty: torch.float32 [3], must be floats [] (a scalar)",
    Detached: "embeddings carry no gradient in training; is something detached?",
    NotFinite: "embeddings: not finite for points [3, 128, 3] (one cloud's coincide)",
    NoFiniteGradient: "the gradient of rise.weight is not finite (one cloud's points coincide)",
    Writes: "forward writes into the points that it is given",
    AlwaysDrops: "embeddings differ from call to call in evaluation",
    KeepsLearning: "norm.num_batches_tracked changes in evaluation; does a layer ignore eval()?",
    BatchMean: "local of a cloud change with the rest of its batch in eval()",
    HiddenState: "embeddings differ once its state dict is in another; is some state no buffer?",
    FixedSize: "fails on points [3, 129, 3]: RuntimeError: shape '[-1, 64, 4]' is invalid",
    GrowsState: "its state dict does not load into another: Error(s) in loading",
    HeadOfNothing: "part_head returns int, not nn.Module",
    HeadOfClasses: "logits: torch.float32 [3, 128, 2], must be floats [3, 128, 5] ([B, N, P]",
    BlindHead: "its part_head fails: TypeError: ",
}


@pytest.mark.parametrize("kind", BREACHES, ids=lambda kind: kind.__name__)
def test_a_breach_is_named_in_one_line(kind):
    with pytest.raises(ConfigError) as caught:
        check_student(kind)
    assert str(caught.value).startswith(f"student {kind.__name__}: {BREACHES[kind]}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", [Sound, SoundHead, TinyStudent])
def test_a_sound_one_passes_as_a_class_and_as_a_module(kind):
    state = torch.get_rng_state()
    check_student(kind)
    module = kind()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.set_rng_state(state)
    check_student(module, num_points=9)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in module.state_dict().items():  # a copy was checked
        assert torch.equal(tensor, before[name])


def test_what_makes_no_module_is_refused():
    with pytest.raises(ConfigError, match=r"student dict: is of type dict, not nn\.Module"):
        check_student(dict)
