"""Normals and colours of points: read from every kind of file, sampled, packed and turned."""

from functools import partial
from io import BytesIO

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from pointmcd.errors import ConfigError, FormatError, ShapeError
from pointmcd.shapes.cloud_files import parse_cloud, parse_rows, ply_points
from pointmcd.shapes.clouds import read_points
from pointmcd.shapes.deformation import deform
from pointmcd.shapes.features import COLOURS, KINDS, NORMALS, chosen_names, turned
from pointmcd.shapes.mesh import normalise, read_mesh
from pointmcd.shapes.sampling import sample_surface, surface_features

BOTH = ("normals", "colours")
POINTS = np.random.default_rng(1).normal(size=(40, 3))
SPHERE = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
BYTES = np.random.default_rng(2).integers(0, 256, (40, 3), dtype=np.uint8)
BYTES[0] = 255


def text(header, *columns):
    table = np.column_stack(columns).tolist()
    rows = [" ".join(f"{x:.9g}" for x in row) for row in table]
    return "\n".join(filter(None, [header, *rows])).encode()


def ply_cloud():
    names = [*"xyz", "nx", "ny", "nz", "red", "green", "blue"]
    kinds = np.dtype([(n, "u1" if len(n) > 2 else "<f4") for n in names])
    rows = np.zeros(len(POINTS), kinds)
    for name, column in zip(names, np.column_stack([POINTS, SPHERE, BYTES]).T, strict=True):
        rows[name] = column
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(POINTS)}"]
    lines += [f"property {'uchar' if len(n) > 2 else 'float'} {n}" for n in names]
    return "\n".join([*lines, "end_header\n"]).encode() + rows.tobytes()


def pcd_cloud(kind, number):
    packed = np.array([int.from_bytes(bytes([0, *row]), "big") for row in BYTES], "<u4")
    layout = np.dtype([("n", "<f4", 3), ("rgb", number), ("xyz", "<f4", 3)])
    rows = np.zeros(len(POINTS), layout)
    rows["n"], rows["xyz"] = SPHERE, POINTS
    rows["rgb"] = packed.view(number)
    letter = "F" if number == "<f4" else "U"
    header = (
        "VERSION 0.7\nFIELDS normal_x normal_y normal_z rgb x y z\nSIZE 4 4 4 4 4 4 4\n"
        f"TYPE F F F {letter} F F F\nCOUNT 1 1 1 1 1 1 1\nWIDTH 40\nHEIGHT 1\nPOINTS 40\n"
    )
    body = rows.tobytes()
    if kind == "ascii":
        numbers = [[*row["n"], row["rgb"], *row["xyz"]] for row in rows]
        body = "\n".join(" ".join(repr(x.item()) for x in row) for row in numbers).encode()
    return f"{header}DATA {kind}\n".encode() + body


def npy(array):
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def records():
    kinds = [(n, "f4") for n in ("x", "y", "z", "nx", "ny", "nz")]
    rows = np.zeros(40, [*kinds, *((n, "u1") for n in ("red", "green", "blue"))])
    for name, column in zip(
        rows.dtype.names, np.column_stack([POINTS, SPHERE, BYTES]).T, strict=True
    ):
        rows[name] = column
    return rows


CLOUDS = {
    "named": ("txt", text("//X Y Z R G B Nx Ny Nz", POINTS, BYTES, SPHERE)),
    "by place": ("xyz", text("", POINTS, SPHERE, BYTES)),
    "colours first": ("pts", text("", POINTS, BYTES, SPHERE)),
    "shares": ("csv", text("x y z red green blue nx ny nz", POINTS, BYTES / 255, SPHERE)),
    "ply": ("ply", ply_cloud()),
    "pcd float": ("pcd", pcd_cloud("binary", "<f4")),
    "pcd whole": ("pcd", pcd_cloud("binary", "<u4")),
    "pcd text": ("pcd", pcd_cloud("ascii", "<u4")),
    "array": ("npy", npy(np.column_stack([POINTS, SPHERE, BYTES]))),
    "records": ("npy", npy(records())),
    "16 bits": ("txt", text("x y z nx ny nz r g b", POINTS, SPHERE, BYTES.astype(int) * 257)),
}


@pytest.mark.parametrize("kind", CLOUDS)
def test_clouds(kind):
    suffix, data = CLOUDS[kind]
    found = parse_rows(data, suffix, "a", features=BOTH)
    np.testing.assert_allclose(found.points, POINTS, atol=1e-5)
    np.testing.assert_allclose(found.features["normals"], SPHERE, atol=1e-5)
    np.testing.assert_allclose(found.features["colours"], BYTES / 255, atol=1e-4)
    assert all(values.dtype == np.float32 for values in found.features.values())
    assert dict(parse_rows(data, suffix, "a").features) == {}  # nobody asked


def test_las_files_have_colours():
    laspy = pytest.importorskip("laspy")
    las = laspy.LasData(laspy.LasHeader(version="1.2", point_format=2))
    las.xyz = POINTS
    las.red, las.green, las.blue = (BYTES.astype(np.uint16) * 257).T
    file = BytesIO()
    las.write(file)
    found = parse_rows(file.getvalue(), "las", "a", features=BOTH)
    assert [*found.features] == ["colours"]
    np.testing.assert_allclose(found.features["colours"], BYTES / 255, atol=1e-6)


@pytest.mark.parametrize(
    "columns", [(POINTS,), (POINTS, POINTS), (POINTS, BYTES[:, :1]), (POINTS, BYTES / 255)]
)
def test_nothing_is_taken_for_features_that_may_be_others(columns):
    found = parse_rows(text("", *columns), "xyz", "a", features=BOTH)
    assert dict(found.features) == {}


def test_points_that_are_gaps_take_their_features_along(tmp_path):
    data = pcd_cloud("binary", "<u4")
    start = data.index(b"DATA binary\n") + len("DATA binary\n")
    rows = bytearray(data[start:])
    rows[28 * 3 + 16 : 28 * 3 + 20] = np.float32(np.nan).tobytes()
    found = parse_rows(data[:start] + bytes(rows), "pcd", "a", features=BOTH)
    np.testing.assert_allclose(found.features["normals"], np.delete(SPHERE, 3, 0), atol=1e-5)


@pytest.mark.parametrize("value", [-1.0, np.nan, 70000.0])
def test_colours_that_are_none(value):
    colours = BYTES.astype(float)
    colours[3, 1] = value
    with pytest.raises(FormatError, match="a colour is"):
        COLOURS.read(colours)


def test_normals_of_any_length_or_none():
    given = np.array([[0, 0, 5.0], [0, 0, 0], [np.nan, 1, 0], [1e-3, 0, 0]])
    assert NORMALS.read(given).tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_what_is_stored_is_near():
    normals = NORMALS.unpack(NORMALS.pack(SPHERE.astype(np.float32)))
    angle = np.degrees(np.arccos((normals * SPHERE).sum(axis=1).clip(-1, 1)))
    assert angle.max() < 0.5
    assert NORMALS.unpack(np.zeros((1, 3), np.int8)).tolist() == [[0, 0, 0]]
    np.testing.assert_array_equal(COLOURS.pack(COLOURS.unpack(BYTES)), BYTES)
    assert all(kind.pack(np.zeros((1, 3), np.float32)).itemsize == 1 for kind in KINDS)


def test_names():
    assert chosen_names(["colours,normals", "normals"]) == BOTH
    assert chosen_names([]) == ()
    with pytest.raises(ConfigError, match="--features height: use normals or colours, or both"):
        chosen_names(["height"])


def coloured_square(kind):
    """A square whose left corners are black and right ones red; in PLY also by face."""
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    faces, red = [[0, 1, 2], [0, 2, 3]], square[:, :1] * [[255, 0, 0]]
    if kind == "obj":
        rows = [
            f"v {x} {y} {z} {r / 255} 0 0" for (x, y, z), (r, *_) in zip(square, red, strict=True)
        ]
        return "obj", "\n".join([*rows, *(f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces)])
    if kind in ("coff", "cnoff"):
        between = "0 0 1 " if kind == "cnoff" else ""
        rows = [
            f"{x} {y} {z} {between}{r} 0 0 255"
            for (x, y, z), (r, *_) in zip(square, red, strict=True)
        ]
        head = [kind.upper(), "4 2 0"]
        return "off", "\n".join([*head, *rows, *(f"3 {a} {b} {c}" for a, b, c in faces)])
    mesh = trimesh.Trimesh(square, faces, process=False)
    if kind == "ply":
        mesh.visual.vertex_colors = np.column_stack([red, np.full(4, 255)]).astype(np.uint8)
    else:
        mesh.visual.face_colors = np.array([[255, 0, 0, 255], [0, 0, 255, 255]], np.uint8)
    return "ply", mesh.export(file_type="ply")


@pytest.mark.parametrize("kind", ["ply", "obj", "coff", "cnoff", "faces"])
def test_colours_of_a_mesh_follow_its_surface(kind, tmp_path):
    suffix, data = coloured_square(kind)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    mesh = normalise(read_mesh(path, "a", suffix))
    points, face = sample_surface(mesh, 64, 0)
    features = surface_features(mesh, points, face)
    assert features["normals"].tolist() == [[0, 0, 1]] * 64
    left, right = mesh.vertices[:, 0].min(), mesh.vertices[:, 0].max()
    share = (points[:, 0] - left) / (right - left)
    red = (face == 0) if kind == "faces" else share
    np.testing.assert_allclose(features["colours"][:, 0], red, atol=1e-5)
    whole = read_points(path, 64, 0, features=("colours", "normals"))
    np.testing.assert_array_equal(whole, np.column_stack([points, *features.values()]))


def test_what_a_file_lacks_is_one_line(tmp_path, encode_mesh):
    (tmp_path / "a.xyz").write_bytes(text("", POINTS))
    with pytest.raises(ShapeError, match=r"a\.xyz: has no normals; a mesh, or a file with nx, ny"):
        read_points(tmp_path / "a.xyz", 8, 0, features=("normals",))
    (tmp_path / "b.off").write_bytes(
        encode_mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], "off")
    )
    with pytest.raises(ShapeError, match=r"b\.off: has no colours; a file with red, green, blue"):
        read_points(tmp_path / "b.off", 8, 0, features=BOTH)


@given(st.integers(0, 50), st.floats(0.3, 3), st.floats(0.3, 3), st.floats(-1, 1))
def test_turned_by_a_linear_map_is_the_inverse_transpose(seed, wide, high, slant):
    matrix = np.array([[wide, slant, 0], [0, high, 0], [0.2, 0, 1]])
    found = turned(SPHERE.astype(np.float32), POINTS, lambda p: p @ matrix.T)
    wanted = SPHERE @ np.linalg.inv(matrix)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_normals_of_a_deformed_sphere_are_square_to_it(seed):
    sphere = trimesh.creation.icosphere(4)
    moved = trimesh.Trimesh(deform(sphere.vertices, seed), sphere.faces, process=False)
    found = turned(sphere.vertices.astype(np.float32), sphere.vertices, partial(deform, seed=seed))
    assert (found * moved.vertex_normals).sum(axis=1).min() > 0.995
    assert turned(np.zeros((3, 3), np.float32), POINTS[:3], partial(deform, seed=seed)).any() == 0


def test_positions_alone():
    data = b"1 2 3\n4 5 6\n"
    np.testing.assert_array_equal(parse_cloud(data, "xyz", "a"), [[1, 2, 3], [4, 5, 6]])
    head = b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
    assert ply_points(head + b"property float z\nend_header\n1 2 3\n", "a").tolist() == [[1, 2, 3]]
    faces = head + b"property float z\nelement face 1\nproperty list uchar int vertex_indices\n"
    assert ply_points(faces + b"end_header\n1 2 3\n3 0 0 0\n", "a") is None
