"""LAS files: what laspy writes, `parse_rows` reads."""

import sys
from io import BytesIO

import laspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.errors import ConfigError, ShapeError
from pointmcd.shapes.cloud_files import parse_rows

VERSIONS = [("1.2", 0), ("1.2", 3), ("1.3", 5), ("1.4", 6), ("1.4", 8)]


def las(points, version, kind, scale, offsets):
    header = laspy.LasHeader(version=version, point_format=kind)
    header.scales, header.offsets = np.full(3, scale), np.asarray(offsets)
    data = laspy.LasData(header)
    data.x, data.y, data.z = points.T
    file = BytesIO()
    data.write(file, do_compress=False)
    return file.getvalue()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(VERSIONS),
    st.integers(1, 50),
    st.sampled_from([1e-4, 0.001, 0.01]),
    st.tuples(*[st.integers(-(10**7), 10**7)] * 3),
)
def test_what_laspy_writes_is_read(form, count, scale, offsets):
    points = np.random.default_rng(count).normal(size=(count, 3)) * 20 + offsets
    data = las(points, *form, scale, offsets)
    found = parse_rows(data, "las", "a").points
    np.testing.assert_allclose(found, points, rtol=0, atol=scale)
    np.testing.assert_array_equal(found, laspy.read(BytesIO(data)).xyz)


def test_a_file_cut_between_points():
    data = las(np.ones((9, 3)), "1.2", 0, 0.01, (0, 0, 0))
    with pytest.raises(ShapeError, match="7 of 9 points; the file is truncated"):
        parse_rows(data[: -2 * 20], "las", "a")


@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_damaged_files(cut):
    data = las(np.ones((9, 3)), "1.2", 0, 0.01, (0, 0, 0))[:cut]
    with pytest.raises(ShapeError, match=r"^a\.las: cannot be read as points: .*damaged"):
        parse_rows(data, "las", "a.las")


def test_compressed_files_need_their_package(monkeypatch):
    data = bytearray(las(np.ones((9, 3)), "1.2", 0, 0.01, (0, 0, 0)))
    data[104] |= 0x80
    monkeypatch.setitem(sys.modules, "lazrs", None)
    with pytest.raises(ConfigError, match=r"a\.laz: .*pointmcd\[las\]"):
        parse_rows(bytes(data), "laz", "a.laz")
