import numpy as np
import pytest
import torch
from store_copies import copy_store, files_of
from torch import nn

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import StoreError
from pointmcd.teachers.features import encode_shape, encode_store, features_folder, gather_rows

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


class Brightness(nn.Module):
    """Two features of each view: its mean and its darkest pixel."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def fold(self):
        self.folded = True

    def forward(self, views):
        self.seen += 1
        flat = views.flatten(1).float()
        return torch.stack([flat.mean(1), flat.min(1).values], dim=1)


@pytest.fixture
def store(tiny_store):
    return Store(tiny_store)


@pytest.fixture
def expected(store):
    views = np.stack([store.views(i) for i in range(18)]).astype(np.float32)
    return np.stack([views.mean((2, 3)), views.min((2, 3))], axis=2)


def test_every_view_of_every_shape_in_its_place(store, expected, tmp_path):
    encode_store(store, Brightness(), tmp_path / "f", CPU, "x")
    shards = [np.load(tmp_path / "f" / f"{s}.npy") for s in store.shards]
    assert [len(s) for s in shards] == store.meta["counts"]
    assert all(s.dtype == np.float16 for s in shards)
    assert np.allclose(np.concatenate(shards), expected, rtol=2e-3)
    rows = gather_rows(store, tmp_path / "f", np.array([17, 3]))
    assert rows.dtype == np.float32
    assert np.allclose(rows, expected[[17, 3]], rtol=2e-3)


def test_shards_that_stand_are_kept(store, tmp_path):
    encoder = Brightness()
    encode_store(store, encoder, tmp_path / "f", CPU, "x")
    assert (encoder.seen, encoder.folded) == (18, True)
    before = files_of(tmp_path / "f")
    (tmp_path / "f" / "00001.npy").unlink()
    encode_store(store, encoder, tmp_path / "f", CPU, "x")
    assert encoder.seen == 18 + store.meta["counts"][1]
    assert files_of(tmp_path / "f") == before


def test_features_of_another_make_are_refused_and_kept(store, tiny_store, tmp_path):
    encode_store(store, Brightness(), tmp_path / "f", CPU, "x")
    before = files_of(tmp_path / "f")
    with pytest.raises(StoreError, match=r"f: features of another store or encoder; delete"):
        encode_store(store, Brightness(), tmp_path / "f", CPU, "y")
    other = Store(copy_store(tiny_store, tmp_path / "other"))
    other.own_fingerprint = "0" * 16
    with pytest.raises(StoreError, match="features of another store or encoder"):
        encode_store(other, Brightness(), tmp_path / "f", CPU, "x")
    assert files_of(tmp_path / "f") == before


def test_a_damaged_picture_stops_it_with_its_name(tiny_store, tmp_path):
    store = Store(copy_store(tiny_store, tmp_path / "store"))
    (tmp_path / "store/shards/00002/views/0001.png").write_bytes(b"\x89PNG")
    with pytest.raises(StoreError, match=r"00002/views/0001\.png"):
        encode_store(store, Brightness(), tmp_path / "f", CPU, "x")
    assert sorted(p.name for p in (tmp_path / "f").iterdir()) == [
        *("00000.npy", "00001.npy", "made-by.json")
    ]


def test_the_cache_of_a_taught_store_is_what_the_encoder_sees(taught_store):
    store = Store(taught_store)
    rows = gather_rows(store, features_folder(store, "lite0"), np.array([4]))
    plain = encode_shape(store, 4, ImageEncoder("lite0").eval(), CPU)  # batch norms not folded
    assert np.allclose(rows[0], plain, rtol=0.01, atol=0.01)


def test_names_of_folders(store):
    assert features_folder(store, "random:lite0") == store.path / "features" / "random-lite0"
