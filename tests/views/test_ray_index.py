"""Rays without Embree: libigl sees the same, and where both are absent a mesh is refused."""

import subprocess
import sys

import numpy as np
import pytest
import trimesh

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.errors import ConfigError
from pointmcd.shapes.mesh import Mesh
from pointmcd.shapes.sampling import sample_surface
from pointmcd.views.ray_index import EmbreeIndex, LibiglIndex, ray_caster
from pointmcd.views.raycast import Raycaster, visible_points
from pointmcd.views.render import render_views
from pointmcd.views.rig import get_rig

PREPARE = """
import sys; sys.modules.update(dict.fromkeys({absent!r}))
from pointmcd.cli.app import main
main(["prepare", {source!r}, {store!r}, "--points", "32", "--workers", "1", "--twins", "keep"])
"""


def prepare_without(absent, source, store):
    code = PREPARE.format(absent=absent, source=str(source), store=str(store))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.fixture
def without_embree(monkeypatch):
    pytest.importorskip("igl")
    monkeypatch.setitem(sys.modules, "embreex.rtcore_scene", None)


def test_embree_comes_first():
    pytest.importorskip("embreex")
    assert ray_caster() is EmbreeIndex


def test_libigl_comes_second(without_embree):
    assert ray_caster() is LibiglIndex


def test_both_see_the_same(monkeypatch):
    pytest.importorskip("igl")
    pytest.importorskip("embreex")
    mesh = load_shape(list_shapes(furniture10())[1])
    points, face = sample_surface(mesh, 500, 0)
    rig = get_rig("ring12")
    seen, views = [], []
    for absent in ((), ("embreex.rtcore_scene",)):
        for name in absent:
            monkeypatch.setitem(sys.modules, name, None)
        caster = Raycaster(mesh, rig)
        seen.append(visible_points(caster, points, face))
        views.append(render_views(caster))
    # Single and double precision part at rays that graze an edge.
    assert (seen[0] != seen[1]).mean() < 1e-3
    assert (views[0] != views[1]).mean() < 1e-4
    assert 0.2 < seen[0].mean() < 0.8


def test_libigl_meets_a_closed_shape_from_everywhere():
    pytest.importorskip("igl")
    ball = trimesh.creation.icosphere(3)
    index = LibiglIndex(ball.vertices.astype(np.float32), ball.faces.astype(np.int32))
    ends = np.random.default_rng(0).normal(size=(20_000, 3))
    ends = (ends / np.linalg.norm(ends, axis=1, keepdims=True)).astype(np.float32)
    face, distance = index.first_hits(4 * ends, -ends)
    assert (face >= 0).all()
    np.testing.assert_allclose(distance, 3, atol=0.01)  # the ball is made of 1,280 flat faces


def test_libigl_without_rays_and_past_the_mesh():
    pytest.importorskip("igl")
    index = LibiglIndex(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], dtype=np.int32))
    none = np.empty((0, 3), dtype=np.float32)
    assert [len(part) for part in index.first_hits(none, none)] == [0, 0]
    away = np.full((1, 3), 2, dtype=np.float32)
    assert index.first_faces(away, away).tolist() == [-1]
    assert index.first_hits(away, away)[1].tolist() == [np.inf]


def test_libigl_is_named_where_it_stands_in(tmp_path):
    pytest.importorskip("igl")
    ball = tmp_path / "meshes" / "ball.off"
    ball.parent.mkdir()
    trimesh.creation.icosphere(1).export(ball)
    done = prepare_without(["embreex"], ball.parent, tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert "note: embreex is not installed: libigl casts the rays" in done.stderr


def test_a_mesh_is_refused_without_both(monkeypatch):
    for module in ("embreex.rtcore_scene", "igl"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ConfigError, match=r"embreex or libigl, and neither is .*; point clouds need neither"
    ):
        Raycaster(Mesh(np.eye(3), np.array([[0, 1, 2]])), get_rig("ring12"))


@pytest.mark.slow
def test_clouds_are_prepared_without_both(tmp_path):
    clouds = tmp_path / "clouds"
    clouds.mkdir()
    for number in range(3):
        cloud = np.random.default_rng(number).normal(size=(200, 3))
        np.save(clouds / f"{number}.npy", cloud / np.linalg.norm(cloud, axis=1, keepdims=True))
    done = prepare_without(["embreex", "igl"], clouds, tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "store" / "store.json").exists()
    assert "embreex" not in done.stderr
