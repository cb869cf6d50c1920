import pytest
import torch
from torch.nn import functional as F

from pointmcd.teachers.lessons.views_network import MultiViewHeads, teacher_loss

B, V, C, K = 4, 3, 10, 5


@pytest.fixture
def heads():
    torch.manual_seed(0)
    return MultiViewHeads(C, K).eval()


def test_shapes_of_the_output(heads):
    output = heads(torch.randn(B, V, C))
    assert output.descriptors.shape == (B, V, 512)
    assert output.shape_descriptor.shape == (B, 512)
    assert output.logits.shape == (B, K)
    assert output.view_logits.shape == (B, V, K)
    assert output.descriptors.min() >= 0
    assert output.shape_descriptor.min() >= 0


def test_each_view_is_described_alone_and_the_shape_by_their_maximum(heads):
    features = torch.randn(B, V, C)
    output = heads(features)
    single = torch.cat([heads(features[:, v : v + 1]).descriptors for v in range(V)], dim=1)
    assert torch.allclose(output.descriptors, single, atol=1e-6)
    expected = heads.shape(output.descriptors.amax(dim=1))
    assert torch.allclose(output.shape_descriptor, expected, atol=1e-6)


def test_one_classifier_without_bias_serves_shapes_and_views(heads):
    output = heads(torch.randn(B, V, C))
    weight = heads.classifier.weight
    assert heads.classifier.bias is None
    assert torch.allclose(output.logits, output.shape_descriptor @ weight.T, atol=1e-6)
    assert torch.allclose(output.view_logits, output.descriptors @ weight.T, atol=1e-6)


def test_the_shape_does_not_depend_on_the_order_of_its_views(heads):
    features = torch.randn(B, V, C)
    turned = heads(features[:, [2, 0, 1]])
    assert torch.allclose(turned.logits, heads(features).logits, atol=1e-5)


def test_the_loss_is_that_of_shapes_plus_that_of_views(heads):
    output = heads(torch.randn(B, V, C))
    labels = torch.tensor([0, 4, 2, 2])
    by_view = [F.cross_entropy(output.view_logits[:, v], labels) for v in range(V)]
    expected = F.cross_entropy(output.logits, labels) + sum(by_view) / V
    assert torch.allclose(teacher_loss(output, labels, 0.0), expected, atol=1e-6)
    assert not torch.allclose(teacher_loss(output, labels, 0.2), expected, atol=1e-3)
