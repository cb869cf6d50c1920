"""A student of your own in one file; every command takes it by its import path.

    pointmcd train STORE --student own_student:ResidualMLP [--task segmentation]
    python examples/own_student.py STORE    # check it, then train a baseline and a distilled run

`evaluate`, `predict`, `compare` and `report` find it by that path, which the run records. A package
of students may give short names instead: `@pointmcd.register_student("residual-mlp")`.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

import pointmcd


def layer(channels_in: int, channels: int) -> nn.Sequential:
    """Linear and batch norm over all points of all clouds."""
    return nn.Sequential(nn.Linear(channels_in, channels, bias=False), nn.BatchNorm1d(channels))


class ResidualMLP(nn.Module):
    """Three residual blocks, in which every point sees itself and the mean of all points.

    The contract: `num_features`, and points [B, N, 3] -> PointFeatures(embeddings [B, N, C]). A
    student that keeps fewer points also returns their `index`; one with skip links, `local`.
    """

    num_features = 256

    def __init__(self) -> None:
        super().__init__()
        self.rise = layer(3, self.num_features)
        self.blocks = nn.ModuleList(layer(2 * self.num_features, self.num_features) for _ in "123")

    def forward(self, points: Tensor) -> pointmcd.PointFeatures:
        """Points [B, N, 3] -> embeddings [B, N, 256]."""
        shape = (*points.shape[:2], self.num_features)
        features = torch.relu(self.rise(points.flatten(0, 1))).view(shape)
        for block in self.blocks:
            mean = features.mean(dim=1, keepdim=True).expand(shape)
            rows = torch.cat([features, mean], dim=2).flatten(0, 1)
            features = torch.relu(features + block(rows).view(shape))
        return pointmcd.PointFeatures(features)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    pointmcd.check_student(ResidualMLP)  # names the first rule that it breaks
    for teacher in (None, "lite0"):
        config = {"student": "own_student:ResidualMLP", "epochs": options.epochs}
        config["points"] = min(1024, pointmcd.Store(options.store).num_points)
        run = pointmcd.train(pointmcd.TrainConfig(options.store, teacher=teacher, **config))
        print(run, f"{pointmcd.evaluate(run)['last'].overall_accuracy:.1%}")
