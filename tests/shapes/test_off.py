"""OFF files, in all the ways in which they are written."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.errors import ShapeError
from pointmcd.shapes.mesh import read_mesh
from pointmcd.shapes.off import parse_off

#: Columns after the position that a header promises.
COLUMNS = {
    "": "",
    "C": " 255 0 0 255",
    "N": " 0 0 1",
    "ST": " .5 .5",
    "CN": " 0 0 1 1 0 0 1",
    "NC": " 0 0 1 1 0 0 1",
    "STCN": " 0 0 1 1 0 0 1 .5 .5",
}
SQUARE = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
FACES = "3 0 1 2\n3 0 2 3\n"


def spelled(vertices, polygons, seed):
    """Write a file as some program or other would."""
    pick = random.Random(seed).choice
    prefix = pick(list(COLUMNS))
    counts = f"{len(vertices)} {len(polygons)} 0"
    rows = [" ".join(map(repr, vertex)) + COLUMNS[prefix] for vertex in vertices]
    faces = [" ".join(map(str, [len(corners), *corners])) for corners in polygons]
    if pick([True, True, False]):  # one vertex or face a line
        counts = pick([counts, counts.removesuffix(" 0"), counts.replace(" ", "\n")])
        colours = ["", "", " 0.5 0.5 0.5", " 255 0 0", " 7", " 1 0 0 1"]
        rows += [face + pick(colours) for face in faces] + pick([[], ["the end"], ["end", "of 9"]])
        body = "".join(pick(["", " ", "\t"]) + row + "\n" for row in rows)
        body = body.replace("\n", pick(["\n", " # 3 0 1 2\n", "\n# a\n", "\n\n"]))
    else:
        body = " ".join(rows + faces).replace(" ", pick([" ", "\n", "\t"]))
    head = prefix + "OFF" + pick(["\n", " ", "", "\n\n", " # a\n"]) + counts + pick(["\n", " \n\n"])
    text = pick(["", "\ufeff", "# by\n"]) + head + body
    return text.replace("\n", pick(["\n", "\r\n", "\r"])).encode(pick(["utf-8", "utf-16"]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=8),
    st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=6), min_size=1, max_size=8),
    st.integers(0, 2**32),
)
def test_any_spelling(vertices, polygons, seed):
    polygons = [[corner % len(vertices) for corner in corners] for corners in polygons]
    found = parse_off(spelled(vertices, polygons, seed))
    np.testing.assert_array_equal(found.vertices, vertices)
    faces = np.split(found.corners, np.cumsum(found.counts)[:-1])
    assert [face.tolist() for face in faces] == polygons


def test_labels_belong_to_the_faces_of_the_file():
    body = "4 0 1 2 3\n2 0 1\n3 0 1 1\n3 0 1 2\n"
    labels = np.array([5, 6, 7, 8], np.int16)
    mesh = read_mesh(f"OFF\n4 4 0\n{SQUARE}{body}".encode(), "a", "off", labels)
    assert mesh.parts.tolist() == [5, 5, 8]
    with pytest.raises(ShapeError, match=r"^a: 3 part labels for 4 faces"):
        read_mesh(f"OFF\n4 4 0\n{SQUARE}{body}".encode(), "a", "off", labels[:3])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"OFF BINARY\n4 2 0\n{SQUARE}{FACES}", "binary OFF is not read"),
        (f"4OFF\n4 2 0\n{SQUARE}{FACES}", "4OFF, with vertices of other than 3 dimensions"),
        (f"nOFF 3\n4 2 0\n{SQUARE}{FACES}", "nOFF, with vertices of other than 3 dimensions"),
        (f"C4nOFF 3\n4 2 0\n{SQUARE}{FACES}", "C4nOFF, with"),
        (f"XOFF\n4 2 0\n{SQUARE}{FACES}", "its header is XOFF"),
        (f"4 2 0\n{SQUARE}{FACES}", "does not begin with OFF"),
        (f"OFF\nfour 2 0\n{SQUARE}{FACES}", "no counts"),
        (f"OFF\n-4 2 0\n{SQUARE}{FACES}", "no counts"),
        (f"OFF\n5 2 0\n{SQUARE}{FACES}", "promises 5 vertices and 2 faces"),
        (f"OFF\n4 3 0\n{SQUARE}{FACES}", "promises 4 vertices and 3 faces"),
        (f"OFF\n4 1 0\n{SQUARE}{FACES}", "promises 4 vertices and 1 faces"),
        (f"OFF\n3 2 0\n{SQUARE}{FACES}", "promises 3 vertices and 2 faces"),
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n3 0 2\n", "promises 4 vertices and 2 faces"),
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n-3 0 2 3\n", "promises 4 vertices and 2 faces"),
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n2.5 0 2 3\n", "not a whole number"),
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n3 0 2 2.5\n", "face index is not a whole number"),
        (f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n3 0 2 4\n", "outside the range"),
        (f"OFF\n4 2 0\n{SQUARE.replace('1 1 0', '1,0 1,0 0')}{FACES}", "'1,0' is not a number"),
        (f"OFF\n4 2 0\n{SQUARE.replace('1 1 0', '1 1 1.#QNAN')}{FACES}", "NaN or infinite"),
        ("OFF\n0 0 0\n", "no faces"),
    ],
)
def test_refused(text, reason):
    with pytest.raises(ShapeError) as caught:
        read_mesh(text.encode(), "dir/a.off", "off")
    assert str(caught.value).startswith("dir/a.off: ")
    assert reason in str(caught.value)


def test_normals_and_colours_may_stand_on_lines_of_their_own():
    vertices = SQUARE.replace("\n", "\n0 0 1\n255 0 0 255\n")
    mesh = read_mesh(f"NCOFF\n4 2 0\n{vertices}{FACES}".encode(), "a", "off")
    assert mesh.double_areas.tolist() == [1, 1]


def test_normals_are_not_dimensions():
    vertices = SQUARE.replace("\n", " 0 0 1\n")
    assert len(read_mesh(f"noff\n4 2 0\n{vertices}{FACES}".encode(), "a", "off").faces) == 2
