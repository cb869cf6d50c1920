"""Text of mesh files: clean lines, the words in them, and numbers, millions a second."""

import codecs
import re
import warnings
from contextlib import suppress

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.typing import Doubles, Indices

_COMMENT = re.compile(rb"#[^\n]*")
#: NaN and infinity as C libraries write them: `-1.#IND`, `nan(ind)`.
NOT_FINITE = re.compile(rb"\b1\.#\w+|\bnan\(\w{,20}\)", re.I)


def decode(data: bytes) -> str:
    """Return a file as text, by its byte order mark UTF-16 or UTF-8; without one UTF-8."""
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if marked else "utf-8-sig", "replace")


def clean_text(data: bytes) -> bytes:
    """Return a text file without byte order marks, comments and padding, its lines ended by LF."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    # Files that were joined have marks in the middle, too.
    data = data.replace(codecs.BOM_UTF8, b"").rstrip(b"\0\x1a \t\r\n")
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b".#" in data or b"nan(" in data:
        data = NOT_FINITE.sub(b"nan", data)
    return _COMMENT.sub(b"", data)


def words_per_line(text: bytes) -> Indices:
    """Return the number of words in each line, int64 `[lines]`."""
    data = np.frombuffer(text, dtype=np.uint8)
    blank = data <= ord(" ")
    blank_before = np.concatenate([[True], blank[:-1]])[: len(blank)]
    begins, ends = np.flatnonzero(blank_before & ~blank), np.flatnonzero(data == ord("\n"))
    return np.bincount(np.searchsorted(ends, begins), minlength=len(ends) + 1)


def parse_numbers(text: bytes, count: int) -> Doubles:
    """Read a text of `count` words, all of them numbers, `[count]`.

    Raises:
        FormatError: for a word that is not a number.
    """
    numbers = np.zeros(0)
    # At a word that is not a number, new versions of numpy raise, older ones stop and warn.
    with warnings.catch_warnings(), suppress(ValueError):
        warnings.simplefilter("ignore")
        numbers = np.fromstring(text + b" 7", dtype=np.float64, sep=" ")
    # The 7 is reached when numpy has read all; there are more numbers when it has parted a word.
    if len(numbers) != count + 1 or numbers[-1] != 7:
        raise FormatError(f"{_first_bad_word(text)} is not a number")
    return numbers[:-1]


def whole_numbers(numbers: Doubles, what: str) -> Indices:
    """Return numbers as int64.

    Raises:
        FormatError: saying that `what` is not a whole number.
    """
    with np.errstate(invalid="ignore"):
        whole = numbers.astype(np.int64)
    if not (whole == numbers).all():
        raise FormatError(f"{what} is not a whole number")
    return whole


def _first_bad_word(text: bytes) -> str:
    for word in text.split():
        try:
            float(word)
        except ValueError:
            return ascii(word[:20].decode("latin-1"))
    return "a word"
