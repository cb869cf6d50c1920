import numpy as np
import pytest
from dataset_layouts import write_modelnet40c

from pointmcd.datasets.registry import find_shapes
from pointmcd.errors import ShapeError


@pytest.fixture
def root(furniture_root, tmp_path):
    return write_modelnet40c(furniture_root, tmp_path)


def test_all_corruptions_are_read_for_the_test_alone(root):
    listing = find_shapes(f"modelnet40c:{root}").listing
    assert [(s.name, s.label, s.split) for s in listing.sources] == [
        (f"{label}/{name}_{row:04d}", label, "test")
        for name in ("distortion_rbf_inv_5", "gaussian_1", "original")
        for row, label in enumerate(("bed", "chair"))
    ]
    assert listing.notes[0]["note"] == ("6 shapes found in 3 files, officially 2468 in each of 75")
    for number, shape in enumerate(listing.sources):
        data = np.load(root / shape.file.path.name)
        assert data.shape[1] == 100 + number // 2
        np.testing.assert_array_equal(shape.read_cloud().points, data[number % 2])


def test_one_file_alone_and_labels_of_one_dimension(root):
    np.save(root / "label.npy", np.load(root / "label.npy").reshape(-1))
    found = find_shapes(f"modelnet40c:{root / 'data_gaussian_1.npy'}")
    assert [s.name for s in found.listing.sources] == [
        "bed/gaussian_1_0000",
        "chair/gaussian_1_0001",
    ]
    assert found.text == f"modelnet40c:{root / 'data_gaussian_1.npy'}"


def test_damaged_files_are_one_line(root):
    path = root / "data_original.npy"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ShapeError, match=r"data_original\.npy: cannot be read"):
        find_shapes(f"modelnet40c:{root}")
    path.unlink()
    (root / "label.npy").unlink()
    with pytest.raises(ShapeError, match=r"label\.npy: cannot be read: No such file"):
        find_shapes(f"modelnet40c:{root}")


def test_pickled_arrays_are_refused(root):
    np.save(root / "label.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(ShapeError, match=r"label\.npy: cannot be read"):
        find_shapes(f"modelnet40c:{root}")
