"""STL files, in all the ways in which they are written."""

import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.errors import ShapeError
from pointmcd.shapes.mesh import read_mesh
from pointmcd.shapes.stl import parse_stl

CORNERS = np.array([[(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(1, 0, 0), (2, 0, 0), (1, 1, 0)]], "<f4")
NAMES = [
    "",
    " box",
    " vertex_cache",
    " my endsolid box",
    " 3",
    " solid",
    " endloop 1 2",
    " M\xfcller",
]


def binary(corners, head=b"", count=None):
    rows = [bytes(12) + facet.tobytes() + bytes(2) for facet in corners]
    return (
        head.ljust(80) + struct.pack("<I", len(rows) if count is None else count) + b"".join(rows)
    )


def text(corners, name=" box"):
    lines = [f"solid{name}"]
    for facet in np.asarray(corners).tolist():
        lines += ["facet normal 0 0 1", "outer loop"]
        lines += ["vertex " + " ".join(map(repr, corner)) for corner in facet]
        lines += ["endloop", "endfacet"]
    return "\n".join([*lines, f"endsolid{name}", ""])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 9), min_size=1, max_size=4),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 2**32),
)
def test_text_in_any_spelling(solids, seed):
    pick = random.Random(seed).choice
    solids = [np.reshape(solid, (-1, 3, 3)) for solid in solids]
    content = "".join(text(solid, pick(NAMES)) for solid in solids)
    content = content.replace(
        "\nvertex", pick(["\nvertex", "\n\t\tvertex", "\n  vertex\t", "\nVERTEX"])
    )
    content = content.replace(
        "facet normal", pick(["facet normal", "FACET NORMAL", " facet  normal"])
    )
    content = content.replace("normal 0", pick(["normal 0", "normal nan", "normal -1.#IND"]))
    content = content.replace("\nendsolid", pick(["\nendsolid", "\n endsolid", "\nend solid"]))
    content = content.replace("\n", pick(["\n", "\r\n", "\r"])) + pick(["", "\n\n", "\x1a"])
    found = parse_stl(content.encode(pick(["latin-1", "utf-8", "utf-16"])))
    np.testing.assert_array_equal(found.vertices, np.concatenate(solids).reshape(-1, 3))
    assert (found.counts == 3).all()
    assert found.corners.tolist() == list(range(len(found.vertices)))


@pytest.mark.parametrize("head", [b"", b"solid", b"solid endsolid\nfacet vertex 1 2 3\n"])
@pytest.mark.parametrize("behind", [b"", b"\n", bytes(50), bytes(1000), b"made by a program " * 9])
def test_binary_of_any_head_and_with_bytes_behind(head, behind):
    found = parse_stl(binary(CORNERS, head) + behind)
    np.testing.assert_array_equal(found.vertices, CORNERS.reshape(-1, 3))


def test_binary_solids_one_after_another():
    found = parse_stl(binary(CORNERS) + binary(CORNERS + 5, b"solid") + binary(CORNERS[:1]))
    expected = np.concatenate([CORNERS, CORNERS + 5, CORNERS[:1]]).reshape(-1, 3)
    np.testing.assert_array_equal(found.vertices, expected)


def test_binary_whose_count_was_never_written():
    found = parse_stl(binary(CORNERS, count=0))
    np.testing.assert_array_equal(found.vertices, CORNERS.reshape(-1, 3))


def test_a_loop_of_four_corners_is_one_face():
    lines = text(CORNERS).split("\n")
    lines.insert(6, "vertex 0.2 0.2 0")  # a dent
    mesh = read_mesh("\n".join(lines).encode(), "a", "stl", np.array([4, 9], np.int16))
    assert mesh.parts.tolist() == [4, 4, 9]
    assert mesh.double_areas.sum() / 2 == pytest.approx(0.4 + 0.5)


def test_labels_belong_to_the_facets_of_the_file():
    flat = np.repeat(CORNERS[:1, :1], 3, axis=1)
    data = binary(np.concatenate([CORNERS[:1], flat, CORNERS[1:]]))
    mesh = read_mesh(data, "a", "stl", np.array([5, 6, 7], np.int16))
    assert mesh.parts.tolist() == [5, 7]
    with pytest.raises(ShapeError, match=r"^a: 2 part labels for 3 faces"):
        read_mesh(data, "a", "stl", np.array([5, 7], np.int16))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (binary(CORNERS)[:-1], "truncated"),
        (binary(CORNERS, b"solid")[:-1], "truncated"),
        (binary(CORNERS, count=3), "truncated"),
        (binary(CORNERS, count=1), "counts 1 triangles, but more follow"),
        (binary([]), "no faces"),
        (binary(np.full((1, 3, 3), 0x7FA00000, "<u4").view("<f4")), "NaN or infinite"),
        (text(CORNERS)[:-20].encode(), "a solid does not end"),
        (text(CORNERS).replace("endloop", "").replace("endfacet", "").encode(), "facet is cut"),
        (text(CORNERS).replace("vertex 0.0", "vertex").encode(), "facet is cut short"),
        (text(CORNERS).replace("vertex 0.0 0.0 0.0\n", "").encode(), "facet is cut short"),
        (text(CORNERS).replace("1.0", "1,0").encode(), "'1,0' is not a number"),
        (text(CORNERS).replace("vertex 1.0", "vertex -1.#IND").encode(), "NaN or infinite"),
        (b"solid empty\nendsolid empty\n", "no faces"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_refused(data, reason):
    with pytest.raises(ShapeError) as caught:
        read_mesh(data, "dir/a.stl", "stl")
    assert str(caught.value).startswith("dir/a.stl: ")
    assert reason in str(caught.value)
