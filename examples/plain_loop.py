"""A plain PyTorch loop on the public API: PointNet learns classes and an image model's descriptors.

Prepare and teach a store first, then run this on it:

    pointmcd prepare meshes/ stores/mine
    pointmcd teach stores/mine
    python examples/plain_loop.py stores/mine --epochs 20
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pointmcd import PointFeatures, Store, ViewProjection, create_student, map_output


class Classifier(nn.Module):
    """Points [B, N, 3] -> logits [B, K] and the per-point features for distillation."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.student = create_student("pointnet")  # or "dgcnn", or "my.module:factory"
        self.head = nn.Linear(self.student.num_features, num_classes)

    def forward(self, points: torch.Tensor) -> tuple[torch.Tensor, PointFeatures]:
        """Inference needs nothing but points: no views, no visibility."""
        features = self.student(points)
        return self.head(features.embeddings.amax(dim=1)), features


def train(store: Store, epochs: int, points: int, batch_size: int = 32) -> float:
    """Train on the train split; return the accuracy on the validation split."""
    train_rows, val_rows = store.indices("train"), store.indices("val")
    # The teacher's descriptor of every view: [shapes, V, 512].
    descriptors = map_output(store, "lite0", "descriptors", np.arange(len(store.shapes)))[:]

    model = Classifier(len(store.classes))
    projection = ViewProjection(model.student.num_features, descriptors.shape[2])
    parameters = [*model.parameters(), *projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(train_rows)
        for rows in np.array_split(order, max(len(order) // batch_size, 1)):
            logits, features = model(torch.from_numpy(store.points(rows, points)))
            loss = F.cross_entropy(logits, torch.from_numpy(store.labels(rows)))
            # Each view pools the points it sees; the result matches the teacher's descriptor.
            visible = torch.from_numpy(store.visibility(rows, points))
            seen, wanted = projection(features, visible), torch.from_numpy(descriptors[rows])
            loss = loss + 3 * (1 - F.cosine_similarity(seen, wanted, dim=2)).mean()
            loss = loss + 0.001 * features.penalty  # keeps PointNet's transform near orthogonal
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}")

    model.eval()
    with torch.inference_mode():
        logits, _ = model(torch.from_numpy(store.points(val_rows, points)))
    return float((logits.argmax(dim=1).numpy() == store.labels(val_rows)).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--points", type=int, default=512)
    given = parser.parse_args()
    torch.manual_seed(0)
    accuracy = train(Store(given.store), given.epochs, given.points)
    print(f"validation accuracy {accuracy:.1%}")
