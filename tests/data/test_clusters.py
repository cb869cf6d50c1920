"""Clusters of points: pieces that hang together, the same whenever they are asked for."""

import numpy as np
import pytest
from store_copies import copy_store

from pointmcd.data import clusters
from pointmcd.data.clusters import find_clusters, shape_clusters
from pointmcd.data.store import Store
from pointmcd.errors import StoreError


def box(centre, count, seed):
    points = np.random.default_rng(seed).uniform(-0.2, 0.2, (count, 3))
    return (points + centre).astype(np.float32)


def test_things_apart_are_pieces_of_their_own_from_the_top_down():
    cloud = np.concatenate(
        [box((0, -0.6, 0), 60, 0), box((0, 0.6, 0), 50, 1), box((0, 0, 0), 40, 2)]
    )
    found = find_clusters(cloud, 3)
    assert found.tolist() == [2] * 60 + [0] * 50 + [1] * 40
    assert find_clusters(cloud[:, [0, 2, 1]], 3, up=2).tolist() == found.tolist()


def test_pieces_end_at_edges():
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 20), np.linspace(0.01, 1, 20)), -1).reshape(-1, 2)
    floor, wall = np.insert(grid, 1, 0, axis=1), np.insert(grid, 0, 0, axis=1)
    found = find_clusters(np.concatenate([floor, wall]).astype(np.float32) / 2, 2)
    of_floor, of_wall = found[: len(floor)], found[len(floor) :]
    assert (of_floor == 1).mean() > 0.9
    assert (of_wall == 0).mean() > 0.9


@pytest.mark.parametrize(("count", "number"), [(1, 1), (5, 5), (12, 12), (500, 40)])
def test_as_many_as_there_are_places(count, number):
    cloud = np.repeat(box((0, 0, 0), 40, 0), 3, axis=0)  # a small cloud, repeated to fill up
    found = find_clusters(cloud, count)
    assert found.dtype == np.int16
    assert set(found.tolist()) == set(range(number))
    assert (found.reshape(40, 3) == found[::3, None]).all()


def test_what_was_found_stays_and_others_have_another_fingerprint(
    tiny_store, tmp_path, monkeypatch
):
    path = copy_store(tiny_store, tmp_path / "store")
    first, fingerprint = shape_clusters(Store(path), 4, 6)
    assert fingerprint.startswith("6-")
    assert shape_clusters(Store(path), 5, 6)[1] != fingerprint
    assert shape_clusters(Store(path), 4, 7)[1].startswith("7-")
    monkeypatch.setattr(clusters, "find_clusters", lambda *_: np.zeros(128, dtype=np.int16))
    again, same = shape_clusters(Store(path), 4, 6)  # as another version might find none
    assert (again == first).all()
    assert same == fingerprint
    points = np.load(path / "shards/00000/points.npy")
    np.save(path / "shards/00000/points.npy", points[:, ::-1])  # prepared anew
    changed, other = shape_clusters(Store(path), 4, 6)
    assert not changed.any()
    assert other != fingerprint
    for file in (path / "clusters").rglob("*.npy"):
        file.write_bytes(b"no array")
    with pytest.raises(StoreError, match="damaged; delete that file"):
        shape_clusters(Store(path), 4, 6)
