"""Where embreex is not installed: clouds go on, a mesh is refused in one line."""

import subprocess
import sys

import numpy as np
import pytest

from pointmcd.errors import ConfigError
from pointmcd.shapes.mesh import Mesh
from pointmcd.views.raycast import Raycaster
from pointmcd.views.rig import get_rig

TRIANGLE = Mesh(np.eye(3), np.array([[0, 1, 2]]))


def test_a_mesh_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex.mesh_construction", None)
    with pytest.raises(ConfigError, match=r"embreex, which is not installed .*; point clouds do"):
        Raycaster(TRIANGLE, get_rig("ring12"))


def test_clouds_are_prepared(tmp_path):
    clouds = tmp_path / "clouds"
    clouds.mkdir()
    for number in range(3):
        cloud = np.random.default_rng(number).normal(size=(200, 3))
        np.save(clouds / f"{number}.npy", cloud / np.linalg.norm(cloud, axis=1, keepdims=True))
    code = (
        "import sys; sys.modules['embreex'] = None\n"
        "from pointmcd.preparation.config import PrepareConfig\n"
        "from pointmcd.preparation.prepare import prepare\n"
        f"prepare(PrepareConfig({str(clouds)!r}, {str(tmp_path / 'store')!r}, points=32,"
        " workers=1, twins='keep'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "store" / "store.json").exists()
