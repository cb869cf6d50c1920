import pytest
import torch

from pointmcd.ops.interpolation import interpolate


def naive(features, at, to, k):
    """Eq. 2 with p = 2, one target at a time."""
    rows = []
    for f, sources, targets in zip(features, at, to, strict=True):
        for target in targets:
            squares = (sources - target).square().sum(dim=1)
            least, index = squares.topk(min(k, len(sources)), largest=False)
            rows.append((f[index] / least[:, None]).sum(dim=0) / (1 / least).sum())
    return torch.stack(rows).view(*to.shape[:2], -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sources", [1, 2, 3, 30])
def test_values_and_gradients_equal_the_definition(dtype, sources):
    torch.manual_seed(0)
    features, at = (torch.randn(2, sources, c, dtype=dtype) for c in (5, 3))
    to, weights = (torch.randn(2, 17, c, dtype=dtype) for c in (3, 5))
    results = []
    for function in (naive, interpolate):
        leaf = features.clone().requires_grad_()
        value = function(leaf, at, to, 3)
        (value * weights).sum().backward()
        results.append((value.detach(), leaf.grad))
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_target_at_a_source_takes_its_features():
    at, features = torch.randn(2, 20, 3), torch.randn(2, 20, 4)
    order = torch.randperm(20)
    assert torch.equal(interpolate(features, at, at[:, order]), features[:, order])


def test_coinciding_sources_give_their_mean():
    features = torch.tensor([[[1.0], [3.0], [5.0], [9.0]]])
    carried = interpolate(features, torch.zeros(1, 4, 3), torch.zeros(1, 2, 3), k=4)
    torch.testing.assert_close(carried, torch.full((1, 2, 1), 4.5))


def test_the_unit_of_length_does_not_matter():
    features, at, to = torch.randn(1, 9, 4), torch.randn(1, 9, 3), torch.randn(1, 30, 3)
    wanted = interpolate(features, at, to)
    for scale in (2.0**-40, 2.0**40):
        torch.testing.assert_close(interpolate(features, at * scale, to * scale), wanted)


def test_constant_features_stay_constant():
    carried = interpolate(torch.full((1, 12, 3), 7.0), torch.randn(1, 12, 3), torch.randn(1, 40, 3))
    torch.testing.assert_close(carried, torch.full((1, 40, 3), 7.0))


def test_no_source_is_an_error():
    with pytest.raises(ValueError, match="of 0 points"):
        interpolate(torch.zeros(1, 0, 2), torch.zeros(1, 0, 3), torch.zeros(1, 4, 3))
