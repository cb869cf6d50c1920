"""Encoder features of every view of a store, computed once, shard by shard, and mapped later."""

import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
import torch

from pointmcd.data.store import Store, map_array
from pointmcd.encoders.image_encoder import RANDOM_PREFIX, ImageEncoder
from pointmcd.encoders.runtimes import use_runtime
from pointmcd.errors import StoreError
from pointmcd.files import read_json, replacing, write_json
from pointmcd.progress import Estimate, progress_bar
from pointmcd.teachers.config import TeachConfig
from pointmcd.typing import Array, Floats, Indices


def folder_name(encoder: str) -> str:
    """Return an encoder's name as used in names of folders."""
    return re.sub(r"[:/\\]", "-", encoder)


def features_folder(store: Store, encoder: str, weights: str = "") -> Path:
    """Return the folder of a frozen encoder's features in a store.

    Features of other weights (`ImageEncoder.weights`) have another folder.
    """
    own = f"-{weights[:8]}" if weights else ""
    return store.path / "features" / f"{folder_name(encoder)}{own}"


def cache_features(
    store: Store, config: TeachConfig, encoder: ImageEncoder, device: torch.device
) -> tuple[Path, ...]:
    """Return folders with the frozen encoder's features of every view; make those that are absent.

    There is one for each encoder that is joined: what one of them has described once serves every
    teacher that it is a part of. The runtime is no part of what made them: what it changes is below
    the rounding to float16.

    Raises:
        StoreError: when a folder holds features of another store or encoder.
        ConfigError: when the config's runtime is absent, or cannot take the encoder.
    """
    folders = []
    for member in encoder.members:
        seed = config.seed if member.name.startswith(RANDOM_PREFIX) else 0  # of random weights
        use_runtime(member, config.runtime)
        folders.append(features_folder(store, member.name, member.weights))
        identity = f"{member.name} {seed} {member.weights}".rstrip()
        encode_store(store, member, folders[-1], device, identity)
    return tuple(folders)


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
    encoder, shards = encoder.to(device).eval(), [*store.shard_ranges(variants=True)]
    missing = sum(len(rows) for shard, rows in shards if not (folder / f"{shard}.npy").exists())
    estimate, encoded = Estimate(missing, "shapes"), count(1)
    with progress_bar() as progress:
        task = progress.add_task("views encoded", total=len(store.shape_of), note="")
        for shard, indices in shards:
            path = folder / f"{shard}.npy"
            if not path.exists():
                rows = []
                for index in indices:
                    rows.append(encode_shape(store, int(index), encoder, device))
                    progress.advance(task)
                    estimate.reach(next(encoded))
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
    """Rows of the arrays `<shard>.npy` in folders for some shapes, read when they are asked for.

    A store larger than memory is gone through in this way: nothing is kept but the maps. Of several
    folders, rows are joined along the last dimension.

    Raises:
        StoreError: when an array is absent or damaged.
    """

    def __init__(self, store: Store, folders: Path | Sequence[Path], indices: Indices) -> None:
        self._folders = (folders,) if isinstance(folders, Path) else tuple(folders)
        self._store, self._indices = store, indices
        each = [map_array(folder / f"{store.shards[0]}.npy").shape[1:] for folder in self._folders]
        self._each = (*each[0][:-1], sum(shape[-1] for shape in each))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shapes n, then the dimensions of each."""
        return len(self._indices), *self._each

    def __getitem__(self, rows: Indices | slice) -> Floats:
        """Return rows, float32 [n, ...]."""
        indices = self._indices[rows]
        if not len(indices):
            return np.empty((0, *self._each), np.float32)
        return gather_rows(self._store, self._folders, indices)


def gather_rows(store: Store, folders: Path | Sequence[Path], indices: Indices) -> Floats:
    """Return rows of the arrays `<shard>.npy` for shapes, float32 [n, ...].

    Rows of several folders are joined along the last dimension.
    """
    places = [store.locate(int(i)) for i in indices]
    shards = {shard for shard, _ in places}
    found = []
    for folder in (folders,) if isinstance(folders, Path) else folders:
        maps = {shard: map_array(f"{folder}/{shard}.npy") for shard in shards}
        found.append(np.stack([maps[shard][row] for shard, row in places]).astype(np.float32))
    return found[0] if len(found) == 1 else np.concatenate(found, axis=-1)


def save_array(path: Path, array: Array) -> None:
    """Write one .npy file atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
