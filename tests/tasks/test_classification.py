import pytest
import torch
from torch import nn

from pointmcd.students.base import PointFeatures
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import ClassificationHead, Classifier


class Doubled(nn.Module):
    """The smallest student: embeddings are the points and their negatives."""

    num_features = 6

    def forward(self, points):
        return PointFeatures(torch.cat([points, -points], dim=2))


def test_the_head_is_max_then_two_layers():
    torch.manual_seed(0)
    head = ClassificationHead(6, 4, hidden=5).eval()
    embeddings = torch.randn(3, 9, 6)
    linear, norm, _ = head.hidden
    norm.running_mean.normal_()
    flat = embeddings.amax(1) @ linear.weight.T
    hidden = (flat - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    expected = hidden.relu() @ head.classifier.weight.T
    assert torch.allclose(head(PointFeatures(embeddings)), expected, atol=1e-6)


def test_the_methods_head_has_512_hidden_units_and_a_classifier_without_bias():
    head = ClassificationHead(1024, 40)
    assert {k: tuple(v.shape) for k, v in head.named_parameters()} == {
        "hidden.0.weight": (512, 1024),
        "hidden.1.weight": (512,),
        "hidden.1.bias": (512,),
        "classifier.weight": (40, 512),
    }


def test_points_in_logits_out_whatever_the_order_and_number_of_points():
    torch.manual_seed(0)
    classifier = Classifier(Doubled(), 4).eval()
    points = torch.randn(2, 9, 3)
    logits = classifier(points)
    assert logits.shape == (2, 4)
    assert torch.equal(classifier(points[:, torch.randperm(9)]), logits)
    doubled = torch.cat([points, points], dim=1)
    assert torch.equal(classifier(doubled), logits)


def test_features_are_those_that_the_logits_came_from():
    classifier = Classifier(Doubled(), 4).eval()
    points = torch.randn(2, 9, 3)
    logits, features = classifier.with_features(points)
    assert torch.equal(features.embeddings[:, :, :3], points)
    assert torch.equal(classifier.head(features), logits)


def test_a_classifier_of_a_real_student_learns_from_every_parameter():
    torch.manual_seed(0)
    classifier = Classifier(create_student("pointnet"), 3)
    classifier(torch.randn(4, 32, 3)).square().sum().backward()
    still = [n for n, p in classifier.named_parameters() if p.grad is None]
    assert still == []


def test_inference_needs_no_mask():
    with pytest.raises(TypeError):
        Classifier(Doubled(), 4)(torch.randn(2, 9, 3), torch.ones(2, 9, 3, dtype=torch.bool))
