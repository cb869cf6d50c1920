"""Encoder features of every view of a store, computed once, shard by shard, and mapped later."""

import re
from pathlib import Path

import numpy as np
import torch

from pointmcd.data.store import Store, map_array
from pointmcd.encoders.image_encoder import RANDOM_PREFIX, ImageEncoder
from pointmcd.encoders.runtimes import use_runtime
from pointmcd.errors import StoreError
from pointmcd.files import read_json, replacing, write_json
from pointmcd.progress import progress_bar
from pointmcd.teachers.config import TeachConfig
from pointmcd.typing import Array, Floats, Indices


def folder_name(encoder: str) -> str:
    """Return an encoder's name as used in names of folders."""
    return re.sub("[:/]", "-", encoder)


def features_folder(store: Store, encoder: str, weights: str = "") -> Path:
    """Return the folder of a frozen encoder's features in a store.

    Features of other weights (`ImageEncoder.weights`) have another folder.
    """
    own = f"-{weights[:8]}" if weights else ""
    return store.path / "features" / f"{folder_name(encoder)}{own}"


def cache_features(
    store: Store, config: TeachConfig, encoder: ImageEncoder, device: torch.device
) -> Path:
    """Return the folder with the frozen encoder's features of every view; make it if absent.

    The runtime is no part of what made them: what it changes is below the rounding to float16.

    Raises:
        StoreError: when the folder holds features of another store or encoder.
        ConfigError: when the config's runtime is absent, or cannot take the encoder.
    """
    folder = features_folder(store, config.teacher, encoder.weights)
    seed = config.seed if config.teacher.startswith(RANDOM_PREFIX) else 0  # decides random weights
    use_runtime(encoder, config.runtime, device)
    identity = f"{config.teacher} {seed} {encoder.weights}".rstrip()
    encode_store(store, encoder, folder, device, identity)
    return folder


def encode_store(
    store: Store, encoder: ImageEncoder, folder: Path, device: torch.device, identity: str
) -> None:
    """Write features float16 [S, V, F] of each shard to `folder`; finished shards are kept.

    The encoder's batch norms are folded: it cannot be trained afterwards. `identity` says what made
    the features.

    Raises:
        StoreError: when `folder` holds features of another store or identity.
    """
    _claim(folder, f"{store.own_fingerprint} {identity}")  # no label changes them
    encoder.fold()
    encoder = encoder.to(device).eval()
    with progress_bar() as progress:
        task = progress.add_task("views encoded", total=len(store.shape_of), note="")
        for shard, indices in store.shard_ranges():
            path = folder / f"{shard}.npy"
            if not path.exists():
                rows = []
                for index in indices:
                    rows.append(encode_shape(store, int(index), encoder, device))
                    progress.advance(task)
                save_array(path, np.stack(rows).astype(np.float16))
            progress.update(task, completed=int(indices[-1]) + 1)


def _claim(folder: Path, identity: str) -> None:
    marker = folder / "made-by.json"
    if marker.exists() and read_json(marker) != identity:
        raise StoreError(
            f"{folder}: features of another store or encoder; delete that folder and run"
            " pointmcd teach again"
        )
    write_json(marker, identity)


@torch.inference_mode()
def encode_shape(store: Store, index: int, encoder: ImageEncoder, device: torch.device) -> Floats:
    """Return features float32 [V, F] of one shape's views."""
    views = torch.from_numpy(store.views(index)).to(device)
    features: Floats = encoder(views).float().cpu().numpy()
    return features


class StoredRows:
    """Rows of the arrays `<shard>.npy` in a folder for some shapes, read when they are asked for.

    A store larger than memory is gone through in this way: nothing is kept but the maps.

    Raises:
        StoreError: when an array is absent or damaged.
    """

    def __init__(self, store: Store, folder: Path, indices: Indices) -> None:
        self._store, self._folder, self._indices = store, folder, indices
        self._each = map_array(folder / f"{store.shards[0]}.npy").shape[1:]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shapes n, then the dimensions of each."""
        return len(self._indices), *self._each

    def __getitem__(self, rows: Indices | slice) -> Floats:
        """Return rows, float32 [n, ...]."""
        indices = self._indices[rows]
        if not len(indices):
            return np.empty((0, *self._each), np.float32)
        return gather_rows(self._store, self._folder, indices)


def gather_rows(store: Store, folder: Path, indices: Indices) -> Floats:
    """Return rows of the arrays `<shard>.npy` in `folder` for shapes, float32 [n, ...]."""
    places = [store.locate(int(i)) for i in indices]
    maps = {shard: map_array(f"{folder}/{shard}.npy") for shard in {s for s, _ in places}}
    return np.stack([maps[shard][row] for shard, row in places]).astype(np.float32)


def save_array(path: Path, array: Array) -> None:
    """Write one .npy file atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
