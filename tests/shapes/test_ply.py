import io
import struct
import warnings

import meshio
import numpy as np
import plyfile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.recfunctions import repack_fields

from pointmcd.errors import ShapeError
from pointmcd.shapes.cloud_files import parse_rows
from pointmcd.shapes.mesh import read_mesh
from pointmcd.shapes.ply import parse_ply, parse_points
from pointmcd.shapes.polygons import Polygons
from pointmcd.shapes.strips import strip_triangles

XYZ = "property float x\nproperty float y\nproperty float z\n"
LIST = "property list uchar int vertex_indices\n"
SQUARE = ["0 0 0", "2 0 0", "2 1 0", "0 1 0"]
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}


def text(elements, rows, newline="\n"):
    """Return a PLY file of text: elements and properties as its header has them, and its rows."""
    lines = ["ply", "format ascii 1.0", *elements.strip().splitlines(), "end_header", *rows]
    return (newline.join(lines) + newline).encode("latin-1")


def square(faces, header=f"element vertex 4\n{XYZ}element face 2\n{LIST}", **kwargs):
    return text(header, [*SQUARE, *faces], **kwargs)


def area(data, kind="ply"):
    return read_mesh(data, "a", kind).double_areas.sum() / 2


def refused(data, *words):
    with pytest.raises(ShapeError) as caught:
        read_mesh(data, "a.ply", "ply")
    for word in words:
        assert word in str(caught.value)


def test_polygons_keep_the_order_of_the_file_and_labels_follow_their_triangles():
    data = square(
        ["3 0 1 2", "4 0 1 2 3", "3 2 3 0"], f"element vertex 4\n{XYZ}element face 3\n{LIST}"
    )
    found = parse_ply(data)
    assert found.counts.tolist() == [3, 4, 3]
    assert found.corners.tolist() == [0, 1, 2, 0, 1, 2, 3, 2, 3, 0]
    labels = np.asarray([5, 6, 7], dtype=np.int16)
    assert read_mesh(data, "a", "ply", labels).parts.tolist() == [5, 6, 6, 7]
    with pytest.raises(ShapeError, match="2 part labels for 3 faces"):
        read_mesh(data, "a", "ply", labels[:2])


def test_a_concave_polygon_is_not_filled_over_its_dent():
    rows = ["0 0 0", "4 0 0", "4 1 0", "1 1 0", "1 4 0", "0 4 0", "6 0 1 2 3 4 5"]
    data = text(f"element vertex 6\n{XYZ}element face 1\n{LIST}", rows)
    assert area(data) == pytest.approx(7)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("order", list(ORDERS)[1:])
def test_header_lines_end_in_any_way_and_a_body_may_begin_with_a_line_feed(newline, order):
    sign = ORDERS[order]
    lines = [
        "ply",
        f"format {order} 1.0",
        "element vertex 3",
        "property uchar flag",
        *XYZ.split("\n"),
    ]
    lines = [*filter(None, lines), "element face 1", LIST.strip(), "end_header", ""]
    points = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    body = b"".join(struct.pack(f"{sign}B3f", 10, *point) for point in points)
    body += struct.pack(f"{sign}B3i", 3, 0, 1, 2)
    assert area(newline.join(lines).encode() + body) == pytest.approx(0.5)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_rows_may_span_lines_and_share_them(newline):
    header = f"element vertex 4\n{XYZ}property float nx\nelement face 2\n{LIST}"
    rows = ["0 0 0", "9 2 0 0 9", "2 1 0", "9", "0 1 0 9 3", "0 1", "2 3 0 2 3"]
    assert area(text(header, rows, newline)) == pytest.approx(2)


def test_words_of_the_header_may_be_in_capitals_and_comments_anywhere():
    header = (
        "COMMENT made by M\xfcller \x85\nElement Vertex 4\nobj_info end_header is not here\n"
        "Property FLOAT32 X\ncomment\nproperty Double Y\nproperty float Z\n"
        "element Face 2\nproperty list UINT8 uint32 Vertex_Index\ncomment end"
    )
    assert area(square(["3 0 1 2", "3 0 2 3"], header)) == pytest.approx(2)
    data = square(["3 0 1 2", "3 0 2 3"])
    assert area(b"\xef\xbb\xbf" + data.replace(b"end_header", b"END_HEADER  ")) == pytest.approx(2)


@pytest.mark.parametrize(
    "name", ["vertex_indices", "vertex_index", "vertex_indexes", "vertices", "indices", "v"]
)
def test_lists_of_corners_have_many_names(name):
    header = f"element vertex 4\n{XYZ}element face 2\n{LIST}".replace("vertex_indices", name)
    assert area(square(["3 0 1 2", "3 0 2 3"], header)) == pytest.approx(2)


def test_other_lists_are_not_taken_for_corners():
    header = f"element vertex 4\n{XYZ}element face 2\nproperty list uchar int texnumbers\n"
    faces = ["2 1 0 3 0 1 2", "0 3 0 2 3"]
    assert area(square(faces, header + LIST)) == pytest.approx(2)
    refused(square(["3 0 1 2", "3 0 2 3"], header), "vertex_indices", "texnumbers")
    both = header.replace("texnumbers", "a") + LIST.replace("vertex_indices", "b")
    refused(square(faces, both), "vertex_indices", "a, b")


@pytest.mark.parametrize(
    ("header", "word"),
    [
        (f"element vertex 4\n{XYZ}element triangle 2\n{LIST}", "triangle"),
        (f"element vertex 4\n{XYZ}element quads 2\nproperty int a\n", "quads"),
        (f"element vertex 4\n{XYZ}element facet 2\nproperty int a\n", "facet"),
        (f"element vertex 4\n{XYZ}element thing 2\n{LIST}", "thing"),
        (f"element vertex 4\n{XYZ}element my_trifans 2\n{LIST}", "my_trifans"),
    ],
)
def test_faces_of_another_form_are_refused_by_name_and_are_no_cloud(header, word):
    rows = ["3 0 1 2", "3 0 2 3"] if "list" in header else ["0", "1"]
    refused(square(rows, header), word)
    with pytest.raises(ShapeError, match=word):
        parse_rows(square(rows, header), "ply", "a.ply")


def test_faces_of_three_numbers_are_refused_by_the_names_of_their_properties():
    header = (
        f"element vertex 4\n{XYZ}element face 2\nproperty int v1\nproperty int v2\nproperty int v3"
    )
    refused(square(["0 1 2", "0 2 3"], header), "vertex_indices", "v1, v2, v3")


def test_elements_beside_faces_are_passed_over():
    header = (
        f"element material 1\nproperty list uchar int x\nelement vertex 4\n{XYZ}element edge 1\n"
        f"property int vertex1\nproperty int vertex2\nelement face 2\n{LIST}"
        "element group 1\nproperty list int float weights"
    )
    data = text(header, ["2 7 7", *SQUARE, "0 1", "3 0 1 2", "3 0 2 3", "1 0.5"])
    assert area(data) == pytest.approx(2)


def test_a_cloud_has_no_faces():
    header = f"element vertex 4\n{XYZ}element edge 1\nproperty int vertex1\nproperty int vertex2\n"
    header += f"element extrinsic 1\nproperty float a\nelement face 0\n{LIST}"
    data = text(header, [*SQUARE, "0 1", "7"])
    assert parse_points(data).points.tolist() == [[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]]
    refused(data, "no faces")
    assert parse_points(square(["3 0 1 2", "3 0 2 3"])) is None


@pytest.mark.parametrize("last", ["-1", "4294967295"])
def test_strips_restart_and_turn_every_second_triangle(last):
    kind = "int" if last == "-1" else "uint"
    header = f"element vertex 4\n{XYZ}element tristrips 2\nproperty list int {kind} vertex_indices"
    found = parse_ply(text(header, [*SQUARE, f"8 0 1 3 2 {last} 3 2 1", "3 0 1 2"]))
    expected = [[0, 1, 3], [3, 1, 2], [3, 2, 1], [0, 1, 2]]
    # The same triangle may begin at any of its corners.
    turned = [np.roll(one, -one.index(min(one))).tolist() for one in expected]
    faces = found.corners.reshape(-1, 3).tolist()
    assert [np.roll(one, -one.index(min(one))).tolist() for one in faces] == turned
    assert parse_points(text(header, [*SQUARE, "3 0 1 3", "3 0 1 2"])) is None


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-1, 9), max_size=9), max_size=4))
def test_strips_match_a_loop(strips):
    corners = np.asarray([one for strip in strips for one in strip], dtype=np.int64)
    begins = np.asarray([i == 0 for strip in strips for i in range(len(strip))], dtype=bool)
    expected = []
    for strip in strips:
        runs = [run.split() for run in " ".join(map(str, strip)).replace("-1", "|").split("|")]
        for run in runs:
            for i in range(len(run) - 2):
                three = [int(one) for one in run[i : i + 3]]
                expected.append(three if i % 2 == 0 else [three[1], three[0], three[2]])
    assert strip_triangles(corners, begins, corners == -1).tolist() == expected


def test_a_text_that_disagrees_with_its_header_is_refused():
    header = f"element vertex 4\n{XYZ}"
    refused(text(header, [f"{row} 255 0 0" for row in SQUARE]), "12 numbers", "header")
    refused(square(["3 0 1 2 7", "3 0 2 3 7"]), "header")
    refused(square(["3 0 1 2", "2.5 0 2 3"]), "2.5")
    refused(square(["3 0 1 2", "-3 0 2 3"]), "-3")
    refused(square(["3 0 1 2", "3 0 2 1.5"]), "a face index")
    refused(square(["3 0 1 2", "3 0 2 nan"]), "a face index")
    refused(square(["3 0 1 2", "3 0 2 x"]), "'x' is not a number")
    refused(square(["3 0 1 2", "3 0,0 2 3"]), "'0,0' is not a number")


def test_normals_that_are_not_numbers_do_no_harm():
    header = f"element vertex 4\n{XYZ}property float nx\nelement face 2\n{LIST}"
    words = ["nan", "-nan(ind)", "1.#QNAN0", "inf"]
    rows = [f"{row} {word}" for row, word in zip(SQUARE, words, strict=True)]
    assert area(text(header, [*rows, "3 0 1 2", "3 0 2 3", "\x1a"])) == pytest.approx(2)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("float x", "float a", "one x each"),
        ("float y", "float x", "one x each"),
        ("float z", "string z", "string"),
        ("element vertex", "element point", "one element vertex"),
        ("ascii", "text", "format text"),
        ("format ascii 1.0\n", "", "format"),
        ("element vertex 4", "element vertex -4", "element vertex -4"),
        ("element vertex 4", "element vertex 4.0", "4.0"),
        ("element face 2", "elment face 2", "elment face 2"),
        ("end_header", "end", "does not end"),
        ("element face 2\n", "element face 9\n", "9 of face"),
    ],
)
def test_wrong_headers_are_refused_in_their_own_words(old, new, word):
    data = square(["3 0 1 2", "3 0 2 3"]).decode()
    assert old in data
    refused(data.replace(old, new).encode(), word)


def test_an_element_without_properties_takes_no_memory():
    refused(
        text(f"element a 999999999999999999\nelement vertex 1\n{XYZ}", ["0 0 0"]), "a no properties"
    )


@pytest.mark.parametrize("order", ORDERS)
def test_every_cut_is_refused(order):
    whole = _written(
        plyfile.PlyData(
            [
                plyfile.PlyElement.describe(_vertices(np.eye(4, 3)), "vertex"),
                plyfile.PlyElement.describe(_lists([[0, 1, 2, 3], [1, 2, 3]]), "face"),
            ],
            text=order == "ascii",
            byte_order=ORDERS[order],
        )
    )
    assert len(read_mesh(whole, "a", "ply").faces) == 3
    for length in range(len(whole) - (order == "ascii") * 2):
        with pytest.raises(ShapeError):
            read_mesh(whole[:length], "a", "ply")


def _written(content):
    buffer = io.BytesIO()
    content.write(buffer)
    return buffer.getvalue()


def _vertices(points, kind="f4", extra=()):
    names = [(axis, kind) for axis in "xyz"]
    rows = np.zeros(len(points), [*names, *extra])
    for axis, values in zip("xyz", np.asarray(points).T, strict=True):
        rows[axis] = values
    return rows


def _lists(lists, kind="i4"):
    rows = np.empty(len(lists), [("vertex_indices", object)])
    for row, one in zip(rows, lists, strict=True):
        row["vertex_indices"] = np.asarray(one, dtype=kind)
    return rows


coordinates = st.floats(-1e6, 1e6, width=32)
point_lists = st.lists(st.tuples(coordinates, coordinates, coordinates), min_size=1, max_size=8)


@settings(deadline=None)
@given(point_lists, st.data())
def test_agrees_with_plyfile(points, data):
    corner = st.integers(0, len(points) - 1)
    faces = data.draw(st.lists(st.lists(corner, max_size=6), max_size=6))
    extra = data.draw(st.lists(st.sampled_from(["u1", "i2", "f4", "f8"]), max_size=3))
    vertices = _vertices(
        points,
        data.draw(st.sampled_from(["f4", "f8"])),
        [(f"e{i}", kind) for i, kind in enumerate(extra)],
    )
    vertices = repack_fields(vertices[data.draw(st.permutations(vertices.dtype.names))])
    edges = np.zeros(data.draw(st.integers(0, 2)), [("vertex1", "i4"), ("vertex2", "i4")])
    elements = [
        plyfile.PlyElement.describe(vertices, "vertex"),
        plyfile.PlyElement.describe(edges, "edge"),
        plyfile.PlyElement.describe(
            _lists(faces, data.draw(st.sampled_from(["i4", "u4", "u2", "u1"]))),
            "face",
            len_types={"vertex_indices": data.draw(st.sampled_from(["u1", "i4", "u2"]))},
            val_types={"vertex_indices": data.draw(st.sampled_from(["i4", "u4", "u2", "u1"]))},
        ),
    ]
    order = data.draw(st.sampled_from(sorted(ORDERS)))
    elements = data.draw(st.permutations(elements))
    written = _written(plyfile.PlyData(elements, text=order == "ascii", byte_order=ORDERS[order]))
    found = parse_ply(written)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lists without values
        theirs = plyfile.PlyData.read(io.BytesIO(written))
    expected = np.stack([theirs["vertex"][axis] for axis in "xyz"], axis=1)
    np.testing.assert_array_equal(found.vertices, expected)
    lists = [one.tolist() for one in theirs["face"]["vertex_indices"]]
    assert found.counts.tolist() == [len(one) for one in lists]
    assert found.corners.tolist() == [corner for one in lists for corner in one]
    assert (parse_points(written) is None) == bool(faces)


@settings(deadline=None, max_examples=30)
@given(point_lists, st.data(), st.booleans())
def test_agrees_with_meshio(tmp_path_factory, points, data, binary):
    triangle = st.lists(st.integers(0, len(points) - 1), min_size=3, max_size=3)
    quad = st.lists(st.integers(0, len(points) - 1), min_size=4, max_size=4)
    blocks = [("triangle", data.draw(st.lists(triangle, min_size=1, max_size=3)))]
    blocks.append(("quad", data.draw(st.lists(quad, min_size=1, max_size=3))))
    path = tmp_path_factory.mktemp("meshio") / "a.ply"
    mesh = meshio.Mesh(
        np.asarray(points, dtype=np.float64), [(k, np.asarray(b)) for k, b in blocks]
    )
    mesh.write(path, binary=binary)
    found = parse_ply(path.read_bytes())
    np.testing.assert_array_equal(found.vertices, points)
    expected = Polygons(
        found.vertices,
        np.asarray([corner for _, block in blocks for face in block for corner in face]),
        np.asarray([len(face) for _, block in blocks for face in block]),
    )
    assert found.corners.tolist() == expected.corners.tolist()
    assert found.counts.tolist() == expected.counts.tolist()
