"""Ways to join several image encoders in one teacher, on the validation split of a store.

    python -m benchmarks.teachers STORE WORK

Encodes some views of the train and validation shapes once (kept in WORK), trains the heads of the
classification lesson for each draw of the labels, and writes benchmarks/teachers/README.md. The
test split is not read.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.shared.page import machine, table, write
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.runtimes import use_runtime
from pointmcd.teachers.lessons.classification import ClassificationOptions
from pointmcd.teachers.lessons.views_network import MultiViewHeads, teacher_loss

PAGE = Path(__file__).with_name("README.md")
COMMAND = "python -m benchmarks.teachers STORE WORK"
ENCODERS, VIEWS, FRACTION, DRAWS = ("lite0", "lite1", "lite2"), (0, 3, 6, 9), 0.1, 5
AVERAGED = "heads for each, logits averaged"


class Features(NamedTuple):
    """Features of one encoder: float [n, V, F] of the train and of the validation shapes."""

    train: Tensor
    val: Tensor


def as_they_are(features: Features) -> Features:
    """Change nothing."""
    return features


def standardised(features: Features) -> Features:
    """Zero mean and unit variance of each channel over the train shapes."""
    rows = features.train.flatten(0, 1)
    mean, deviation = rows.mean(dim=0), rows.std(dim=0).clamp(min=1e-3)
    return Features(*((part - mean) / deviation for part in features))


def phi_s(features: Features) -> Features:
    """One scale for all channels, which are first rotated to equal variance (PHI-S).

    The rotation is random, where PHI-S has Hadamard's matrix: it exists for few sizes.
    """
    rows = features.train.flatten(0, 1).double()
    variance, axes = torch.linalg.eigh(torch.cov(rows.T))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(len(axes), len(axes), generator=generator, dtype=torch.float64)
    turn = (axes @ torch.linalg.qr(drawn)[0] / variance.mean().sqrt()).float()
    return Features(*((part - rows.mean(dim=0).float()) @ turn for part in features))


JOINED: dict[str, Callable[[Features], Features]] = {
    "one set of heads on features as they are": as_they_are,
    "one set of heads on standardised features": standardised,
    "one set of heads on features after PHI-S": phi_s,
}


def encode(store: Store, name: str, views: Sequence[int], work: Path) -> Features:
    """Return features of some views; kept in WORK."""
    train, val = store.indices("train"), store.indices("val")
    path = work / f"{name}.npy"
    if not path.exists():
        encoder = ImageEncoder(name).eval()
        use_runtime(encoder, "torch")
        with torch.inference_mode():
            shapes = (store.views(int(i))[list(views)] for i in (*train, *val))
            rows = [encoder(torch.from_numpy(shape)).half().numpy() for shape in shapes]
        work.mkdir(parents=True, exist_ok=True)
        np.save(path, np.stack(rows))
    rows = torch.from_numpy(np.load(path).astype(np.float32))
    return Features(rows[: len(train)], rows[len(train) :])


def heads_logits(features: Features, known: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Train heads as the classification lesson does; return logits [n, K] of validation."""
    options = ClassificationOptions()
    torch.manual_seed(seed)
    heads = MultiViewHeads(features.train.shape[-1], int(labels.max()) + 1)
    rates = {"lr": options.lr, "weight_decay": options.weight_decay}
    optimizer = torch.optim.Adam(heads.parameters(), **rates)
    for epoch in range(options.epochs):
        share = 0.5 * (1 + np.cos(np.pi * epoch / options.epochs))
        for group in optimizer.param_groups:
            group["lr"] = options.final_lr + (options.lr - options.final_lr) * share
        torch.manual_seed(seed * 100_003 + epoch)
        for rows in torch.randperm(len(known)).split(options.batch_size):
            if len(rows) > 1:
                output = heads(features.train[known[rows]])
                loss = teacher_loss(output, labels[rows], options.label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    heads.eval()
    with torch.no_grad():
        return heads(features.val).logits


def measure(store: Store, features: Mapping[str, Features], seed: int) -> dict[str, float]:
    """Return the validation accuracy of each way for one draw of the labels, in percent."""
    known = labelled_train(store, FRACTION, seed)
    places = torch.from_numpy(np.searchsorted(store.indices("train"), known))
    labels = torch.from_numpy(store.labels(known))
    truth = torch.from_numpy(store.labels(store.indices("val")))

    def accuracy(logits: Tensor) -> float:
        return 100 * float((logits.argmax(dim=1) == truth).float().mean())

    alone = {name: heads_logits(own, places, labels, seed) for name, own in features.items()}
    found = {name: accuracy(logits) for name, logits in alone.items()}
    found[AVERAGED] = accuracy(torch.stack(list(alone.values())).mean(dim=0))
    for name, scaled in JOINED.items():
        parts = [scaled(own) for own in features.values()]
        both = Features(*(torch.cat(list(rows), dim=-1) for rows in zip(*parts, strict=True)))
        found[name] = accuracy(heads_logits(both, places, labels, seed))
    return found


def page(store: Store, draws: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the page, paragraph by paragraph."""
    rows = []
    for name in draws[0]:
        each = [found[name] for found in draws]
        rows.append([name, f"{np.mean(each):.1f}", " ".join(f"{value:.1f}" for value in each)])
    views = ", ".join(map(str, VIEWS))
    return [
        "# Several image encoders in one teacher",
        f"Written by `{COMMAND}`. Accuracy on {len(store.indices('val'))} validation shapes of"
        f" {len(store.classes)} classes in percent, {FRACTION:.0%} of the labels, draws 0 to"
        f" {len(draws) - 1}; frozen encoders, views {views} of {store.num_views}; settings of the"
        " classification lesson.",
        table(["teacher", "mean", "each draw"], rows),
        "A teacher of joined encoders (`--teacher lite0+lite1+lite2`) has heads for each and"
        " averages their logits.",
        machine(),
    ]


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("store", type=Path)
    arguments.add_argument("work", type=Path)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    store = Store(given.store)
    features = {name: encode(store, name, VIEWS, given.work) for name in ENCODERS}
    write(PAGE, page(store, [measure(store, features, seed) for seed in range(DRAWS)]))


if __name__ == "__main__":
    main()
