"""A tiny store of made-up shapes, on which plugs are checked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from pointmcd.data.store import Store
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.views.rig import Rig

_RIG = Rig("made-up", cameras=((30, 0), (30, 120), (-30, 240)), size=32)
_SHAPES: dict[str, Callable[[float], trimesh.Trimesh]] = {
    "box": lambda height: trimesh.creation.box((1, height, 1)),
    "cylinder": lambda height: trimesh.creation.cylinder(0.5, height, sections=6),
}
#: Shapes of a class by split; one of train becomes the validation split.
_COUNTS = {"train": 4, "test": 1}


def make_up_store(folder: Path) -> Store:
    """Prepare a store of two classes, each of two parts, in an empty folder.

    It has 6 train, 2 val and 2 test shapes of 64 points and 3 views of 32 x 32, in 2 shards, and
    takes a second or less.
    """
    meshes = folder / "meshes"
    for label in _SHAPES:
        (meshes / label).mkdir(parents=True)
    for split, count in _COUNTS.items():
        names = [f"{label}/{split}{number}" for label in _SHAPES for number in range(count)]
        (meshes / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            make = _SHAPES[name.partition("/")[0]]
            _write(make(0.5 + 0.3 * int(name[-1])), meshes / f"{name}.off")
    (meshes / "parts.json").write_text(json.dumps({label: ["low", "high"] for label in _SHAPES}))
    options: dict[str, Any] = {"points": 64, "shard_size": 5, "val_fraction": 0.25, "workers": 1}
    return Store(prepare(PrepareConfig(meshes, folder / "store", rig=_RIG, **options)).store)


def _write(mesh: trimesh.Trimesh, path: Path) -> None:
    """Write a mesh, and for each face whether it is in the upper half."""
    mesh.export(path)
    height = np.asarray(mesh.triangles_center)[:, 1]
    labels = (height > (height.min() + height.max()) / 2).astype(int)
    path.with_suffix(".seg").write_text("\n".join(map(str, labels)))
