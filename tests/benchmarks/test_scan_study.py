"""Data sets made of others: some of the classes, and scans from one side."""

from zipfile import ZipFile

import numpy as np
import pytest

from benchmarks.decisions.sources import only_classes, scans_of
from benchmarks.scans.__main__ import scanned
from pointmcd.data.store import Store
from pointmcd.datasets.registry import find_shapes


def test_some_classes_of_a_zip(tmp_path):
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        for label in ("bed", "car", "cup"):
            archive.writestr(f"set/{label}/train/a.off", label)
    folder = only_classes(tmp_path / "set.zip", tmp_path / "some", ["cup", "bed"])
    assert folder == tmp_path / "some" / "set"
    assert sorted(path.name for path in folder.iterdir()) == ["bed", "cup"]


@pytest.mark.slow
def test_scans_are_what_one_view_sees(furniture_root, tmp_path):
    scans = scans_of(furniture_root, tmp_path)
    store = Store(tmp_path / "meshes")
    assert len(find_shapes(scans).listing.sources) == len(store.shapes)
    for index, shape in enumerate(store.shapes):
        (file,) = scans.rglob(f"{shape.label}/{shape.split}/{shape.name.rpartition('/')[2]}.npy")
        held = store.points(np.array([index]), store.num_points)[0]
        apart = np.abs(np.load(file)[:, None, :] - held[None]).max(axis=2)
        where = apart.argmin(axis=1)
        assert apart.min(axis=1).max() == 0
        seen = store.visibility(np.array([index]), store.num_points)[0, where]
        assert seen.all(axis=0).any()
        assert len(where) < store.num_points


def test_a_camera_sees_a_side():
    ball = np.random.default_rng(0).normal(size=(2000, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    seen, other = scanned(ball, 3), scanned(ball, 4)
    assert 0.2 < len(seen) / 2000 < 0.6
    np.testing.assert_array_equal(seen, scanned(ball, 3))
    assert seen.shape != other.shape or not np.array_equal(seen, other)
    assert (seen @ seen.mean(axis=0) > -0.2).all()  # of one side
