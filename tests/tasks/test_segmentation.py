"""The head that labels points, what it reads, and how it is judged while it trains."""

import numpy as np
import pytest
import torch
from torch import nn

from pointmcd.data.dataset import Batch
from pointmcd.errors import ConfigError
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.students.base import PointFeatures
from pointmcd.students.part_heads import SINGLE_PARTS, PartHead, PartLayout, local_features
from pointmcd.students.registry import list_students
from pointmcd.tasks.classification import Classifier
from pointmcd.tasks.segmentation import Segmenter
from pointmcd.tasks.task import Labels, get_task

RANGES = np.array([[0, 2], [2, 5], [5, 6]])
LABELS = Labels(list("abc"), {"a": ["1", "2"], "b": ["1", "2", "3"], "c": ["1"]})


def cloud(batch=2, count=40, seed=0):
    points = torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed))
    return points / points.norm(dim=2).amax(dim=1)[:, None, None]


def onehot(*labels):
    return nn.functional.one_hot(torch.tensor(labels), len(RANGES)).float()


# The head


class Sizes(nn.Module):
    """What a head asks of a student."""

    def __init__(self, num_features, num_local):
        super().__init__()
        self.num_features, self.num_local = num_features, num_local


class Concatenated(nn.Module):
    """The head as it is written down: every point has all features side by side."""

    def __init__(self, head):
        super().__init__()
        self.pooled, self.points, self.label = head.layout.pooled, head.layout.points, head.label
        weight = torch.cat([head.local.weight, head.whole.weight], dim=1)
        linear = nn.Linear(weight.shape[1], len(weight), bias=False)
        linear.weight = nn.Parameter(weight.detach().clone())
        self.layers = nn.Sequential(linear, *head.first, *head.rest)

    def forward(self, points, features, classes):
        local = features.local
        whole = [features.embeddings.max(dim=1).values] if self.pooled else []
        whole = torch.cat([*whole, self.label(classes)], dim=1)
        both = torch.cat([local, whole[:, None].expand(-1, local.shape[1], -1)], dim=2)
        both = torch.cat([points, both], dim=2) if self.points else both
        return self.layers(both.flatten(0, 1)).view(*local.shape[:2], -1)


PUBLISHED = {
    "single": SINGLE_PARTS,
    "leaky, a layer on the class": PartLayout((6, 5), (0.5, 0.0), slope=0.2, class_width=4),
    "positions, no pooled features": PartLayout((6,), (0.5,), pooled=False, points=True),
}


def head_of(dropout=False, layout=SINGLE_PARTS):
    torch.manual_seed(0)
    head = PartHead(Sizes(7, 5), num_classes=3, num_parts=6, layout=layout).double()
    for module in head.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(module.running_var, 0.5, 2)
        if isinstance(module, nn.Dropout) and not dropout:
            module.p = 0.0
    return head


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kept", [1, 11])
@pytest.mark.parametrize("layout", PUBLISHED.values(), ids=PUBLISHED)
def test_the_head_equals_the_plain_concatenation(training, kept, layout):
    head = head_of(layout=layout).train(training)
    plain = Concatenated(head_of(layout=layout)).train(training)
    found = []
    for module in (head, plain):
        torch.manual_seed(1)
        embeddings = torch.randn(2, kept, 7, dtype=torch.float64, requires_grad=True)
        local = torch.randn(2, 9, 5, dtype=torch.float64, requires_grad=True)
        points = torch.randn(2, 9, 3, dtype=torch.float64)
        logits = module(points, PointFeatures(embeddings, local=local), onehot(2, 0).double())
        logits.sin().sum().backward()
        found.append((logits.detach(), embeddings.grad, local.grad))
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, atol=1e-10)
    weights = torch.cat([head.local.weight.grad, head.whole.weight.grad], dim=1)
    assert torch.allclose(weights, plain.layers[0].weight.grad, atol=1e-10)
    last = plain.layers[-1].weight.grad
    assert torch.allclose(head.rest[-1].weight.grad, last, atol=1e-10)
    assert last.abs().max() > 0


@pytest.mark.parametrize("layout", PUBLISHED.values(), ids=PUBLISHED)
def test_single_precision_stays_and_half_precision_leaves_coordinates_exact(layout):
    head = head_of(layout=layout).eval()
    points, local = torch.randn(2, 9, 3), torch.randn(2, 9, 5)
    features = PointFeatures(torch.randn(2, 4, 7), local=local)
    doubled = PointFeatures(features.embeddings.double(), local=local.double())
    wanted = head(points.double(), doubled, onehot(2, 0).double())
    found = head.float()(points, features, onehot(2, 0))
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        own = head._own(points, local)
    assert own.dtype == (torch.float32 if layout.points else torch.bfloat16)


def test_dropout_is_in_training_alone():
    head = head_of(dropout=True)
    embeddings, local = torch.randn(2, 4, 7).double(), torch.randn(2, 9, 5).double()
    inputs = torch.randn(2, 9, 3), PointFeatures(embeddings, local=local), onehot(1, 1).double()
    assert not torch.equal(head.train()(*inputs), head(*inputs))
    assert torch.equal(head.eval()(*inputs), head(*inputs))
    assert [m.p for m in head.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]


def test_widths_of_the_single_head():
    head = PartHead(Sizes(1024, 64), num_classes=16, num_parts=50)
    widths = [tuple(m.weight.shape) for m in head.modules() if isinstance(m, nn.Linear)]
    assert widths == [(256, 64), (256, 1040), (256, 256), (128, 256), (50, 128)]


# What it reads of a student


def test_local_features_of_its_own_are_taken():
    own = torch.randn(2, 9, 4)
    features = PointFeatures(torch.randn(2, 3, 7), torch.zeros(2, 3, dtype=torch.int64), local=own)
    assert local_features(cloud(2, 9), features) is own


def test_without_them_the_embeddings_are_local():
    embeddings = torch.randn(2, 9, 7)
    assert local_features(cloud(2, 9), PointFeatures(embeddings)) is embeddings


def test_embeddings_of_kept_points_are_carried_to_all():
    points = cloud(2, 30)
    index = torch.stack([torch.randperm(30, generator=torch.Generator().manual_seed(i))[:8]
                         for i in range(2)])  # fmt: skip
    embeddings = torch.randn(2, 8, 7, requires_grad=True)
    local = local_features(points, PointFeatures(embeddings, index))
    assert local.shape == (2, 30, 7)
    for row in range(2):
        assert torch.allclose(local[row, index[row]], embeddings[row], atol=1e-6)
        others = [i for i in range(30) if i not in index[row]]
        inside = embeddings[row].amin(0) <= local[row, others] + 1e-6
        assert inside.all()
        assert (local[row, others] <= embeddings[row].amax(0) + 1e-6).all()
    local.sum().backward()
    assert torch.allclose(embeddings.grad.sum((1, 2)), torch.tensor(30 * 7.0).expand(2))


def settled(name, task="segmentation"):
    """A segmenter whose batch norms know the data, and are no longer at their start."""
    torch.manual_seed(0)
    model = get_task(task).build_model(name, LABELS)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)
    with torch.no_grad():
        for seed in range(2):
            model.train()(cloud(3, 64, seed), torch.tensor([0, 1, 2]))
    return model.eval()


SINGLE = [(name, "segmentation,head=single") for name in ("pointnet", "dgcnn", "curvenet")]


@pytest.fixture(
    scope="module", params=[*((n, "segmentation") for n in list_students()), *SINGLE], ids=str
)
def segmenter(request):
    return settled(*request.param)


@torch.inference_mode()
def test_permuted_points_permute_the_logits(segmenter):
    points, labels = cloud(2, 48, seed=5), torch.tensor([1, 0])
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
    logits = segmenter(points, labels)
    assert logits.shape == (2, 48, 6)
    scale = logits.abs().max()
    assert scale > 0.01
    assert torch.allclose(segmenter(points[:, order], labels), logits[:, order], atol=1e-4 * scale)
    assert (logits[:, 0] - logits[:, 1]).abs().max() > 0  # points are told apart


@torch.inference_mode()
def test_the_class_matters_to_its_own_shape_alone(segmenter):
    points = cloud(2, 48, seed=5)
    one, other = (segmenter(points, torch.tensor([0, label])) for label in (1, 2))
    assert torch.allclose(one[0], other[0], atol=1e-5)
    assert (one[1] - other[1]).abs().max() > 1e-3


def test_every_parameter_learns(segmenter):
    torch.manual_seed(0)
    model = segmenter.train()
    model(cloud(3, 48), torch.tensor([0, 1, 2])).square().sum().backward()
    still = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad()
    model.eval()
    assert still == []


def test_one_point_and_a_batch_of_one(segmenter):
    with torch.inference_mode():
        logits = segmenter(cloud(1, 1), torch.tensor([2]))
    assert logits.shape == (1, 1, 6)
    assert logits.isfinite().all()


# Limited to the parts of the class


class Given(nn.Module):
    """A student that gives what it is given."""

    num_features = 3

    def forward(self, points):
        return PointFeatures(points)


def test_a_part_of_another_class_never_wins():
    model, labels = Segmenter(Given(), len(RANGES), RANGES), torch.arange(3).repeat(4)
    logits = 100 * torch.randn(12, 50, 6, generator=torch.Generator().manual_seed(0))
    limited = model.limited(logits, labels)
    for row, label in enumerate(labels.tolist()):
        start, stop = RANGES[label]
        assert torch.equal(limited[row].argmax(1), start + logits[row, :, start:stop].argmax(1))
        assert torch.equal(limited[row, :, start:stop], logits[row, :, start:stop])
    assert torch.equal(model.limited(limited, labels), limited)
    lowest = torch.full((1, 1, 6), torch.finfo(torch.float32).min)
    assert model.limited(lowest, torch.tensor([1])).argmax(2).item() == 2


# Models by task


def test_models_by_task():
    assert isinstance(get_task("classification").build_model("pointnet", LABELS), Classifier)
    model = get_task("segmentation").build_model("dgcnn", LABELS)
    assert isinstance(model, Segmenter)
    assert model.head.local.in_features == model.student.num_local
    assert "allowed" not in model.state_dict()


def test_the_single_head_serves_the_form_that_the_method_distils():
    for name, features, local in (("pointnet", 1024, 1024), ("dgcnn", 1024, 192)):
        model = get_task("segmentation,head=single").build_model(name, LABELS)
        assert model.student.num_features == features
        assert model.head.layout == SINGLE_PARTS
        assert model.head.local.in_features == local
    with pytest.raises(ConfigError, match="head"):
        get_task("segmentation,head=own")


class OwnHead(Given):
    """A student with a head of its own."""

    def part_head(self, num_classes, num_parts):
        return Nearest(num_classes, num_parts)


class Nearest(nn.Module):
    def __init__(self, num_classes, num_parts):
        super().__init__()
        self.linear = nn.Linear(3 + num_classes, num_parts)

    def forward(self, points, features, onehot):
        classes = onehot[:, None].expand(-1, points.shape[1], -1)
        return self.linear(torch.cat([features.embeddings - points, classes], dim=2))


def test_a_students_own_head_is_used_and_the_single_one_without_it():
    labels = torch.tensor([1, 2])
    own = Segmenter(OwnHead(), len(RANGES), RANGES)
    assert type(own.head) is Nearest
    logits, features = own.with_features(cloud(2, 9), labels)
    assert logits.shape == (2, 9, 6)
    assert torch.equal(features.embeddings, cloud(2, 9))
    for model in (
        Segmenter(OwnHead(), len(RANGES), RANGES, published=False),
        Segmenter(Given(), len(RANGES), RANGES),
    ):
        assert model.head.layout == SINGLE_PARTS
        assert model(cloud(2, 9), labels).shape == (2, 9, 6)


def test_names_that_nobody_knows():
    known = "task segmentatoin: unknown; did you mean segmentation.*classification, pretrain, seg"
    with pytest.raises(ConfigError, match=known):
        get_task("segmentatoin")
    with pytest.raises(ConfigError, match="student nobody: unknown"):
        get_task("segmentation").build_model("nobody", LABELS)


def test_points_without_a_label_count_for_nothing():
    task, generator = get_task("segmentation"), torch.Generator().manual_seed(0)
    logits = torch.randn(2, 30, 6, generator=generator, requires_grad=True)
    parts = torch.randint(6, (2, 30), generator=generator)
    whole = Batch(torch.zeros(2, 30, 3), torch.zeros(2, dtype=torch.long), parts)
    known = torch.rand(2, 30, generator=generator) < 0.4
    some = whole._replace(parts=parts.where(known, -1))
    expected = smoothed_cross_entropy(logits[known], parts[known], 0.2)
    loss = task.loss(logits, some, 0.2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[~known].any()
    right = (logits.argmax(2) == parts)[known].float().mean()
    assert task.training_metrics(logits, some)["train_accuracy"].item() == pytest.approx(
        right.item()
    )
    none = whole._replace(parts=torch.full_like(parts, -1))
    assert task.loss(logits, none, 0.2).item() == 0
