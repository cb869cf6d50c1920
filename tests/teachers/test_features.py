import threading

import numpy as np
import pytest
import torch
from store_copies import copy_store, files_of
from torch import nn

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import StoreError
from pointmcd.ops import packed_convolution
from pointmcd.teachers import features
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.features import (
    EncodingPlan,
    cache_features,
    encode_shapes,
    encode_store,
    features_folder,
    gather_rows,
    plan_for,
)

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(
    params=[
        EncodingPlan(1, 0, half=False),
        EncodingPlan(1, 1, half=False),
        EncodingPlan(4, 3, half=False),
    ],
    ids=["busy cpu", "cpu", "gpu"],
)
def plan(request, monkeypatch):
    """Let the CPU encode as it does, and as a GPU does, but in float32."""
    monkeypatch.setattr(features, "plan_for", lambda *_: request.param)
    return request.param


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


def test_every_view_of_every_shape_in_its_place(plan, store, expected, tmp_path):
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


def test_a_damaged_picture_stops_it_with_its_name(plan, tiny_store, tmp_path):
    store = Store(copy_store(tiny_store, tmp_path / "store"))
    (tmp_path / "store/shards/00002/views/0001.png").write_bytes(b"\x89PNG")
    with pytest.raises(StoreError, match=r"00002/views/0001\.png"):
        encode_store(store, Brightness(), tmp_path / "f", CPU, "x")
    assert sorted(p.name for p in (tmp_path / "f").iterdir()) == [
        *("00000.npy", "00001.npy", "made-by.json")
    ]


def test_an_interrupted_work_keeps_what_is_done_and_leaves_no_thread(plan, store, tmp_path):
    class Interrupted(Brightness):
        def forward(self, views):
            self.seen += len(views)
            if self.seen > 3 * 8:  # in the second shard
                raise KeyboardInterrupt
            return super().forward(views)

    with pytest.raises(KeyboardInterrupt):
        encode_store(store, Interrupted(), tmp_path / "f", CPU, "x")
    assert not [one for one in threading.enumerate() if one.name.startswith("ThreadPool")]
    assert (tmp_path / "f" / "00000.npy").exists()
    assert not (tmp_path / "f" / f"{store.shards[-1]}.npy").exists()
    encode_store(store, Brightness(), tmp_path / "f", CPU, "x")
    assert len([*(tmp_path / "f").glob("*.npy")]) == len(store.shards)


def test_progress_counts_every_shape_once(plan, store):
    reached = []
    encode_shapes(store, np.arange(18), Brightness(), CPU, reached.append)
    assert sum(reached) == 18
    assert max(reached) == plan.shapes


def test_a_gpu_takes_many_views_at_once_and_half_precision(monkeypatch):
    for cores in (1, 2):  # torch has one thread
        monkeypatch.setattr(features, "cpu_count", lambda cores=cores: cores)
        assert plan_for(CPU, 12) == EncodingPlan(1, cores - 1, half=False)
    assert plan_for(torch.device("cuda"), 12) == EncodingPlan(10, 8, half=True)
    assert plan_for(torch.device("cuda"), 1000) == EncodingPlan(1, 8, half=True)
    assert not plan_for(torch.device("mps"), 12).half


class Product(nn.Module):
    """Products of each view with itself, of autocast's type."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.types = factor, []

    def forward(self, views):
        rows = self.factor * views[:, :2].float() / 255
        products = rows @ rows.mT
        self.types.append(products.dtype)
        return products.flatten(1).float() / self.factor**2


@pytest.mark.parametrize(("factor", "redone"), [(1, False), (100, True)])
def test_what_exceeds_float16_is_computed_in_float32(store, monkeypatch, factor, redone):
    monkeypatch.setattr(features, "plan_for", lambda *_: EncodingPlan(18, 1, half=True))
    encoder, reached = Product(factor), []
    found = encode_shapes(store, np.arange(18), encoder, CPU, reached.append)
    assert encoder.types == [torch.float16, torch.float32][: 1 + redone]
    assert reached == [18]
    monkeypatch.setattr(features, "plan_for", lambda *_: EncodingPlan(18, 1, half=False))
    wanted = encode_shapes(store, np.arange(18), encoder, CPU)
    assert found.dtype == np.float16
    assert np.isfinite(found).all()
    assert np.allclose(found, wanted, rtol=5e-3)


def test_half_precision_is_near_float32(store, monkeypatch):
    """At most twice what `python -m benchmarks.speed.rounding` prints of larger views, 0.51%."""
    monkeypatch.setattr(packed_convolution, "_fuses", lambda images: False)  # as on a GPU
    encoder, found = ImageEncoder("lite0").eval(), []
    encoder.fold()
    for half in (False, True):
        monkeypatch.setattr(
            features, "plan_for", lambda *_, half=half: EncodingPlan(1, 1, half=half)
        )
        found.append(encode_shapes(store, np.arange(4), encoder, CPU).astype(np.float32))
    exact, rounded = found
    assert 0 < np.linalg.norm(rounded - exact) < 0.0102 * np.linalg.norm(exact)


def test_the_cache_of_a_taught_store_is_what_the_encoder_sees(taught_store):
    store = Store(taught_store)
    rows = gather_rows(store, features_folder(store, "lite0"), np.array([4]))
    encoder = ImageEncoder("lite0").eval()  # batch norms not folded
    plain = encode_shapes(store, np.array([4]), encoder, CPU)
    assert np.allclose(rows, plain, rtol=0.01, atol=0.01)


def test_names_of_folders(store):
    folder = store.path / "features"
    assert features_folder(store, "random:lite0") == folder / "random-lite0"
    assert features_folder(store, "random:lite0", seed=2) == folder / "random-lite0-s2"
    assert features_folder(store, "lite0", seed=2) == folder / "lite0"


def test_random_weights_of_several_seeds_stand_side_by_side(tiny_store, tmp_path):
    store = Store(copy_store(tiny_store, tmp_path / "store"))
    rows = []
    for seed in (0, 1, 0):
        config = TeachConfig(store.path, "random:lite0", seed=seed)
        folders = cache_features(store, config, ImageEncoder("random:lite0", seed), CPU)
        rows.append(gather_rows(store, folders[0], np.arange(3)))
    assert np.array_equal(rows[0], rows[2])
    assert not np.allclose(rows[0], rows[1], atol=0.01)
