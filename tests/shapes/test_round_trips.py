"""What others write is read as it was, and as their own readers read it."""

import io

import meshio
import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trimesh.exchange.export import _mesh_exporters

from pointmcd.shapes.mesh import read_mesh
from pointmcd.shapes.obj import parse_obj
from pointmcd.shapes.off import parse_off
from pointmcd.shapes.stl import parse_stl

PARSERS = {"obj": parse_obj, "off": parse_off, "stl": parse_stl}
WRITTEN = sorted({*_mesh_exporters} & {"glb", "gltf", "obj", "off", "ply", "stl", "stl_ascii"})


def exported(mesh, kind, folder):
    """Write a mesh with trimesh; return the file and its suffix."""
    content = mesh.export(file_type=kind)
    if isinstance(content, dict):  # glTF, of several files
        for name, data in content.items():
            (folder / name).write_bytes(data)
        return folder / "model.gltf", "gltf"
    suffix = "stl" if kind == "stl_ascii" else kind
    return content.encode() if isinstance(content, str) else content, suffix


def part_areas(mesh, count):
    return np.bincount(mesh.parts, mesh.double_areas, count) / 2


def box(mesh):
    used = mesh.vertices[np.unique(mesh.faces)]
    return np.stack([used.min(axis=0), used.max(axis=0)])


@pytest.mark.parametrize("kind", WRITTEN)
def test_every_format_keeps_area_box_and_labels(kind, furniture_root, tmp_path):
    paths = sorted(furniture_root.glob("*/test/*.off"))[::8]
    for path in paths:
        whole = trimesh.load(path, process=False)
        labels = (np.arange(len(whole.faces)) * 7 % 5).astype(np.int16)
        expected = read_mesh(path, path.name, "off", labels)
        data, suffix = exported(whole, kind, tmp_path)
        found = read_mesh(data, kind, suffix, labels)
        size = np.ptp(box(expected))
        np.testing.assert_allclose(box(found), box(expected), atol=1e-5 * size)
        np.testing.assert_allclose(
            part_areas(found, 5), part_areas(expected, 5), rtol=1e-3, atol=1e-6 * size**2
        )


@st.composite
def meshes(draw, sizes=(3,)):
    """Vertices that any writer keeps, and blocks of faces of one size each."""
    number = st.integers(-(2**20), 2**20).map(lambda whole: whole / 1024)
    count = draw(st.integers(4, 12))
    vertices = draw(st.lists(st.tuples(number, number, number), min_size=count, max_size=count))
    blocks = []
    for size in draw(st.lists(st.sampled_from(sizes), min_size=1, max_size=4)):
        face = st.lists(st.integers(0, count - 1), min_size=size, max_size=size, unique=True)
        blocks.append(np.asarray(draw(st.lists(face, min_size=1, max_size=5))))
    return np.asarray(vertices), blocks


def check_faces(found, vertices, blocks):
    """Check that faces stand in the order in which they were written, with their corners."""
    assert found.counts.tolist() == [len(face) for block in blocks for face in block]
    places = np.concatenate([block.ravel() for block in blocks])
    np.testing.assert_array_equal(found.vertices[found.corners], vertices[places])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(meshes(), st.sampled_from(["off", "obj", "stl", "stl_ascii"]))
def test_as_trimesh_writes_and_reads_it(drawn, kind):
    vertices, blocks = drawn
    triangles = np.concatenate(blocks)
    mesh = trimesh.Trimesh(vertices, triangles, process=False)
    data = mesh.export(file_type=kind, **({"digits": 17} if kind in ("off", "obj") else {}))
    data = data.encode() if isinstance(data, str) else data
    suffix = kind.partition("_")[0]
    found = PARSERS[suffix](data)
    check_faces(found, vertices, [triangles])
    theirs = trimesh.load(io.BytesIO(data), file_type=suffix, process=False)
    np.testing.assert_array_equal(
        found.vertices[found.corners], theirs.vertices[theirs.faces].reshape(-1, 3)
    )


MESHIO = {"off": {}, "obj": {}, "stl": {"binary": False}, "stl binary": {"binary": True}}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data(), st.sampled_from(sorted(MESHIO)))
@pytest.mark.filterwarnings("ignore::RuntimeWarning:meshio")
def test_as_meshio_writes_and_reads_it(tmp_path, data, kind):
    vertices, blocks = data.draw(meshes((3, 4) if kind == "obj" else (3,)))
    cells = [({3: "triangle", 4: "quad"}[block.shape[1]], block) for block in blocks]
    path = tmp_path / f"a.{kind.partition(' ')[0]}"
    meshio.write(path, meshio.Mesh(vertices, cells), **MESHIO[kind])
    found = PARSERS[path.suffix[1:]](path.read_bytes())
    check_faces(found, vertices, blocks)
    theirs = meshio.read(path)
    places = np.concatenate([block.data.ravel() for block in theirs.cells])
    assert found.counts.tolist() == [len(face) for block in theirs.cells for face in block.data]
    np.testing.assert_array_equal(found.vertices[found.corners], theirs.points[places])
