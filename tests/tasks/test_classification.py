import pytest
import torch
from torch import nn

from pointmcd.students.base import PointFeatures
from pointmcd.students.heads import SINGLE, ClassificationHead, HeadLayout
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier
from pointmcd.tasks.task import Labels, get_task


class Doubled(nn.Module):
    """The smallest student: embeddings are the points and their negatives."""

    num_features = 6

    def forward(self, points):
        return PointFeatures(torch.cat([points, -points], dim=2))


def test_the_head_is_max_then_two_layers():
    torch.manual_seed(0)
    head = ClassificationHead(6, 4, HeadLayout((5,), (0.0,), bias=False)).eval()
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


def test_the_mean_stands_beside_the_max_where_published():
    torch.manual_seed(0)
    head = ClassificationHead(6, 4, HeadLayout((5, 3), (0.5, 0.5), slope=0.2, mean=True)).eval()
    embeddings = torch.randn(3, 9, 6)
    first, _, slope, _, second, *_ = head.hidden
    assert slope.negative_slope == 0.2
    pooled = torch.cat([embeddings.amax(1), embeddings.mean(1)], dim=1)
    layer = torch.nn.functional.leaky_relu
    hidden = layer(pooled @ first.weight.T / (1 + 1e-5) ** 0.5, 0.2)
    hidden = layer(hidden @ second.weight.T / (1 + 1e-5) ** 0.5, 0.2)
    expected = hidden @ head.classifier.weight.T + head.classifier.bias
    assert torch.allclose(head(PointFeatures(embeddings)), expected, atol=1e-6)


LEAKY, RELU = (nn.LeakyReLU, 0.2), (nn.ReLU, None)


@pytest.mark.parametrize(
    ("student", "sizes", "dropout", "activation", "parameters"),
    [
        # In M: 0.8, 3.47, 1.48, 1.74, 1.81, 2.14 in the papers; fewer by biases before norms.
        ("pointnet-vanilla", (1024, 512, 256, 40), [0.3], RELU, 817_512),
        ("pointnet", (1024, 512, 256, 40), [0.3], RELU, 3_473_969),
        ("pointnet2", (1024, 512, 256, 40), [0.5, 0.5], RELU, 1_472_360),
        ("pointnet2-msg", (1024, 512, 256, 40), [0.5, 0.5], RELU, 1_742_856),
        ("dgcnn", (2048, 512, 256, 40), [0.5, 0.5], LEAKY, 1_809_320),
        ("curvenet", (2048, 512, 40), [0.5], RELU, 2_140_672),
    ],
)
def test_published_heads(student, sizes, dropout, activation, parameters):
    classes = Labels([str(i) for i in range(40)])
    model = get_task("classification").build_model(student, classes)
    layers = list(model.head.modules())
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    assert (linear[0].in_features, *(layer.out_features for layer in linear)) == sizes
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == dropout
    kind, slope = activation
    active = [layer for layer in layers if isinstance(layer, kind)]
    assert len(active) == len(linear) - 1
    assert all(getattr(layer, "negative_slope", None) == slope for layer in active)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_methods_head_by_name_and_for_students_without_their_own():
    classes = Labels(list("abcd"))
    model = get_task("classification,head=single").build_model("dgcnn", classes)
    shapes = {k: tuple(v.shape) for k, v in model.head.named_parameters()}
    assert shapes == {
        "hidden.0.weight": (512, 1024),
        "hidden.1.weight": (512,),
        "hidden.1.bias": (512,),
        "classifier.weight": (4, 512),
    }
    own = Classifier(Doubled(), 4)
    assert len(own.head.hidden) == len(ClassificationHead(6, 4, SINGLE).hidden) == 3


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
