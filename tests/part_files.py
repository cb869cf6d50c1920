"""Part files as a person would make them, who knows what the store's own labels say."""

import numpy as np

from pointmcd.data.clusters import shape_clusters
from pointmcd.data.part_labels import PartRow, write_parts
from pointmcd.data.store import Store


def part_rows(store, indices, count=6, names=None):
    """Rows of all clusters of shapes: each the part that most of its points have, or one of names.

    The names go from the top of a shape down.
    """
    rows = []
    for index in map(int, indices):
        clusters, fingerprint = shape_clusters(store, index, count)
        for number in range(int(clusters.max()) + 1):
            if names is None:
                truth = store.part_labels(np.array([index]), store.num_points)[0]
                part = np.bincount(truth[clusters == number]).argmax()
                name = store.part_names[part].rpartition("/")[2]
            else:
                name = names[number * len(names) // count]
            rows.append(PartRow(store.shapes[index].name, number + 1, name, fingerprint))
    return rows


def part_file(path, store, each=3, **options):
    """Write one of the first train shapes of each class; returns the path."""
    opened = Store(store)
    train = opened.indices("train")
    chosen = [
        [i for i in train if opened.shapes[i].label == label][:each]
        for label in sorted({str(opened.shapes[i].label) for i in train})
        if label != "None"
    ] or [train[:each]]
    write_parts(path, part_rows(opened, np.concatenate(chosen), **options))
    return path
