from collections import Counter

import h5py
import numpy as np
import pytest
from dataset_layouts import write_scanobjectnn

from pointmcd.datasets.registry import find_shapes
from pointmcd.datasets.scanobjectnn import SCANOBJECTNN_CLASSES
from pointmcd.errors import ConfigError, ShapeError

VARIANTS = {
    "obj-bg": ("main_split", ""),
    "obj-only": ("main_split_nobg", ""),
    "pb-t50-rs": ("main_split", "_augmentedrot_scale75"),
    "pb-t50-rs-nobg": ("main_split_nobg", "_augmentedrot_scale75"),
}


@pytest.fixture(scope="module")
def root(furniture_root, tmp_path_factory):
    return write_scanobjectnn(furniture_root, tmp_path_factory.mktemp("scans"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_reads_its_own_files(root, variant):
    folder, tail = VARIANTS[variant]
    found = find_shapes(f"scanobjectnn-{variant}:{root}")
    shapes = found.listing.sources
    copies = 2 if tail else 1
    expected = {
        (c, s): n for c in ("bed", "chair", "table") for s, n in (("train", 2), ("test", 1))
    }
    assert Counter((s.label, s.split) for s in shapes) == {
        k: n * copies for k, n in expected.items()
    }
    assert {s.file.path.parent.name for s in shapes} == {folder}
    assert {s.file.path.stem.partition("_objectdataset")[2] for s in shapes} == {tail}
    with h5py.File(shapes[-1].file.path) as file:
        np.testing.assert_array_equal(shapes[-1].read_cloud().points, file["data"][-1])


def test_the_folder_of_a_variant_alone_does_not_tell_which_it_is(root):
    with pytest.raises(ShapeError, match="holds nothing of scanobjectnn-obj-only"):
        find_shapes(f"scanobjectnn-obj-only:{root / 'h5_files' / 'main_split'}")


def test_the_bare_name_lists_the_variants(root):
    with pytest.raises(ConfigError) as caught:
        find_shapes(f"scanobjectnn:{root}")
    assert all(f"scanobjectnn-{variant}" in str(caught.value) for variant in VARIANTS)


def test_an_absent_half_is_a_note(root, tmp_path):
    folder = tmp_path / "main_split"
    folder.mkdir()
    (folder / "test_objectdataset.h5").symlink_to(
        root / "h5_files" / "main_split" / "test_objectdataset.h5"
    )
    listing = find_shapes(f"scanobjectnn-obj-bg:{tmp_path}").listing
    assert {shape.split for shape in listing.sources} == {"test"}
    assert listing.notes[0]["note"] == (
        "train list: 1 without a file, like training_objectdataset.h5"
    )


def test_fifteen_classes():
    assert len(set(SCANOBJECTNN_CLASSES)) == 15
