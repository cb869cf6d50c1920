import numpy as np
import pytest
from part_layouts import sample

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.shapes.alignment import TOLERANCE, align, project
from pointmcd.shapes.mesh import Mesh

QUARTERS = [np.eye(3), np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])]
QUARTERS += [QUARTERS[1] @ QUARTERS[1], QUARTERS[1].T]


def furniture(label, number=0):
    return load_shape([s for s in list_shapes(furniture10()) if s.label == label][number])


@pytest.mark.parametrize("label", ["bed", "chair", "lamp", "person"])
@pytest.mark.parametrize("turn", range(4))
def test_a_cloud_finds_back_to_its_mesh(label, turn):
    mesh = furniture(label)
    points = sample(mesh, 1500, 0)[0] @ QUARTERS[turn].T * 0.3 + [5, -2, 1]
    aligned, on = align(mesh, points)
    assert on.distance.mean() < 0.0005 * np.ptp(points, axis=0).max()
    # A near symmetric shape may end up turned, but on its own surface.
    wanted = mesh.vertices @ QUARTERS[turn].T * 0.3 + [5, -2, 1]
    size = np.ptp(aligned.vertices, axis=0).max() / np.ptp(wanted, axis=0).max()
    assert size == pytest.approx(1, abs=0.01)


def test_bounding_boxes_alone_would_be_worse():
    mesh = furniture("chair")
    points = sample(mesh, 300, 1)[0]
    aligned, _ = align(mesh, points)
    assert np.abs(aligned.vertices - mesh.vertices).max() < 0.003
    ends = np.ptp(points, axis=0) / np.ptp(mesh.vertices, axis=0)
    assert ends.min() < 0.99


def test_a_cloud_of_another_shape_is_refused():
    points = sample(furniture("lamp"), 1500, 0)[0]
    with pytest.raises(ValueError, match=r"off the mesh by [\d.]+% .* more than 0\.5%"):
        align(furniture("bed"), points)


def test_noise_below_the_tolerance_is_taken():
    mesh = furniture("sofa")
    points = sample(mesh, 1500, 0)[0]
    noise = np.random.default_rng(0).normal(0, 0.3 * TOLERANCE, points.shape)
    aligned, _ = align(mesh, points + noise)
    assert np.abs(aligned.vertices - mesh.vertices).max() < 0.01


def test_project_is_the_nearest_place_on_a_plate():
    plate = Mesh(
        np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]])
    )
    points = np.array([[0.5, 0.25, 0.3], [0.2, 0.9, -0.1], [2.0, 0.5, 0.0], [-1.0, -1.0, 0.0]])
    on = project(points, plate)
    places = [[0.5, 0.25, 0], [0.2, 0.9, 0], [1, 0.5, 0], [0, 0, 0]]
    np.testing.assert_allclose(on.points, places, atol=1e-12)
    np.testing.assert_allclose(on.distance, [0.3, 0.1, 1, np.sqrt(2)])
    assert on.face[:3].tolist() == [0, 1, 0]


def test_project_agrees_with_trying_every_triangle():
    from trimesh.triangles import closest_point

    mesh = furniture("table")
    points = sample(mesh, 40, 0)[0] + np.random.default_rng(0).normal(0, 0.02, (40, 3))
    corners = mesh.vertices[mesh.faces]
    nearest = [
        np.linalg.norm(closest_point(corners, np.tile(p, (len(corners), 1))) - p, axis=1).min()
        for p in points
    ]
    assert np.abs(project(points, mesh).distance - nearest).max() < 0.005
    assert np.median(np.abs(project(points, mesh).distance - nearest)) < 1e-9
