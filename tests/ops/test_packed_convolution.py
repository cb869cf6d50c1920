"""Convolutions in one call of oneDNN against torch's own, in every role that a network has."""

import copy

import pytest
import torch
from torch import nn

from pointmcd.ops import packed_convolution
from pointmcd.ops.packed_convolution import PackedConvolution, fusion_works

pytestmark = pytest.mark.usefixtures("one_thread")

ROLES = {
    "stem": nn.Conv2d(3, 8, 4, stride=2, padding=1),
    "depthwise": nn.Conv2d(8, 8, 5, padding=2, groups=8),
    "pointwise": nn.Conv2d(8, 12, 1),
}


def images_for(convolution, size=9, count=3):
    generator = torch.Generator().manual_seed(size)
    images = 9 * torch.randn((count, convolution.in_channels, size, size), generator=generator)
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="a torch without oneDNN")
def test_the_torch_of_today_has_the_operation():
    assert fusion_works()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("clips", [True, False])
@torch.inference_mode()
def test_fused_is_plain_for_any_size_and_number(role, clips):
    packed = PackedConvolution(ROLES[role], clips)
    for size, count in ((9, 3), (9, 1), (16, 3), (8, 5)):
        images = images_for(ROLES[role], size, count)
        found, wanted = packed(images), packed.plain(images)
        assert packed._packed is not None  # it was the fused form
        assert found.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        added = torch.randn_like(wanted)
        kept = added.clone()
        wanted = packed.plain(images, added)
        torch.testing.assert_close(packed(images, added), wanted, rtol=1e-5, atol=1e-5)
        assert torch.equal(added, kept)


def test_where_it_does_not_fit_it_is_plain(monkeypatch):
    packed = PackedConvolution(ROLES["pointwise"], clips=True)
    images = images_for(ROLES["pointwise"])
    maps = packed(images)  # gradients are wanted
    maps.sum().backward()
    assert ROLES["pointwise"].weight.grad is not None
    with torch.no_grad():
        assert packed(images[:0]).shape == (0, 12, 9, 9)
        exported = torch.export.export(packed, (images,), strict=False)
        assert "mkldnn" not in str(exported.graph)
        twice = copy.deepcopy(packed).double()
        assert twice(images.double()).dtype == torch.float64
        monkeypatch.setattr(packed_convolution, "fusion_works", lambda: False)
        assert torch.equal(packed(images), maps)
    assert packed._packed is None


def test_a_torch_without_the_operation_is_seen(monkeypatch):
    def refuse(*given):
        raise RuntimeError("no such operation")

    fusion_works.cache_clear()
    monkeypatch.setattr(PackedConvolution, "fused", refuse)
    assert not fusion_works()
    fusion_works.cache_clear()


@torch.inference_mode()
def test_a_used_one_can_be_copied():
    packed = PackedConvolution(ROLES["pointwise"], clips=True)
    images = images_for(ROLES["pointwise"])
    assert torch.equal(packed(images), copy.deepcopy(packed)(images))
