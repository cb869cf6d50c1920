"""The text of an error: one short line."""

import pytest

from pointmcd.errors import PointMCDError, ShapeError


@pytest.mark.parametrize("kind", [PointMCDError, ShapeError])
def test_one_line_whatever_is_repeated(kind):
    assert str(kind("a\nb\r\nc\x85d")) == "a\\nb\\nc\\nd"


def test_names_as_long_as_a_file_are_shortened():
    text = str(PointMCDError(f"parts.json: {'9' * 10_000}: must be a list"))
    assert len(text) < 1600
    assert text.startswith("parts.json: 999")
    assert text.endswith("999: must be a list")
    assert " ... " in text
    assert str(PointMCDError("x" * 1500)) == "x" * 1500
