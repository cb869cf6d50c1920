import struct
from io import BytesIO

import numpy as np
import pypcd4
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pcd_files import BODIES, POINTS, header, literals

from pointmcd.shapes.cloud_files import parse_rows
from pointmcd.shapes.pcd import _unpack_lzf, parse_pcd


@pytest.mark.parametrize("kind", BODIES)
def test_every_kind_gives_the_points(kind):
    read = parse_pcd(header(50, kind) + BODIES[kind](POINTS)).points
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, POINTS)


@pytest.mark.parametrize("kind", BODIES)
def test_gaps_are_dropped(kind):
    holes = POINTS.copy()
    holes[7], holes[9, 1] = np.nan, np.nan
    kept, notes = np.delete(POINTS, [7, 9], axis=0), []
    rows = parse_rows(header(50, kind) + BODIES[kind](holes), "pcd", "a", notes=notes)
    np.testing.assert_array_equal(rows.points, kept)
    assert (~rows.kept).nonzero()[0].tolist() == [7, 9]
    assert notes == ["without 2 points that are NaN"]


@pytest.mark.parametrize("kind", BODIES)
def test_truncated_points_are_refused(kind):
    body = BODIES[kind](POINTS)
    with pytest.raises(ValueError, match=r"truncated|cut short"):
        parse_pcd(header(50, kind) + body[: len(body) // 2])


@pytest.mark.parametrize("kind", BODIES)
def test_no_points(kind):
    assert parse_pcd(header(0, kind) + BODIES[kind](POINTS[:0])).points.shape == (0, 3)


def test_comments_old_keys_and_a_count_by_width_and_height():
    text = header(2, "ascii").replace(b"POINTS 2\n", b"WIDTH 1\nHEIGHT 2\n")
    text = text.replace(b"FIELDS", b"COLUMNS") + BODIES["ascii"](POINTS[:1]) + b"# half\n"
    np.testing.assert_array_equal(parse_pcd(text + BODIES["ascii"](POINTS[1:2])).points, POINTS[:2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"1 2 3\n4 5 6\n7 8 9\n", "promises 2 points, but 3 lines"),
        (b"1 2 3\n4 5 6 7\n", "do not all hold the 3 numbers"),
        (b"1 2 3 4\n4 5 6 7\n", "do not all hold the 3 numbers"),
        (b"1 2 3\n4 5 o\n", "do not all hold the 3 numbers"),
        (b"1,5 2 3\n4 5 6\n", "do not all hold the 3 numbers"),
    ],
)
def test_lines_that_do_not_fit_the_header(text, words):
    fields = "FIELDS x y z\nSIZE 8 8 8\nTYPE F F F\n"
    with pytest.raises(ValueError, match=words):
        parse_pcd(header(2, "ascii", fields) + text)


def test_windows_newlines_capital_names_and_no_counts():
    fields = "FIELDS X Y Z\nSIZE 8 8 8\nTYPE F F F\n"
    text = header(2, "ascii", fields) + b"1 2 3\n4 5 6\n"
    np.testing.assert_array_equal(
        parse_pcd(text.replace(b"\n", b"\r\n")).points, [[1, 2, 3], [4, 5, 6]]
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no line DATA"),
        (b"solid thing\n" * 9, "no line DATA"),
        (b"FIELDS x y z\nDATA ascii\n", "lacks POINTS, SIZE, TYPE"),
        (header(1, "zip"), "DATA zip is none"),
        (header(-1, "binary"), "promises -1 points"),
        (header(1, "ascii", "FIELDS x y i\nSIZE 4 4 4\nTYPE F F F\n"), "no single field z"),
        (header(1, "ascii", "FIELDS x y z\nSIZE 4 4\nTYPE F F F\n"), "zip"),
        (header(9, "binary_compressed") + struct.pack("<II", 4, 2**32 - 1) + b"abcd", "damaged"),
    ],
)
def test_damaged_headers(content, words):
    with pytest.raises((ValueError, TypeError), match=words):
        parse_pcd(content)


def unpack(packed, size):
    out = np.zeros(size, np.uint8)
    made = _unpack_lzf(np.frombuffer(packed, np.uint8), out)
    return made, out.tobytes()


def test_repetitions_of_lzf():
    """By hand: `abc`, then 5 bytes from 3 back, overlapping; then a long run from 1 back."""
    packed = b"\x02abc" + bytes([(5 - 2) << 5, 3 - 1]) + bytes([7 << 5, 20 - 9, 0])
    assert unpack(packed, 28) == (28, b"abcabcab" + b"b" * 20)
    far = literals(bytes(range(256)) * 2) + bytes([1 << 5 | 1, 511 - 256])
    assert unpack(far, 515) == (515, bytes(range(256)) * 2 + bytes([0, 1, 2]))


@pytest.mark.parametrize(
    "packed", [b"\x05ab", bytes([1 << 5, 0]), bytes([1 << 5]), bytes([7 << 5]), b"\x0f" + b"a" * 16]
)
def test_damaged_lzf_is_told_and_nothing_is_written_outside(packed):
    assert unpack(packed, 8)[0] == -1


TYPES = st.sampled_from([np.float32, np.float64, np.int16, np.uint8, np.int32])


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(["x", "y", "z", "intensity", "rgb"]),
    st.lists(TYPES, min_size=5, max_size=5),
    st.integers(1, 40),
    st.sampled_from(["ascii", "binary", "binary_compressed"]),
)
def test_pypcd4_and_we_read_the_same(names, types, count, encoding):
    """Fields in any order and of any type, written by pypcd4."""
    values = np.random.default_rng(count).integers(0, 100, size=(count, 5))
    columns = [values[:, n].astype(kind) for n, kind in enumerate(types)]
    columns = [c + c.dtype.type(0.37) if c.dtype.kind == "f" else c for c in columns]
    file = BytesIO()
    pypcd4.PointCloud.from_points(columns, names, types).save(file, pypcd4.Encoding(encoding))
    data = file.getvalue()
    theirs = pypcd4.PointCloud.from_fileobj(BytesIO(data)).numpy(("x", "y", "z"))
    np.testing.assert_allclose(parse_pcd(data).points, theirs, rtol=1e-9)
