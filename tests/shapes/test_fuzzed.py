"""What fuzzing found (tests/fuzz_readers.py), kept, and a short run of it.

Ten minutes found three crashes, of .npy headers and of a zip's directory; files of many equal lines
and promises of billions, made by hand, four hangs, a crash and two ways to take gigabytes.
"""

import json
import struct
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from reader_fuzz import READERS, Hanging, damaged_files, fault_of_text, judge, zipped

from pointmcd.errors import ShapeError
from pointmcd.shapes.clouds import read_points
from pointmcd.shapes.text_table import read_table


def npy(header, body=b""):
    text = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A folder, with all that is compiled at first use."""
    folder = tmp_path_factory.mktemp("fuzzed")
    for name, (_, files) in READERS.items():
        for data in files:
            judge(name, data, folder)
    return folder


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(example=damaged_files())
def test_damaged_files_are_read_or_refused(example, warm):
    judge(*example, warm)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-12, 3), }\n",  # OverflowError
        "{'descr': '<f8', 'fortran_order': False, 'shape': (12, 3), }  (\n",  # TokenError
        "{'descr': '<f8', 'fortran_order': False, 'shape': (12L, 3L), }\n  x\n y",  # indentation
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 3), }\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4), }\n",
        "{'descr': '|O', 'fortran_order': False, 'shape': (12, 3), }\n",
        "(" * 500 + "\n",
    ],
)
def test_npy_headers_that_numpy_fails_on_in_other_ways(header, tmp_path):
    path = tmp_path / "f.npy"
    path.write_bytes(npy(header, bytes(288)))
    with pytest.raises(ShapeError, match="cannot be read as points") as error:
        read_points(path, 8, 0)
    assert "\n" not in str(error.value)


def test_an_npy_header_of_python_2_is_read_without_a_warning(tmp_path, recwarn):
    points = np.random.default_rng(0).normal(size=(12, 3))
    path = tmp_path / "f.npy"
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (12L, 3L), }\n"
    path.write_bytes(npy(header, points.tobytes()))
    assert read_points(path, 12, 0).shape == (12, 3)
    assert not recwarn.list


def _ply(format_, count, faces=0):
    return (
        f"ply\nformat {format_} 1.0\nelement vertex {count}\nproperty float x\nproperty float y\n"
        f"property float z\nelement face {faces}\nproperty list uchar int vertex_indices\n"
        "end_header\n0 0 0\n"
    ).encode()


def _glb(accessors):
    content = json.dumps(
        {
            "asset": {"version": "2.0"},
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
            "accessors": accessors,
            "bufferViews": [{"buffer": 0, "byteLength": 36}],
            "buffers": [{"byteLength": 36}],
        }
    ).encode()
    content += b" " * (-len(content) % 4)
    chunks = struct.pack("<II", len(content), 0x4E4F534A) + content
    chunks += struct.pack("<II", 36, 0x004E4942) + bytes(36)
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def _accessor(count, **more):
    return {"componentType": 5126, "count": count, "type": "VEC3"} | more


BILLION = 1_000_000_000
GREEDY = [
    ("off", f"OFF\n{BILLION} {BILLION} 0\n0 0 0\n".encode()),
    ("off", f"OFF\n1 1 0\n0 0 0\n{BILLION} 0 0 0\n".encode()),
    ("ply", _ply("ascii", BILLION)),
    ("ply", _ply("binary_little_endian", BILLION)),
    ("ply", _ply("binary_big_endian", 2**63)),
    ("ply", _ply("binary_little_endian", 0, BILLION)),
    ("ply as points", _ply("binary_little_endian", BILLION)),
    ("stl", bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50)),
    ("obj", f"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 {BILLION}\nf -{BILLION} 1 2\n".encode()),
    ("glb", _glb([_accessor(BILLION), _accessor(BILLION)])),
    ("glb", _glb([_accessor(BILLION, bufferView=0), _accessor(3, bufferView=0)])),
    # Found: a count below zero made room for another, and items of a matrix were counted as one.
    ("glb", _glb([_accessor(2 * BILLION), _accessor(-2 * BILLION)])),
    ("glb", _glb([_accessor(9_999_999, type="MAT4"), _accessor(1)])),
    ("glb", _glb([_accessor(3, bufferView=0, sparse={"count": BILLION}), _accessor(3)])),
    ("xyz", f"{BILLION}\n0 0 0\n1 1 1\n".encode()),
    ("npy", npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({BILLION}, 3), }}\n")),
    ("labels", f"{BILLION}\n".encode() * 3),
]


@pytest.mark.parametrize(("name", "data"), GREEDY)
def test_a_promise_of_billions_takes_no_memory(name, data, warm):
    """Refused, or read as the little that is there; `judge` watches memory and time."""
    judge(name, data, warm)


MANY = 200_000
LINES = b"\n" * MANY
TIRING = [
    # Found: each empty line was searched again from every one before it.
    ("ply", b"ply\nformat ascii 1.0\n" + LINES + b"end_header\n"),
    ("ply", b"ply\nformat binary_little_endian 1.0\n" + LINES + b"end_header\n\0\0\0"),
    # Found: each end of a number that is none was tried as its middle.
    (
        "ply",
        b"ply\nformat ascii 1.0\nelement a 1\nproperty int b\nend_header\n" + b"1" * MANY + b"x",
    ),
    ("ply", b"ply\nformat ascii 1.0\nelement a 1\nproperty int b\nend_header\n" + b"nan(" * MANY),
    ("stl", b"solid a\n" + LINES + b"endsolid\n"),
    # Found: each class was looked for among all before it.
    (
        "synsetoffset2category.txt in a set",
        b"".join(b"A%d B%d\n" % (i, i) for i in range(MANY // 5)),
    ),
    # Found: a crash, as Python's own stack is limited.
    ("train_test_split/shuffled_train_file_list.json in a set", b"[" * MANY),
    ("parts.json in a set", b"[" * MANY),
    ("gltf", b'{"asset":' + b"[" * MANY),
    ("off", b"OFF" + LINES + b"1 1 0\n"),
    ("off", b" " * MANY + b"OFX"),
    ("off", b"OFF\n" + b"1" * 5000 + b" 1 0\n"),
    # Found: the error repeated all of the line.
    ("split list", b"bed/a" * MANY),
    ("synsetoffset2category.txt in a set", b"A" * MANY + b" 02691156\n"),
    ("xyz", b"1 " * MANY),
    # Found: a number was tried with every share of its digits behind the point.
    ("xyz", b"1" * MANY + b"x 2 3\n"),
    # Found: each word of a name was looked for among all that may be an axis.
    ("xyz", b"0.1 0.2" + b"1x2y" * (MANY // 4) + b"\n" + b"0 0 1\n" * 9),
    ("npy", npy("(" * 60_000)),
]


@pytest.mark.parametrize(("name", "data"), TIRING)
def test_many_lines_take_no_longer_than_their_number(name, data, warm):
    start = time.process_time()
    judge(name, data, warm)
    assert time.process_time() - start < 10  # growing with the square it is minutes


def test_a_zip_whose_directory_names_nothing_is_refused(warm):
    """Found: zipfile asks for the last letter of an empty name."""
    archive = bytearray(zipped({"a": b"x"}))
    entry = archive.index(b"PK\x01\x02")
    archive[entry + 28 : entry + 30] = struct.pack("<H", 0)  # the length of the name
    archive[entry + 30 : entry + 32] = struct.pack("<H", 1)  # its letter is an extra field now
    with pytest.raises(ShapeError, match=r"set\.zip"):
        READERS["zip"][0](bytes(archive), warm)


def test_a_zip_whose_member_has_an_endless_name_is_refused_in_a_short_line(warm):
    """Found: zipfile's error repeats the name in the member's header, up to 64 KiB of it."""
    archive = bytearray(zipped({"a.off": np.random.default_rng(0).bytes(1 << 16)}))
    archive[26:28] = struct.pack("<H", 50_000)
    judge("zip", bytes(archive), warm)
    with pytest.raises(ShapeError, match=r"a\.off: cannot be read: the file is damaged"):
        READERS["zip"][0](bytes(archive), warm)


def test_a_zip_that_unpacks_to_gigabytes_is_refused(warm):
    bomb = bytearray(zipped({"a.off": bytes(1 << 20)}))
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = bomb.index(signature) + at
        bomb[place : place + 4] = struct.pack("<I", 2**31)
    with pytest.raises(ShapeError, match="larger than 1 GiB"):
        READERS["zip"][0](bytes(bomb), warm)


def test_what_a_reader_must_not_do_is_noticed(warm, monkeypatch):
    """The judge itself: it must see a crash, a hang and a large allocation."""

    def hang(*_):
        while True:
            pass

    def crash(*_):
        raise KeyError("x")

    monkeypatch.setattr("reader_fuzz.SECONDS", 0.1)
    for reader, error in ((crash, KeyError), (hang, Hanging)):
        monkeypatch.setitem(READERS, "bad", (reader, ()))
        with pytest.raises(error):
            judge("bad", b"", warm)
    for text, cause in (
        ("no name", None),
        ("f.off: invalid literal for int()", ValueError("invalid literal for int()")),
    ):
        refusal = ShapeError(text)
        refusal.__cause__ = cause
        assert fault_of_text(refusal, warm)
    assert fault_of_text(ShapeError("f.off: the file is empty"), warm) is None
    monkeypatch.setattr("reader_fuzz.SECONDS", 10)
    monkeypatch.setitem(READERS, "bad", (lambda *_: np.ones(36 << 20), ()))
    with pytest.raises(Exception, match="MiB of memory"):
        judge("bad", b"", warm)


@pytest.mark.parametrize("name", ["x,y" + " " * 100_000, "x,y,z" + "\x1a" * 200 + " " * 100_000])
def test_blanks_after_the_names_are_not_looked_through_again_and_again(name):
    began = time.process_time()
    assert len(read_table(f"{name}\n1.5,2,3\n4,5,6.5\n7,8,10\n".encode()).points) == 3
    assert time.process_time() - began < 1


def test_a_name_of_two_lines_is_told_in_one():
    assert str(ShapeError("set.zip: a\nb.off is larger")) == r"set.zip: a\nb.off is larger"
    assert str(ShapeError("set.zip: a\r\n")) == "set.zip: a"
