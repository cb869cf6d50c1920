"""Parts of the faces of a mesh, or the points of a cloud, from those of the points taken."""

import numpy as np
import pytest
import trimesh

from pointmcd.datasets.sources import ShapeSource
from pointmcd.datasets.tree import TreeFile
from pointmcd.preparation.prepare_shape import prepare_shape
from pointmcd.shapes.clouds import read_cloud
from pointmcd.shapes.mesh import normalise, read_mesh
from pointmcd.shapes.sampling import Surface
from pointmcd.tasks.file_parts import face_parts, file_parts
from pointmcd.views.rig import get_rig


def box_of_quads(path, thickness):
    """A plate: bottom, top and four sides, each one polygon of four corners."""
    corners = trimesh.creation.box((1, 1, thickness)).vertices
    lines = [" ".join(map(str, corner)) for corner in corners]
    sides = ["0 1 3 2", "4 5 7 6", "0 1 5 4", "2 3 7 6", "0 2 6 4", "1 3 7 5"]
    faces = "\n".join(f"4 {side}" for side in sides)
    path.write_text("\n".join(["OFF", "8 6 0", *lines, faces]) + "\n")
    return path


def naive(surface, points, parts):
    """The same in loops."""
    mesh, face = surface
    found = []
    for polygon in range(mesh.origin.count):
        triangles = [t for t, owner in enumerate(mesh.origin.index) if owner == polygon]
        on = [part for part, at in zip(parts, face, strict=True) if at in triangles]
        counts = sorted(np.bincount(on), reverse=True) if on else []
        if on and (len(counts) == 1 or counts[0] > counts[1]):
            found.append(np.bincount(on).argmax())
            continue
        if not triangles:
            found.append(-1)
            continue
        largest = max(triangles, key=lambda t: mesh.double_areas[t])
        normal = mesh.cross_products / np.linalg.norm(mesh.cross_products, axis=1)[:, None]
        middle = mesh.vertices[mesh.faces[largest]].mean(axis=0)
        apart = [
            ((point - middle) ** 2).sum() + 0.01 * ((normal[at] - normal[largest]) ** 2).sum()
            for point, at in zip(points, face, strict=True)
        ]
        found.append(parts[int(np.argmin(apart))])
    return found


@pytest.mark.parametrize("count", [1, 7, 40, pytest.param(500, marks=pytest.mark.slow)])
def test_as_in_loops(labelled_meshes, count):
    smallest = sorted(labelled_meshes.rglob("*.off"), key=lambda file: file.stat().st_size)
    for file in smallest[:2]:
        points, surface = read_cloud(file, count, 0)
        parts = np.random.default_rng(0).integers(0, 4, count)
        assert face_parts(surface, points, parts).tolist() == naive(surface, points, parts)


def test_one_label_for_each_polygon_also_without_area(tmp_path):
    file = box_of_quads(tmp_path / "plate.off", 0.01)
    text = file.read_text().replace("8 6 0", "8 7 0") + "3 0 0 1\n"
    file.write_text(text)
    points, surface = read_cloud(file, 200, 0)
    above = (points[:, 2] > 0).astype(int)
    found = face_parts(surface, points, above)
    assert len(found) == 7  # though they are twelve triangles
    at = {polygon: points[surface.mesh.origin.index[surface.face] == polygon] for polygon in (0, 1)}
    for polygon, own in at.items():
        assert found[polygon] == round(float((own[:, 2] > 0).mean()))
    assert found[6] == -1


def test_a_face_without_points_is_that_of_its_side_of_a_plate():
    """The nearest point of all lies on the other side."""
    low = [(0, 0, 0), (0, 4, 0), (4, 4, 0), (4, 0, 0)]
    high = [(x, y, 0.02) for x in (0, 1.9, 2.1, 4) for y in (0, 4)]
    faces = [(0, 1, 2, 3), *((k, k + 2, k + 3, k + 1) for k in (4, 6, 8))]
    lines = [" ".join(map(str, row)) for row in [*low, *high, *((4, *face) for face in faces)]]
    content = "\n".join(["OFF", "12 4 0", *lines]).encode()
    mesh = normalise(read_mesh(content, "plate", "off"))
    middles = mesh.vertices[mesh.faces].mean(axis=1)
    face = np.array([1, 2])  # of the lower side, and of the first strip of the upper one
    assert mesh.origin.index[face].tolist() == [0, 1]
    points = np.array([middles[4:6].mean(axis=0), middles[2:4].mean(axis=0)])
    points[0, 2] = mesh.vertices[0, 2]  # below the strip in the middle
    points[1, 0] = mesh.vertices[6, 0]  # at its edge
    found = face_parts(Surface(mesh, face), points, np.array([0, 1]))
    assert found.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("kind", ["off", "obj", "ply", "stl"])
def test_every_reader_of_our_own_knows_its_faces(kind, tmp_path):
    made = trimesh.creation.icosphere(1)
    made.export(tmp_path / f"ball.{kind}")
    mesh = read_mesh(tmp_path / f"ball.{kind}")
    assert mesh.origin.index.tolist() == list(range(80))
    assert mesh.origin.count == 80


def test_of_several_meshes_in_a_scene_the_order_is_not_known(tmp_path):
    one = trimesh.creation.box()
    one.export(tmp_path / "one.glb")
    assert read_mesh(tmp_path / "one.glb").origin.count == 12
    two = trimesh.Scene([one, one.copy().apply_translation((3, 0, 0))])
    two.export(tmp_path / "two.glb")
    assert read_mesh(tmp_path / "two.glb").origin is None


def test_a_prepared_mesh_says_where_its_points_lie(tmp_path):
    file = box_of_quads(tmp_path / "plate.off", 0.3)
    tree = TreeFile(file, str(file))
    shape = prepare_shape(ShapeSource("plate", None, None, tree), 50, get_rig("ring12"), 0)
    mesh, face = shape.surface
    corners = mesh.vertices[mesh.faces[face]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    off = np.einsum("pd,pd->p", shape.points - corners[:, 0], normals)
    assert np.abs(off).max() < 1e-6


def test_every_point_of_a_cloud_has_the_part_of_the_nearest_that_was_taken(tmp_path):
    cloud = np.random.default_rng(1).normal(size=(300, 3))
    np.savetxt(tmp_path / "scan.xyz", cloud)
    points, whole = read_cloud(tmp_path / "scan.xyz", 20, 0)
    found = file_parts(whole, points, np.arange(20))
    apart = np.linalg.norm(whole.points[:, None] - points[None], axis=2)
    assert found.tolist() == apart.argmin(axis=1).tolist()
    np.testing.assert_array_equal(whole.placed, cloud)
    few, all_of_few = read_cloud(tmp_path / "scan.xyz", 500, 0)  # repeated
    assert (few[file_parts(all_of_few, few, np.arange(500))] == all_of_few.points).all()


def test_nothing_is_said_of_a_file_whose_order_is_not_known(tmp_path):
    box = trimesh.creation.box()
    trimesh.Scene([box, box.copy().apply_translation((3, 0, 0))]).export(tmp_path / "box.glb")
    points, surface = read_cloud(tmp_path / "box.glb", 20, 0)
    assert file_parts(surface, points, np.arange(20)) is None
    assert file_parts(None, points, np.arange(20)) is None
