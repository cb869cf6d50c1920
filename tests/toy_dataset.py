"""A data set from one file outside the package: `toy_dataset:Reels:PATH`, or `reels:PATH`."""

from dataclasses import dataclass

import numpy as np

from pointmcd.datasets.base import DataSet, Layout, register_dataset
from pointmcd.datasets.sources import Cloud, CloudSource, Listing, check_finite


@dataclass(frozen=True)
class Reel(CloudSource):
    """Raw float32 coordinates, of which every `step`-th point is taken."""

    step: int = 1

    def read_cloud(self):
        points = np.frombuffer(self.file.read(), "<f4").reshape(-1, 3)
        return Cloud(check_finite(points[:: self.step], self.location))


def has_reels(tree):
    return any(file.endswith(".reel") for file in tree.files)


@register_dataset("reels")
@dataclass
class Reels(DataSet):
    """CLASS-NAME-SPLIT.reel, all in one folder."""

    title = "Reels: clouds on rolls"
    licence = "CC0-1.0"
    layouts = (Layout("raw", None, has_reels, splits={"train": 4, "test": 3}, up="z"),)
    classes = 2
    obtain = "write them"

    step: int = 1

    def __post_init__(self):
        self.step = int(self.step)

    def list_shapes(self, tree, layout):
        shapes = []
        for file in sorted(tree.files):
            label, name, split = file.removesuffix(".reel").split("-")
            shapes.append(Reel(f"{label}/{name}", label, split, tree.file(file), step=self.step))
        return Listing(shapes)


def write_reels(folder, points=40):
    """Four for training and two for the test, in two classes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(6):
        label, split = ("flat", "tall")[number % 2], "train" if number < 4 else "test"
        size = (1, 2, 0.1) if label == "flat" else (0.3, 0.3, 2)
        cloud = np.random.default_rng(number).uniform(-1, 1, (points, 3)) * size
        (folder / f"{label}-{number}-{split}.reel").write_bytes(cloud.astype("<f4").tobytes())
    return folder
