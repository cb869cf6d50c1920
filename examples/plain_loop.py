"""A plain PyTorch loop on the public API: PointNet learns classes and an image model's descriptors.

Prepare and teach a store first, then run this on it; what it writes is a run as `train` writes it:

    pointmcd prepare meshes/ stores/mine
    pointmcd teach stores/mine
    python examples/plain_loop.py stores/mine --epochs 20 --out runs/plain
    pointmcd evaluate runs/plain
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import pointmcd


def train(config: pointmcd.TrainConfig) -> tuple[torch.nn.Module, list[dict[str, Any]]]:
    """Train on the train split; return the model, and for each epoch loss and accuracy."""
    store, points = pointmcd.Store(config.store), config.points
    train_rows, val_rows = store.indices("train"), store.indices("val")
    # The teacher's descriptor of every view: [shapes, V, 512].
    every = np.arange(len(store.shapes))
    descriptors = pointmcd.map_output(store, config.teacher, "descriptors", every)[:]

    torch.manual_seed(config.seed)
    # Points [B, N, 3] -> logits [B, K]: inference needs no views, no visibility.
    model = pointmcd.create_model(config.student, num_classes=len(store.classes))
    projection = pointmcd.ViewProjection(model.student.num_features, descriptors.shape[2])
    parameters = [*model.parameters(), *projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    history = []
    for epoch in range(config.epochs):
        model.train()
        order = np.random.default_rng(epoch).permutation(train_rows)
        for rows in np.array_split(order, max(len(order) // config.batch_size, 1)):
            logits, features = model.with_features(torch.from_numpy(store.points(rows, points)))
            task = F.cross_entropy(logits, torch.from_numpy(store.labels(rows)))
            # Each view pools the points it sees; the result matches the teacher's descriptor.
            visible = torch.from_numpy(store.visibility(rows, points))
            seen, wanted = projection(features, visible), torch.from_numpy(descriptors[rows])
            distance = (1 - F.cosine_similarity(seen, wanted, dim=2)).mean()
            # The penalty keeps PointNet's transform near orthogonal.
            loss = task + 3 * distance + 0.001 * features.penalty
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        record = {"task_loss": task.item(), "vafp_loss": distance.item()}
        record["val_accuracy"] = accuracy(model, store, val_rows, points)
        history.append(record)
        print(f"epoch {epoch + 1}: {record}")
    return model, history


def accuracy(model: torch.nn.Module, store: pointmcd.Store, rows: Any, points: int) -> float:
    """Return the share of shapes whose class is found."""
    model.eval()
    with torch.inference_mode():
        found = model(torch.from_numpy(store.points(rows, points))).argmax(dim=1)
    return float((found.numpy() == store.labels(rows)).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", metavar="STORE")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--points", type=int, default=512)
    parser.add_argument("--out", type=Path, default=Path("runs/plain"))
    given = parser.parse_args()
    # What comparisons and reports will tell of this run: no augmentation, no label smoothing.
    config = pointmcd.TrainConfig(
        store=given.store,
        epochs=given.epochs,
        points=given.points,
        batch_size=32,
        objective=("vafp:3",),
        label_smoothing=0.0,
        scale=1.0,
        shift=0.0,
        final_lr=0.0,
    )
    model, history = train(config)
    print(f"validation accuracy {history[-1]['val_accuracy']:.1%}")
    print(pointmcd.save_run(given.out, model, config, history))
