import base64
import json
import logging
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trimesh.exchange import dae, threemf
from trimesh.exchange.load import mesh_loaders

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.errors import ShapeError
from pointmcd.shapes.formats import mesh_suffixes
from pointmcd.shapes.mesh import Mesh, normalise, read_mesh

TEXT_TYPES = ["off", "obj", "ply"]
TYPES = [*TEXT_TYPES, "stl"]
CORNERS = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
TETRAHEDRON = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(range(256)) * 4


def refused(data, file_type, *words):
    """Check that reading fails with one clear line that begins with the name."""
    with pytest.raises(ShapeError) as caught:
        read_mesh(data, "dir/shape", file_type)
    text = str(caught.value)
    assert text.startswith("dir/shape: ")
    assert "\n" not in text
    assert any(word in text for word in words), text


@pytest.mark.parametrize("file_type", TYPES)
def test_reads_every_common_type(encode_mesh, file_type):
    mesh = read_mesh(encode_mesh(CORNERS, TETRAHEDRON, file_type), "a", file_type)
    assert mesh.vertices.dtype == np.float64
    assert mesh.faces.dtype == np.int64
    assert mesh.faces.shape == (4, 3)
    found = {tuple(corner) for corner in mesh.vertices[mesh.faces].reshape(-1, 3)}
    assert found == set(CORNERS)


def test_reads_a_path_and_any_spelling_of_the_type(encode_mesh, tmp_path):
    path = tmp_path / "a.OFF"
    path.write_bytes(encode_mesh(CORNERS, TETRAHEDRON, "off"))
    assert len(read_mesh(path, "a", ".OFF").faces) == 4


def test_absent_file(tmp_path):
    refused(tmp_path / "absent.off", "off", "No such file")


def test_scene_is_joined_with_its_transforms():
    box = trimesh.creation.box()
    scene = trimesh.Scene()
    scene.add_geometry(box)
    scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([5, 0, 0]))
    mesh = read_mesh(scene.export(file_type="glb"), "scene", "glb")
    assert len(mesh.faces) == 24
    assert np.ptp(mesh.vertices[:, 0]) == pytest.approx(6)


def test_labels_for_a_scene_of_several_meshes_are_refused():
    scene = trimesh.Scene([trimesh.creation.box(), trimesh.creation.icosphere(0)])
    labels = np.zeros(32, np.int16)
    with pytest.raises(ShapeError, match=r"^a: .*part labels for a file of 2 meshes"):
        read_mesh(scene.export(file_type="glb"), "a", "glb", labels)
    one = trimesh.Scene(trimesh.creation.box()).export(file_type="glb")
    assert read_mesh(one, "a", "glb", labels[:12]).parts.tolist() == [0] * 12


def test_quads_and_polygons_become_triangles():
    off = b"OFF\n5 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n0.5 2 0\n4 0 1 2 3\n3 3 2 4\n"
    assert len(read_mesh(off, "a", "off").faces) == 3
    obj = b"v 0 0 0\nv 2 0 0\nv 3 1 0\nv 1 2 0\nv 0 1 0\nf 1 2 3 4 5\nf 1 2 3\n"
    assert len(read_mesh(obj, "a", "obj").faces) == 4


def test_binary_ply():
    data = trimesh.creation.icosphere(1).export(file_type="ply", encoding="binary")
    assert len(read_mesh(data, "a", "ply").faces) == 80
    refused(data[:-20], "ply", "truncated")


# The header of ModelNet's files, as trimesh and as other programs write it.
@pytest.mark.parametrize(
    "header",
    [
        "OFF4 4 0\n",
        "OFF 4 4 0\n",
        "OFF\n4 4\n",
        "off\n4 4 0\n",
        "Off4 4 0\n",
        "# hi\nOFF # x\n\n4 4 0\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_off_headers(encode_mesh, header, newline):
    text = encode_mesh(CORNERS, TETRAHEDRON, "off").decode().replace("OFF\n4 4 0\n", header)
    data = text.replace("\n", newline).encode()
    assert len(read_mesh(data, "a", "off").faces) == 4


def test_modelnet_one_line_header_of_real_size():
    sphere = trimesh.creation.icosphere(3)
    body = sphere.export(file_type="off").split("\n", 2)[2]
    data = f"OFF{len(sphere.vertices)} {len(sphere.faces)} 0\n{body}".encode()
    assert len(read_mesh(data, "a", "off").faces) == 1280


def test_off_with_colours_and_normals():
    data = b"CNOFF\n3 1 0\n" + b"".join(
        b"%d %d 0 0 0 1 255 0 0 255\n" % xy for xy in [(0, 0), (1, 0), (0, 1)]
    )
    assert len(read_mesh(data + b"3 0 1 2 0.5 0.5 0.5\n", "a", "off").faces) == 1


@pytest.mark.parametrize("file_type", sorted(mesh_suffixes()))
@pytest.mark.parametrize("data", [b"", b" \n\n"])
def test_empty_file(file_type, data):
    refused(data, file_type, "empty")


@pytest.mark.parametrize("file_type", TYPES)
def test_no_faces(encode_mesh, file_type):
    refused(encode_mesh(CORNERS, [], file_type), file_type, "no faces")
    refused(encode_mesh([], [], file_type), file_type, "no faces", "empty")


@pytest.mark.parametrize("file_type", TYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vertex_not_finite(encode_mesh, file_type, bad):
    vertices = [(0, 0, bad), *CORNERS[1:]]
    refused(encode_mesh(vertices, TETRAHEDRON, file_type), file_type, "NaN or infinite")


@pytest.mark.parametrize("file_type", TEXT_TYPES)
@pytest.mark.parametrize("index", [4, 99, 10**12, -50])
def test_face_index_out_of_range(encode_mesh, file_type, index):
    faces = [*TETRAHEDRON, (0, 1, index)]
    refused(encode_mesh(CORNERS, faces, file_type), file_type, "index", "range", "bounds")


@pytest.mark.parametrize("file_type", ["off", "ply"])
def test_negative_face_index(encode_mesh, file_type):
    refused(encode_mesh(CORNERS, [(0, 1, -1)], file_type), file_type, "range")


def test_zero_and_relative_indices_of_obj():
    vertices = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
    assert len(read_mesh(vertices + b"f -3 -2 -1\n", "a", "obj").faces) == 1


@pytest.mark.parametrize("file_type", TYPES)
@pytest.mark.parametrize(
    "vertices",
    [
        [(0.1, 0.1, 0.1), (0.2, 0.2, 0.2), (0.3, 0.3, 0.3)],
        [(7, 7, 7), (7, 7, 7), (7, 7, 7)],
        [(0, 0, 0), (0, 0, 0), (0, 0, 0)],
        [(0, 0, 0), (1, 0, 0), (1, 0, 0)],
    ],
)
def test_all_faces_degenerate(encode_mesh, file_type, vertices):
    if file_type == "stl":
        vertices = np.round(np.asarray(vertices) * 8) / 8
    refused(encode_mesh(vertices, [(0, 1, 2)], file_type), file_type, "degenerate")
    refused(encode_mesh(vertices, [(0, 1, 1)], file_type), file_type, "degenerate")


@pytest.mark.parametrize("file_type", TYPES)
def test_degenerate_faces_are_dropped(encode_mesh, file_type):
    faces = [(0, 1, 1), *TETRAHEDRON, (2, 2, 2)]
    assert len(read_mesh(encode_mesh(CORNERS, faces, file_type), "a", file_type).faces) == 4


@pytest.mark.parametrize("file_type", ["off", "ply", "stl"])
def test_truncated_anywhere(encode_mesh, file_type):
    data = encode_mesh(CORNERS, TETRAHEDRON, file_type)
    # Up to the last whole line's last number: beyond it nothing is missing.
    for length in range(len(data) - 2 if file_type != "stl" else len(data)):
        with pytest.raises(ShapeError):
            read_mesh(data[:length], "cut", file_type)


def test_truncated_obj_and_ascii_stl(encode_mesh):
    data = encode_mesh(CORNERS, TETRAHEDRON, "obj")
    refused(data[: data.index(b"f ")], "obj", "no faces")
    sphere = trimesh.creation.icosphere(0).export(file_type="stl_ascii").encode()
    refused(sphere[: len(sphere) // 2], "stl", "truncated")


def test_truncated_second_solid_of_text_stl():
    one = trimesh.creation.icosphere(0).export(file_type="stl_ascii").encode()
    assert len(read_mesh(one + b"\n" + one, "a", "stl").faces) == 40
    refused(one + b"\n" + one[:500], "stl", "truncated")


@pytest.mark.parametrize("file_type", TEXT_TYPES)
def test_comments_in_an_old_encoding(encode_mesh, file_type):
    data = encode_mesh(CORNERS, TETRAHEDRON, file_type)
    word = "comment" if file_type == "ply" else "#"
    lines = data.splitlines(keepends=True)
    lines.insert(2, f"{word} gez\xe4hlt von M\xfcller\n".encode("latin-1"))
    assert len(read_mesh(b"".join(lines), "a", file_type).faces) == 4


def test_truncated_glb():
    data = trimesh.Scene(trimesh.creation.box()).export(file_type="glb")
    for length in range(1, len(data), 97):
        with pytest.raises(ShapeError):
            read_mesh(data[:length], "cut", "glb")


@pytest.mark.parametrize("file_type", sorted(mesh_suffixes()))
@pytest.mark.parametrize(
    "data",
    [
        PNG,
        b"Dear reader,\nthis is text about an OFFICE.\n",
        b"\x00" * 500,
        b"PK\x03\x04" + PNG,
        b"{}",
    ],
    ids=["png", "text", "zeros", "zip", "json"],
)
def test_file_of_another_type(file_type, data):
    refused(data, file_type, "not ", "no faces", "cannot be read", "does not")


def test_types_under_each_others_names(encode_mesh):
    for written in TYPES:
        for named in TYPES:
            if written != named:
                with pytest.raises(ShapeError):
                    read_mesh(encode_mesh(CORNERS, TETRAHEDRON, written), "a", named)


def test_unknown_type(encode_mesh):
    refused(encode_mesh(CORNERS, TETRAHEDRON, "off"), "jpg", "jpg")


@pytest.mark.parametrize("file_type", TYPES)
def test_one_triangle(encode_mesh, file_type):
    mesh = normalise(read_mesh(encode_mesh(CORNERS, [(0, 1, 2)], file_type), "a", file_type))
    assert mesh.vertices.shape == (3, 3)
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1)


@pytest.mark.parametrize("file_type", TEXT_TYPES)
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_extreme_coordinates(encode_mesh, file_type, scale):
    data = encode_mesh(np.asarray(CORNERS) * scale, TETRAHEDRON, file_type)
    plain = encode_mesh(CORNERS, TETRAHEDRON, file_type)
    expected = normalise(read_mesh(plain, "a", file_type))
    np.testing.assert_allclose(
        normalise(read_mesh(data, "a", file_type)).vertices, expected.vertices, atol=1e-12
    )


def test_extreme_coordinates_of_both_signs(encode_mesh):
    vertices = np.asarray([(-1, -1, 0), (1, -1, 0), (0, 1, 0)]) * 1.7e308
    mesh = normalise(read_mesh(encode_mesh(vertices, [(0, 1, 2)], "off"), "a", "off"))
    assert np.isfinite(mesh.vertices).all()


@pytest.mark.parametrize(
    ("data", "file_type"),
    [
        (b"OFF\n4000000000 4000000000 0\n0 0 0\n", "off"),
        (b"OFF\n" + b"9" * 40 + b" 1 0\n0 0 0\n", "off"),
        (
            b"ply\nformat ascii 1.0\nelement vertex 4000000000\nproperty float x\nend_header\n0\n",
            "ply",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 4000000000\n"
            b"property float x\nproperty float y\nproperty float z\nend_header\n" + bytes(12),
            "ply",
        ),
        (bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50), "stl"),
        (
            json.dumps(
                {
                    "asset": {"version": "2.0"},
                    "bufferViews": [],
                    "accessors": [{"count": 10**12, "componentType": 5126, "type": "VEC3"}],
                    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
                    "nodes": [{"mesh": 0}],
                    "scenes": [{"nodes": [0]}],
                }
            ).encode(),
            "gltf",
        ),
    ],
)
def test_header_that_promises_billions(data, file_type):
    refused(data, file_type, "promises", "no faces", "length", "finite", "no data")


def test_gltf_with_a_file_beside_it(tmp_path):
    files = trimesh.Scene(trimesh.creation.box()).export(file_type="gltf")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert len(read_mesh(tmp_path / "model.gltf", "a", "gltf").faces) == 12
    refused(files["model.gltf"], "gltf", "another file")


@pytest.fixture
def with_3mf(monkeypatch):
    """Have trimesh read 3MF, as it does where its packages are installed."""
    monkeypatch.setitem(mesh_loaders, "3mf", threemf.load_3MF)


def test_scenes_by_way_of_trimesh_are_joined_and_take_no_labels(with_3mf, monkeypatch):
    scene = trimesh.Scene(trimesh.creation.box())
    moved = trimesh.transformations.translation_matrix([5, 0, 0])
    scene.add_geometry(trimesh.creation.box(), transform=moved)
    monkeypatch.setattr(trimesh, "load_scene", lambda *args, **kwargs: scene)
    mesh = read_mesh(b"x", "a", "3mf")
    assert len(mesh.faces) == 24
    assert np.ptp(mesh.vertices[:, 0]) == pytest.approx(6)
    with pytest.raises(ShapeError, match=r"^a: cannot be read as 3mf: part labels need a file of"):
        read_mesh(b"x", "a", "3mf", np.zeros(24, np.int16))


def test_trimesh_failures_of_any_kind_are_shape_errors(with_3mf, monkeypatch):
    for error in (MemoryError(), RecursionError("deep\nvery"), KeyError("x")):

        def fail(*args, _error=error, **kwargs):
            raise _error

        monkeypatch.setattr(trimesh, "load_scene", fail)
        refused(b"x", "3mf", "damaged", "more memory", "something is missing")


def test_nothing_is_logged_or_warned(encode_mesh, caplog, recwarn):
    stl = trimesh.creation.box().export(file_type="stl_ascii").replace("normal 0", "normal x")
    with caplog.at_level(logging.DEBUG):
        read_mesh(encode_mesh(CORNERS, TETRAHEDRON, "obj") + b"mtllib absent.mtl\n", "a", "obj")
        read_mesh(stl.encode(), "a", "stl")
    assert not caplog.records
    assert not recwarn.list
    assert logging.getLogger("trimesh").propagate


def test_normalise_drops_unused_vertices_however_far():
    vertices = np.asarray([*CORNERS, (1e200, 0, 0)], dtype=np.float64)
    mesh = normalise(Mesh(vertices, np.asarray(TETRAHEDRON)))
    assert mesh.vertices.shape == (4, 3)


def centroid(mesh):
    areas = mesh.double_areas
    return areas @ mesh.vertices[mesh.faces].mean(axis=1) / areas.sum()


def soup(draw_seed):
    random = np.random.default_rng(draw_seed)
    vertices = random.normal(size=(random.integers(4, 30), 3)) * random.uniform(0.01, 1, 3)
    faces = random.permuted(np.tile(np.arange(len(vertices)), (20, 1)), axis=1)[:, :3]
    return Mesh(vertices, faces.astype(np.int64))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_normalised_centroid_and_radius(seed):
    mesh = normalise(soup(seed))
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(centroid(mesh), 0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(-290, 290), st.floats(-100, 100))
def test_normalise_forgets_scale_and_shift(seed, exponent, shift):
    plain = soup(seed)
    moved = Mesh((plain.vertices + shift) * 10.0**exponent, plain.faces)
    np.testing.assert_allclose(normalise(moved).vertices, normalise(plain).vertices, atol=1e-9)


def test_embedded_shapes_all_fit_the_unit_sphere(furniture_root):
    for source in list_shapes(furniture_root)[::25]:
        mesh = load_shape(source)
        assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1)
        np.testing.assert_allclose(centroid(mesh), 0, atol=1e-12)


def test_suffixes():
    assert {"off", "obj", "ply", "stl", "glb", "gltf"} <= mesh_suffixes()
    assert not {"xyz", "zip", "dxf", "png"} & mesh_suffixes()
    # By way of meshio, which the tests install, trimesh would leave out all cells but triangles.
    assert not {"vtk", "msh", "xml", "dat"} & mesh_suffixes()
    refused(b"# vtk DataFile Version 3.0\n", "vtk", "no mesh of this type")


def test_polygons_of_collada_would_be_filled_over_their_dents(with_3mf, monkeypatch):
    monkeypatch.setitem(mesh_loaders, "dae", dae.load_collada)
    assert "3mf" in mesh_suffixes()
    assert "dae" not in mesh_suffixes()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from([*TYPES, "glb"]),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_damaged_bytes_load_or_are_refused(encode_mesh, file_type, damage):
    if file_type == "glb":
        data = bytearray(trimesh.Scene(trimesh.creation.box()).export(file_type="glb"))
    else:
        data = bytearray(encode_mesh(CORNERS, TETRAHEDRON, file_type))
    for place, blob in damage:
        at = int(place * len(data))
        data[at : at + len(blob)] = blob
    fault = ""
    try:
        mesh = normalise(read_mesh(bytes(data), "damaged", file_type))
    except ShapeError as error:
        fault = str(error)
    assert "\n" not in fault
    assert fault.startswith("damaged: ") or np.isfinite(mesh.vertices).all()


def gltf(nodes):
    """Text glTF with one embedded triangle, placed by the given nodes."""
    blob = np.asarray(CORNERS[:3], dtype="<f4").tobytes()
    uri = "data:application/octet-stream;base64," + base64.b64encode(blob).decode()
    content = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": 36, "uri": uri}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [{"bufferView": 0, "count": 3, "componentType": 5126, "type": "VEC3"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": nodes,
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    return json.dumps(content).encode()


def test_gltf_that_places_one_mesh_too_often(monkeypatch):
    nodes = [{"children": [1, 2, 3]}, *({"mesh": 0, "translation": [i, 0, 0]} for i in range(3))]
    assert len(read_mesh(gltf(nodes), "a", "gltf").faces) == 3
    monkeypatch.setattr("pointmcd.shapes.polygons.MAX_TRIANGLES", 2)
    refused(gltf(nodes), "gltf", "3 triangles")


def test_gltf_whose_nodes_form_a_circle():
    nodes = [{"children": [1]}, {"children": [0], "mesh": 0}]
    refused(gltf(nodes), "gltf", "limit", "cannot be read")
