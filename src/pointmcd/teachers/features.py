"""Encoder features of every view of a store, computed once, shard by shard, and mapped later."""

import re
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from joblib import cpu_count
from torch import Tensor

from pointmcd.ahead import map_ahead
from pointmcd.data.store import Store, map_array
from pointmcd.device import send, settle
from pointmcd.encoders.image_encoder import OTHER_BATCH, RANDOM_PREFIX, ImageEncoder
from pointmcd.encoders.runtimes import use_runtime
from pointmcd.errors import StoreError
from pointmcd.files import read_json, replacing, write_json
from pointmcd.progress import Estimate, progress_bar
from pointmcd.teachers.config import TeachConfig
from pointmcd.typing import Array, Floats, Indices

#: Threads that decode pictures for a GPU.
_THREADS = 8


def folder_name(encoder: str) -> str:
    """Return an encoder's name as used in names of folders."""
    return re.sub(r"[:/\\]", "-", encoder)


def features_folder(store: Store, encoder: str, weights: str = "", seed: int = 0) -> Path:
    """Return the folder of a frozen encoder's features in a store.

    Features of other weights (`ImageEncoder.weights`) have another folder, and so have those of
    another seed of random weights.
    """
    drawn = f"-s{seed}" if seed and encoder.startswith(RANDOM_PREFIX) else ""
    own = f"-{weights[:8]}" if weights else drawn
    return store.path / "features" / f"{folder_name(encoder)}{own}"


def cache_features(
    store: Store, config: TeachConfig, encoder: ImageEncoder, device: torch.device
) -> tuple[Path, ...]:
    """Return folders with the frozen encoder's features of every view; make those that are absent.

    There is one for each encoder that is joined: what one of them has described once serves every
    teacher that it is a part of. The runtime is not part of what made them: what it changes is
    below the rounding to float16.

    Raises:
        StoreError: when a folder holds features of another store or encoder.
        ConfigError: when the config's runtime is absent, or cannot take the encoder.
    """
    folders = []
    for member in encoder.members:
        seed = config.seed if member.name.startswith(RANDOM_PREFIX) else 0  # of random weights
        use_runtime(member, config.runtime)
        folders.append(features_folder(store, member.name, member.weights, config.seed))
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
    estimate, encoded = Estimate(missing, "shapes", wait=partial(settle, device)), 0
    with progress_bar() as progress:
        task = progress.add_task("views", total=len(store.shape_of), note="")

        def reach(shapes: int) -> None:
            nonlocal encoded
            encoded += shapes
            progress.advance(task, shapes)
            estimate.reach(encoded)

        for shard, indices in shards:
            path = folder / f"{shard}.npy"
            if not path.exists():
                save_array(path, encode_shapes(store, indices, encoder, device, reach))
            progress.update(task, completed=int(indices[-1]) + 1)


def _claim(folder: Path, identity: str) -> None:
    marker = folder / "made-by.json"
    if not marker.exists():
        write_json(marker, identity)
    elif read_json(marker) != identity:
        raise StoreError(
            f"{folder}: features of another store or encoder; delete that folder and run"
            " pointmcd teach again"
        )


class EncodingPlan(NamedTuple):
    """Batch size, threads and precision of encoding views on a device.

    Attributes:
        shapes: encoded together.
        threads: that decode pictures meanwhile.
        half: whether in float16.
    """

    shapes: int
    threads: int
    half: bool


def plan_for(device: torch.device, views: int) -> EncodingPlan:
    """Return how a device encodes shapes of so many views.

    On a CPU it is one shape at a time: few maps stay in its cache.
    """
    together = 1 if device.type == "cpu" else max(1, OTHER_BATCH // views)
    return EncodingPlan(together, decoding_threads(device), half=device.type == "cuda")


def decoding_threads(device: torch.device) -> int:
    """Return how many threads decode pictures for a device.

    On a CPU that is one where torch leaves a core: else it would hold up those that compute.
    """
    if device.type == "cpu":
        return int(torch.get_num_threads() < cpu_count())
    return _THREADS


def encode_shapes(
    store: Store,
    indices: Indices,
    encoder: ImageEncoder,
    device: torch.device,
    reach: Callable[[int], None] = lambda shapes: None,
) -> Array:
    """Return features float16 [n, V, F] of all views of some shapes.

    A network whose maps exceed float16 is computed in float32 on a GPU too. `reach` is told how
    many more shapes have been encoded, or queued on a GPU.

    Raises:
        StoreError: when views are absent or damaged.
    """
    plan = plan_for(device, store.num_views)
    features = _encode(store, indices, encoder, device, plan, reach)
    if plan.half and not np.isfinite(features).all():
        return _encode(store, indices, encoder, device, plan._replace(half=False))
    return features


@torch.inference_mode()
def _encode(
    store: Store,
    indices: Indices,
    encoder: ImageEncoder,
    device: torch.device,
    plan: EncodingPlan,
    reach: Callable[[int], None] = lambda shapes: None,
) -> Array:
    def read(some: Indices) -> Tensor:
        return send(np.stack([store.views(int(index)) for index in some]), device)

    groups = np.split(indices, range(plan.shapes, len(indices), plan.shapes))
    precision = torch.autocast(device.type, torch.float16) if plan.half else nullcontext()
    found = []
    with precision, closing(map_ahead(read, groups, plan.threads)) as decoded:
        for views in decoded:
            found.append(encoder(views.flatten(0, 1)).half().unflatten(0, views.shape[:2]))
            reach(len(views))
    return np.asarray(torch.cat(found).cpu().numpy())


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
