"""Check any objective against the contract, on random embeddings and teacher outputs."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from pointmcd.checking import attempt, check_derived, checking
from pointmcd.data.dataset import POINT_LOGITS, Batch
from pointmcd.distill.objective import (
    Objective,
    Objectives,
    Setup,
    Term,
    named_outputs,
    read_terms,
    usual_weight,
)
from pointmcd.distill.statistics import channel_statistics
from pointmcd.errors import ConfigError
from pointmcd.specs import spec_text
from pointmcd.students.base import PointFeatures

_SHAPES, _POINTS, _KEPT, _VIEWS, _CHANNELS, _CLASSES, _SIZE = 4, 32, 16, 3, 12, 5, 8
#: Dimensions of what the lessons of the package export.
_SIZES = {
    "descriptors": (_VIEWS, _SIZE),
    "features": (_VIEWS, _SIZE),
    "view_logits": (_VIEWS, _CLASSES),
    "logits": (_CLASSES,),
    "shape": (_SIZE,),
    POINT_LOGITS: (_POINTS, _CLASSES),
}


def check_objective(
    objective: str | type[Objective], sizes: Mapping[str, tuple[int, ...]] | None = None
) -> None:
    """Check that an objective keeps the contract of objectives.

    It checks its weight and outputs; that the loss is a finite scalar with finite gradients, of
    the embeddings or the logits, also for a view that sees nothing and for a student that keeps
    some of the points; that agreement is a scalar up to 1; that in evaluation neither draws at
    random; that nothing is written into the batch; and that the state dict carries all state.

    Args:
        objective: a class, or a text as `--objective` takes it.
        sizes: of outputs that a lesson of one's own exports, without the shapes, by name.

    Raises:
        ConfigError: one line that names the first rule broken, and how.
    """
    name = objective if isinstance(objective, str) else getattr(objective, "__name__", "")
    with checking(f"objective {name}"):
        _check(_term(objective), _SIZES | dict(sizes or {}))


def _term(objective: str | type[Objective]) -> Term:
    if isinstance(objective, str):
        (term,) = read_terms([objective])
        return term
    check_derived(objective, Objective)
    options = attempt("the defaults of Options fails", objective.Options)
    attempt("options as text fails", lambda: spec_text("x", options))
    return Term("checked", objective.__name__, objective, 1.0, options)


def _check(term: Term, sizes: dict[str, tuple[int, ...]]) -> None:
    usual_weight(term.kind)
    attempt("outputs fails", lambda: term.kind.outputs(term.options))
    outputs = named_outputs(term.kind, term.options)
    for name in outputs:
        if name not in sizes:
            raise ConfigError(f"output {name}: unknown; known are {', '.join(sizes)}; give sizes")
    stored = {name: torch.randn(_SHAPES, *sizes[name]) for name in outputs}
    setup = Setup(
        _CHANNELS,
        {name: sizes[name] for name in outputs},
        lambda name: channel_statistics(stored[name].numpy()),
        lambda name: torch.eye(_CLASSES, _SIZE),
    )
    objectives = attempt("the class fails", lambda: Objectives([term], setup)).train()
    for index in (None, torch.stack([torch.randperm(_POINTS)[:_KEPT] for _ in range(_SHAPES)])):
        _check_loss(objectives, stored, index)
    _check_evaluation(objectives.eval(), stored)
    other = Objectives([term], setup).eval()
    attempt("load_state_dict fails", lambda: other.load_state_dict(objectives.state_dict()))
    if not torch.allclose(_loss(objectives, stored), _loss(other, stored)):
        raise ConfigError("the loss changes with its state dict loaded; is some state no buffer?")


def _check_loss(objectives: Objectives, stored: dict[str, Tensor], index: Tensor | None) -> None:
    count = _POINTS if index is None else _KEPT
    embeddings = torch.randn(_SHAPES, count, _CHANNELS, requires_grad=True)
    logits = _logits(stored).requires_grad_()
    batch = _batch(stored)
    before = copy.deepcopy(batch)
    loss = _losses(objectives, PointFeatures(embeddings, index), logits, batch)
    for name, tensor in before.teacher.items():
        if not torch.equal(batch.teacher[name], tensor):
            raise ConfigError(f"writes into the output {name} that it is given")
    if not loss.requires_grad:
        raise ConfigError("the loss carries no gradient; is something detached?")
    loss.sum().backward()
    gradients = [x.grad for x in (embeddings, logits) if x.grad is not None]
    gradients += [x.grad for x in objectives.parameters() if x.grad is not None]
    if not all(bool(gradient.isfinite().all()) for gradient in gradients):
        raise ConfigError("a gradient is not finite (the first view of a shape sees nothing)")
    if embeddings.grad is None and logits.grad is None:
        raise ConfigError("the loss depends on neither embeddings nor logits")


def _check_evaluation(objectives: Objectives, stored: dict[str, Tensor]) -> None:
    if not torch.equal(_loss(objectives, stored), _loss(objectives, stored)):
        raise ConfigError("the loss differs from call to call in evaluation")
    with torch.no_grad():
        features = PointFeatures(torch.randn(_SHAPES, _POINTS, _CHANNELS))
        logits = _logits(stored)
        agreement = attempt(
            "agreement fails", lambda: objectives.agreement(features, logits, _batch(stored))
        )
    if agreement.shape != () or not float(agreement) <= 1 + 1e-5:
        raise ConfigError(f"agreement is {agreement.tolist()}; expected a number up to 1")


def _loss(objectives: Objectives, stored: dict[str, Tensor]) -> Tensor:
    """The loss on one batch, always the same."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        features = PointFeatures(torch.randn(_SHAPES, _POINTS, _CHANNELS))
        batch, logits = _batch(stored), _logits(stored)
    with torch.no_grad():
        return _losses(objectives, features, logits, batch)


def _losses(
    objectives: Objectives, features: PointFeatures, logits: Tensor, batch: Batch
) -> Tensor:
    (objective,) = objectives.values()
    loss = attempt("forward fails", lambda: objective(features, logits, batch))
    if not isinstance(loss, Tensor) or loss.shape != () or loss.dtype != torch.float32:
        found = f"{loss.dtype} {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss)
        raise ConfigError(f"the loss is {found}; expected a scalar in float32")
    if not loss.isfinite():
        raise ConfigError("the loss is not finite (the first view of a shape sees nothing)")
    return loss


def _logits(stored: Mapping[str, Tensor]) -> Tensor:
    """A task's output: of shapes, or of points where the teacher's is."""
    points = (_POINTS,) if POINT_LOGITS in stored else ()
    return torch.randn(_SHAPES, *points, _CLASSES)


def _batch(stored: dict[str, Tensor]) -> Batch:
    visibility = torch.rand(_SHAPES, _POINTS, _VIEWS) < 0.4
    visibility[0, :, 0] = False
    teacher = {name: tensor.clone() for name, tensor in stored.items()}
    labels = torch.arange(_SHAPES) % _CLASSES
    return Batch(torch.randn(_SHAPES, _POINTS, 3), labels, None, visibility, teacher)
