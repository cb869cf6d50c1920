"""Damaged files for every reader: small valid ones, mutated, and what a reader may do with them.

`python tests/fuzz_readers.py` runs it for minutes, tests/shapes/test_fuzzed.py for seconds.
"""

import base64
import io
import json
import random
import resource
import signal
import struct
import warnings
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import trimesh
from hypothesis import strategies as st

from pointmcd.datasets.annotations import parse_labels, read_part_names
from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.shapenetpart.dataset import ShapeNetPart, list_labelled_clouds
from pointmcd.datasets.split_lists import read_split_lists
from pointmcd.datasets.tree import FileTree, open_tree
from pointmcd.errors import FormatError, PointMCDError, ShapeError, first_line
from pointmcd.shapes.clouds import read_points
from pointmcd.shapes.mesh import normalise, read_mesh

SECONDS = 10.0
#: A damaged file of at most half a megabyte may make a reader take so much more than it had taken.
MAX_RESIDENT, MAX_ADDRESSES = 256 << 20, 1 << 30

Reader = Callable[[bytes, Path], object]


class Hanging(BaseException):
    """Not an Exception: no reader may take it for a fault of the file."""


class GreedyError(Exception):
    """A reader took memory without a bound."""


def _mesh(kind: str) -> Reader:
    return lambda data, _: normalise(read_mesh(data, f"f.{kind}", kind))


def _beside(kind: str) -> Reader:
    """A mesh or cloud as a file in a folder, as `predict` reads it."""

    def read(data: bytes, folder: Path) -> object:
        path = folder / f"f.{kind}"
        path.write_bytes(data)
        return read_points(path, 16, 0)

    return read


def _archive(data: bytes, folder: Path) -> None:
    path = folder / "set.zip"
    path.write_bytes(data)
    tree = open_tree(path)
    labelled = ShapeNetPart.recognises(tree)
    shapes = list_labelled_clouds(tree).sources if labelled else list_shapes(tree)
    faults = []
    for shape in shapes:
        try:
            shape.read_cloud() if labelled else load_shape(shape)
        except ShapeError as error:
            faults.append(error)
    if faults:
        raise faults[0]


def _in_set(name: str, files: dict[str, bytes]) -> Reader:
    """One file of a set is damaged, the others are whole."""

    def read(data: bytes, folder: Path) -> None:
        _archive(zipped({**files, name: data}), folder)

    return read


def _alone(name: str, read: Callable[[FileTree], object]) -> Reader:
    """One file that is read by itself."""

    def read_one(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        return read(FileTree(folder, "set", (name,)))

    return read_one


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _ascii_ply(box: trimesh.Trimesh) -> bytes:
    return bytes(box.export(file_type="ply", encoding="ascii"))


def _gltf(box: trimesh.Trimesh) -> bytes:
    """One file with its buffers inside."""
    files = trimesh.Scene(box).export(file_type="gltf")
    content = json.loads(files["model.gltf"])
    for buffer in content["buffers"]:
        inside = base64.b64encode(files[buffer["uri"]]).decode()
        buffer["uri"] = f"data:application/octet-stream;base64,{inside}"
    return json.dumps(content).encode()


def _rich_gltf(points: np.ndarray) -> bytes:
    """One file of strips, a sparse accessor, a morph target and a skin."""
    corners = np.array([0, 1, 2, 255, 3, 4, 5], "u1").tobytes()
    body = points[:6].astype("<f4").tobytes() + corners + b"\0" + bytes([0, 1, 0, 0] * 6)
    body += np.eye(4, dtype="<f4").tobytes()
    views = [(0, 72), (72, 7), (80, 24), (104, 64)]
    content = {
        "asset": {"version": "2.0"},
        "extensionsRequired": ["KHR_mesh_quantization"],
        "buffers": [{"uri": "data:;base64," + base64.b64encode(body).decode(), "byteLength": 168}],
        "bufferViews": [{"buffer": 0, "byteOffset": at, "byteLength": n} for at, n in views],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 6, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5121, "count": 7, "type": "SCALAR"},
            {"bufferView": 2, "componentType": 5121, "count": 6, "type": "VEC4"},
            {
                **{"componentType": 5121, "count": 6, "type": "VEC4", "normalized": True},
                "sparse": {
                    "count": 3,
                    "indices": {"bufferView": 1, "componentType": 5121},
                    "values": {"bufferView": 2},
                },
            },
            {"bufferView": 3, "componentType": 5126, "count": 1, "type": "MAT4"},
        ],
        "meshes": [
            {
                "primitives": [
                    {
                        "attributes": {"POSITION": 0, "JOINTS_0": 2, "WEIGHTS_0": 3},
                        "indices": 1,
                        "mode": 5,
                        "targets": [{"POSITION": 0}],
                    }
                ],
                "weights": [0.5],
            }
        ],
        "skins": [{"joints": [1, 1], "inverseBindMatrices": 4}],
        "nodes": [
            {"mesh": 0, "skin": 0},
            {"mesh": 0, "rotation": [0, 0, 1, 0], "scale": [1, -1, 2], "children": [2]},
            {"mesh": 0, "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 7, 0, 0, 1]},
        ],
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
    }
    return json.dumps(content).encode()


def _ascii_stl(box: trimesh.Trimesh) -> bytes:
    return str(box.export(file_type="stl_ascii")).encode()


BOX = trimesh.creation.box()
_POINTS = np.random.default_rng(0).normal(size=(12, 3))
_TEXT = "\n".join(" ".join(f"{x:.3f}" for x in row) for row in _POINTS).encode()
_OFF = BOX.export(file_type="off").encode()
_POINT_PLY = bytes(trimesh.PointCloud(_POINTS).export(file_type="ply"))
_PLY = (
    b"ply\nformat %s 1.0\nelement vertex 4\nproperty float x\nproperty double y\nproperty float z\n"
)
_CORNERS = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 1)], "f4,f8,f4")
_STRIPS = _PLY % b"ascii" + (
    b"element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    b"0 0 0 1 0 0\n1 1 0\n0 1 1\n7 0 1 2 -1 1 2 3\n"
)
_MIXED_PLY = b"".join(
    (
        _PLY % b"binary_little_endian",
        b"element face 2\nproperty list uchar int vertex_indices\nproperty list uchar float uv\n",
        b"property short flag\nend_header\n",
        _CORNERS.tobytes(),
        struct.pack("<B4iB2fhB3iBh", 4, 0, 1, 2, 3, 2, 0, 0, 7, 3, 0, 1, 3, 0, 7),
    )
)
_POLYGONS = b"OFF\n5 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n.5 .5 1\n4 0 1 2 3\n3 0 1 4 255 0 0\n"
_OBJ = (
    b"mtllib a.mtl\no box\nv 0 0 0\nv 1 0 0\nv 1 1 0 1 0 0\nv 0 1 1\nvt 0 0\nvn 0 0 1\nusemtl m\n"
    b"g one\nf 1/1/1 2/1/1 3/1/1\nf -4//1 -2//1 -1//1\ns 1\nf 1 2 3 4\nl 1 2\n"
)
_LABELLED = "\n".join(
    " ".join(f"{x:.3f}" for x in [*row, 0, 0, 1]) + f" {i % 4}.0" for i, row in enumerate(_POINTS)
).encode()
_PARTS_SET = {
    "parts.json": json.dumps({"bed": ["low", "high"], "lamp": ["foot", "shade"]}).encode(),
    "train.txt": b"bed/a\n",
    "test.txt": b"lamp/b\n",
    "bed/a.off": _OFF,
    "bed/a.seg": b"0\n1\n" * 6,
    "lamp/b.off": _OFF,
    "lamp/b.seg": b"1\n0\n" * 6,
}
_CLOUD_SET = {
    "synsetoffset2category.txt": b"Airplane\t02691156\nBag\t02773838\n",
    "02691156/a.txt": _LABELLED,
    "02691156/b.txt": _LABELLED,
    "train_test_split/shuffled_train_file_list.json": b'["shape_data/02691156/a"]',
    "train_test_split/shuffled_test_file_list.json": b'["shape_data/02691156/b"]',
    "parts.json": json.dumps({"Airplane": list("abcd"), "Bag": list("ab")}).encode(),
}
_APART_SET = {
    "synsetoffset2category.txt": b"Bag\t02773838\n",
    "02773838/points/a.pts": _TEXT,
    "02773838/points_label/a.seg": b"1\n2\n" * 6,
}

#: Each reader with the valid files that its examples are made of.
READERS: dict[str, tuple[Reader, tuple[bytes, ...]]] = {
    "off": (_mesh("off"), (_OFF, _POLYGONS)),
    "obj": (_mesh("obj"), (_OBJ, BOX.export(file_type="obj").encode())),
    "ply": (
        _mesh("ply"),
        (_ascii_ply(BOX), bytes(BOX.export(file_type="ply")), _STRIPS, _MIXED_PLY),
    ),
    "stl": (_mesh("stl"), (_ascii_stl(BOX), bytes(BOX.export(file_type="stl")))),
    "glb": (_mesh("glb"), (bytes(trimesh.Scene(BOX).export(file_type="glb")),)),
    "gltf": (_mesh("gltf"), (_gltf(BOX), _rich_gltf(_POINTS))),
    "ply as points": (_beside("ply"), (_POINT_PLY, _ascii_ply(BOX))),
    **{kind: (_beside(kind), (_TEXT, b"12\n" + _TEXT)) for kind in ("xyz", "pts")},
    "csv": (_beside("csv"), (b"x,y,z\n" + _TEXT.replace(b" ", b","),)),
    "txt": (_beside("txt"), (_TEXT.replace(b" ", b";"), _LABELLED)),
    "npy": (_beside("npy"), (_npy(_POINTS), _npy(_POINTS.astype(np.float32).T))),
    "zip": (_archive, (zipped(_PARTS_SET), zipped(_CLOUD_SET), zipped({"a.off": _OFF}))),
    "part names": (
        _alone("parts.json", lambda tree: read_part_names(tree.file("parts.json"))),
        (_PARTS_SET["parts.json"],),
    ),
    "split list": (
        _alone("train.txt", lambda tree: read_split_lists(tree, ["bed/a"])),
        (b"bed/a\n", b"\xef\xbb\xbfbed\\a\r\n"),
    ),
    "labels": (lambda data, _: parse_labels(data, "a.seg", 3), (b"0\n1\n2\n", b"1 1\t2")),
    **{
        f"{name} in a set": (_in_set(name, files), (files[name],))
        for files in (_PARTS_SET, _CLOUD_SET, _APART_SET)
        for name in files
        if not name.endswith(".off") and name != "02691156/b.txt"
    },
}

_WORDS = (
    *(
        b"4294967295",
        b"-1",
        b"99999999999999999999",
        b"1000000000",
        b"nan",
        b"1e999",
        b"0",
        b"1e-320",
    ),
    *(
        b" ",
        b"\n",
        b"\r",
        b"#",
        b'"',
        b"[",
        b"{",
        b"null",
        b"\xff\xfe",
        b"\x00",
        b"/",
        b"..",
        b"3 0 0 0",
    ),
    *(
        b"\xc2\xb2",
        b"\xd9\xa3",
        b"true",
        b"element vertex 1000000000\n",
        b"property list uchar int x\n",
    ),
)
_NUMBERS = (
    *(struct.pack(kind, n) for kind in ("<I", ">I", "<H", "<Q") for n in (0, 1, 0x7FFF, 0xFFFF)),
    *(struct.pack("<I", n) for n in (0x7FFFFFFF, 0xFFFFFFFF)),
    struct.pack("<f", np.nan),
)

_KINDS = ("replace", "replace number", "insert", "cut", "repeat", "end", "digit", "flood")
#: Bytes that a flood of one word brings.
_FLOOD = 100_000


@st.composite
def damaged_files(draw: st.DrawFn, names: tuple[str, ...] = tuple(READERS)) -> tuple[str, bytes]:
    """The name of a reader, and a file for it."""
    name = draw(st.sampled_from(names))
    # Drawn one by one, all that follows would take longer than to read the file.
    return name, damaged(name, random.Random(draw(st.integers(0, 2**63))))


def damaged(name: str, chance: random.Random) -> bytes:
    """A damaged file for the reader of that name."""
    data = chance.choice(READERS[name][1])
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        word = chance.choice((chance.choice(_WORDS), chance.randbytes(chance.randint(1, 6))))
        length, number = chance.randint(1, 40), chance.choice(_NUMBERS)
        data = _mutated(data, chance.choice(_KINDS), chance.random(), length, word, number)
    return data


def _mutated(
    data: bytes, kind: str, place: float, length: int, word: bytes, number: bytes
) -> bytes:
    at = int(place * len(data))
    if kind == "replace":
        return data[:at] + word + data[at + len(word) :]
    if kind == "replace number":
        at -= at % 4
        return data[:at] + number + data[at + len(number) :]
    if kind == "insert":
        return data[:at] + word + data[at:]
    if kind == "cut":
        return data[:at] + data[at + length :]
    if kind == "repeat":
        return data[:at] + data[at : at + length] * (1 + length) + data[at + length :]
    if kind == "flood":
        return data[:at] + word * (_FLOOD // len(word)) + data[at:]
    if kind == "digit":  # another number in text: a count, an index, a length
        digits = [i for i in range(at, len(data)) if data[i : i + 1].isdigit()]
        return data[: digits[0]] + word + data[digits[0] + 1 :] if digits else data
    return data[:at]


def judge(name: str, data: bytes, folder: Path) -> tuple[bool, int]:
    """Read a file; return whether it was refused, and the bytes of memory that it took.

    Raises:
        Hanging: after `SECONDS` of processor time.
        GreedyError: where more memory was taken than such a file is worth.
        Exception: whatever else than ShapeError the reader raises.
    """
    addresses, _ = _status("VmPeak"), Path("/proc/self/clear_refs").write_text("5")
    resident = _status("VmRSS")
    refused = False
    try:
        with _alarm(), warnings.catch_warnings():
            warnings.simplefilter("error")  # a reader's user should not see them
            READERS[name][0](data, folder)
    except ShapeError as error:
        refused = True
        if fault := fault_of_text(error, folder):
            raise AssertionError(f"{fault}: {str(error)[:300]!r}") from error
        if isinstance(error.__cause__, MemoryError):
            raise GreedyError(f"refused by the memory, not by the reader: {error}") from error
    grown = _status("VmHWM") - resident, _status("VmPeak") - addresses
    if grown[0] > MAX_RESIDENT or grown[1] > MAX_ADDRESSES:
        raise GreedyError(f"took {grown[0] >> 20} MiB of memory, {grown[1] >> 20} MiB of addresses")
    return refused, grown[0]


def fault_of_text(error: BaseException, folder: Path) -> str | None:
    """What is wrong with the text of a refusal, or None: the name first, in one line, our words."""
    text = str(error)
    if "\n" in text or len(text) > 2000:
        return "more than one short line"
    if not text.startswith((f"{folder}/", "f.", "a.seg: ", "set/")) or ": " not in text:
        return "does not begin with the file's name"
    while (error := error.__cause__) is not None:
        foreign = not isinstance(error, PointMCDError | FormatError)
        quoted = first_line(error)[:40]
        if foreign and len(quoted) > 7 and quoted in text:
            return "quotes what another library says"
    return None


def _status(key: str) -> int:
    """A line of /proc/self/status in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{key}:")[1].split()[0]) << 10


@contextmanager
def _alarm():
    def ring(*_: object) -> None:
        raise Hanging(f"longer than {SECONDS} s")

    # Of this process alone: others may keep it waiting.
    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def limit_memory(size: int) -> None:
    """Let this process have no more addresses than that."""
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
