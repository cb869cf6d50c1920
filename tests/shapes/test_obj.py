"""OBJ files, in all the ways in which they are written."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.errors import FormatError, ShapeError
from pointmcd.shapes.mesh import normalise, read_mesh
from pointmcd.shapes.obj import parse_obj

SQUARE = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def faces(data):
    """Faces of a file as lists of corners."""
    found = parse_obj(data)
    return [part.tolist() for part in np.split(found.corners, np.cumsum(found.counts)[:-1])]


class Spelling:
    """Writes vertices and faces as some program or other would."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.newline = self.chance.choice(["\n", "\r\n", "\r"])
        self.form = self.chance.choice(["{}", "{}/1", "{}//1", "{}/1/1", "{}/", "{}/-1/-1"])
        self.columns = self.chance.choice(["", " 1.0", " 0.5 0.25 1", " 1 .5 .5 .5"])
        self.negative = self.chance.choice([0, 0.5, 1])

    def line(self, keyword, words):
        pick = self.chance.choice
        text = pick(["", "", " ", "\t"]) + keyword
        for word in words:
            text += pick([" ", " ", " ", "\t", "  ", f" \\{self.newline}", f"\\{self.newline}\t"])
            text += word
        return text + pick(["", "", " ", "\t", " # f 1 1 1", "#v 9 9 9"]) + self.newline

    def beside(self):
        pick = ["", "", "vn 0 0 1", "vt .5 .5", "g a b", "g", "usemtl red # 1", "o v 1", "s off"]
        pick += ["l 1 1", "p 1", "# C:\\a\\", "usemtl C:\\a\\", "mtllib f 1.mtl", "vp 1 2", ""]
        return self.chance.choice(pick) + self.newline

    def index(self, corner, before):
        number = corner + 1
        if corner < before and self.chance.random() < self.negative:
            number = corner - before
        return self.form.format(number)

    def file(self, vertices, polygons):
        """Write each face at a random place, most of them behind their vertices."""
        text, before, left = self.chance.choice(["", "\ufeff"]), 0, list(polygons)
        for vertex in vertices:
            text += self.line("v", [repr(x) for x in vertex] + self.columns.split()) + self.beside()
            before += 1
            while left and max(left[0]) < before and self.chance.random() < 0.5:
                text += self.face(left.pop(0), before)
        text += "".join(self.face(corners, before) for corners in left)
        return text.encode(self.chance.choice(["utf-8", "utf-8", "utf-16"]))

    def face(self, corners, before):
        return self.line("f", [self.index(corner, before) for corner in corners]) + self.beside()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3), min_size=1, max_size=8),
    st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=6), min_size=1, max_size=8),
    st.integers(0, 2**32),
)
def test_any_spelling(vertices, polygons, seed):
    polygons = [[corner % len(vertices) for corner in corners] for corners in polygons]
    data = Spelling(seed).file(vertices, polygons)
    np.testing.assert_array_equal(parse_obj(data).vertices, vertices)
    assert faces(data) == polygons


def test_materials_and_groups_leave_the_labels_with_their_faces():
    lines = b"usemtl a\nf 1 2 3\nusemtl b\ng x\nf 1 3 4\nusemtl a\nf 2 3 4\nl 1 2\nf 1 2 3 4\n"
    mesh = read_mesh(SQUARE + lines, "a", "obj", np.array([5, 6, 7, 8], np.int16))
    assert mesh.parts.tolist() == [5, 6, 7, 8, 8]
    assert mesh.faces[:3].tolist() == [[0, 1, 2], [0, 2, 3], [1, 2, 3]]


def test_labels_of_faces_that_are_dropped_go_with_them():
    lines = b"f 1 1 2\nf 1 2 3\nf 1 2\nf 1 3 4\n"
    mesh = read_mesh(SQUARE + lines, "a", "obj", np.array([5, 6, 7, 8], np.int16))
    assert mesh.parts.tolist() == [6, 8]
    with pytest.raises(ShapeError, match=r"^a: 2 part labels for 4 faces"):
        read_mesh(SQUARE + lines, "a", "obj", np.array([6, 8], np.int16))


def test_the_oldest_and_capital_statements():
    assert faces(SQUARE.upper() + b"fo 1 2 3\nF 1 3 4\nFO 2 3 4\n") == [
        [0, 1, 2],
        [0, 2, 3],
        [1, 2, 3],
    ]


def test_numbers_that_touch_the_keyword_or_stand_behind_odd_blanks():
    data = (
        b"\n3ds Max\nv0 0 0\nv\v1 0 0\nv-1 1 0\nf1 2 3\nf\f1 3 2\nfoo 1\nf_x 1\nvn 1\nl 1 \\\n2\n"
    )
    assert parse_obj(data).vertices[:, 0].tolist() == [0, 1, -1]
    assert faces(data) == [[0, 1, 2], [0, 2, 1]]


def test_joined_files_have_byte_order_marks_inside():
    assert faces(SQUARE + b"\xef\xbb\xbff 1 2 3\n\xef\xbb\xbff 1 3 4") == [[0, 1, 2], [0, 2, 3]]


def test_a_face_without_corners_keeps_its_label():
    mesh = read_mesh(SQUARE + b"f\nf 1 2 3\n", "a", "obj", np.array([5, 6], np.int16))
    assert mesh.parts.tolist() == [6]


def test_vertices_without_a_face_may_be_nan():
    mesh = read_mesh(SQUARE + b"v nan nan nan\nv 1 2 inf\nf 1 2 3\nf 5 5\n", "a", "obj")
    assert len(normalise(mesh).vertices) == 3


def test_padding_at_the_end():
    assert faces(SQUARE + b"f 1 2 3\x1a" + bytes(9)) == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (b"f 0 1 2\nf 0 2 3\n", "counts vertices from 1"),
        (b"f 1 2 3 0\n", "counts vertices from 1"),
        (b"f 1 2\n  3 4\n", "a line without a keyword, '3 4'"),
        (b"v\nf 1 2 3\n", "a vertex of 0 coordinates"),
        (b"f\xc2\xa01 2 3\n", "is not a number"),
        (b"f 1 2 5\n", "outside the range"),
        (b"f -1 -2 -5\n", "outside the range"),
        (b"f 1 2 x\n", "'x' is not a number"),
        (b"f 1,2,3\n", "'1,2,3' is not a number"),
        (b"f 1 /1 2 /1 3 /1\n", "blank beside a slash"),
        (b"f 1/ 4 2/ 4 3/ 4\n", "blank beside a slash"),
        (b"f 1 / 4 2 / 4 3 / 4\n", "blank beside a slash"),
        (b"f 1 2 2.5\n", "face index is not a whole number"),
        (b"f 1 2 nan\n", "face index is not a whole number"),
        (b"f 1 2 99999999999999999999\n", "whole number"),
        (b"v 1,5 2,5 3,5\nf 1 2 3\n", "'1,5' is not a number"),
        (b"v 1 2\nf 1 2 3\n", "a vertex of 2 coordinates"),
        (b"v 1 2 3-4 x\nf 1 2 3\n", "is not a number"),
        (b"v 1 2 -1.#IND\nf 1 2 5\n", "NaN or infinite"),
        (b"cstype bspline\nsurf 0 1 0 1 1 2 3 4\n", "free-form surfaces (surf)"),
        (b"f 1 2 3\nsurf 0 1 0 1 1 2 3 4\n", "free-form surfaces (surf)"),
        (b"bzp 1 2 3 4\n", "free-form surfaces (bzp)"),
        (b"f 1 2 3\ncall other.obj\n", "calls another file"),
        (b"l 1 2\np 1\ncurv 0 1 1 2\n", "no faces"),
        (b"", "no faces"),
    ],
)
def test_refused(lines, text):
    with pytest.raises(ShapeError) as caught:
        read_mesh(SQUARE + lines, "dir/a.obj", "obj")
    assert str(caught.value).startswith("dir/a.obj: ")
    assert text in str(caught.value)


def test_faces_of_many_sizes_stay_fast():
    lines = b"".join(b"f" + b" 1 2 3" * (1 + i % 7) + b"\n" for i in range(20_000))
    assert len(parse_obj(SQUARE + lines).counts) == 20_000


@pytest.mark.parametrize("word", [b"\n", b"\\\n", b"f \\\n", b" ", b"#", b"/", b"v ", b"\\ "])
def test_floods_of_one_word(word):
    with pytest.raises((FormatError, ShapeError)):
        read_mesh(SQUARE + word * (400_000 // len(word)), "a", "obj")
