"""Real shapes, and files that are broken on purpose."""

import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pointmcd.shapes.furniture import furniture10

Encoder = Callable[[Sequence[Sequence[float]], Sequence[Sequence[int]], str], bytes]


@pytest.fixture(scope="session")
def furniture_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded set, unpacked: CLASS/{train,test}/NAME.off below this folder."""
    folder = tmp_path_factory.mktemp("furniture")
    with zipfile.ZipFile(furniture10()) as archive:
        archive.extractall(folder)
    return folder / "furniture10"


@pytest.fixture(scope="session")
def encode_mesh() -> Encoder:
    """A writer of mesh bytes (off, obj, ply, stl) that checks nothing it is given."""

    def encode(
        vertices: Sequence[Sequence[float]], faces: Sequence[Sequence[int]], file_type: str
    ) -> bytes:
        rows = [" ".join(repr(float(x)) for x in vertex) for vertex in vertices]
        polygons = [" ".join(map(str, (len(face), *face))) for face in faces]
        if file_type == "off":
            lines = ["OFF", f"{len(rows)} {len(polygons)} 0", *rows, *polygons]
        elif file_type == "obj":
            lines = [f"v {row}" for row in rows]
            lines += ["f " + " ".join(str(i + 1) for i in face) for face in faces]
        elif file_type == "ply":
            lines = ["ply", "format ascii 1.0", f"element vertex {len(rows)}"]
            lines += [f"property double {axis}" for axis in "xyz"]
            lines += [f"element face {len(polygons)}", "property list uchar int vertex_indices"]
            lines += ["end_header", *rows, *polygons]
        else:
            corners = np.asarray(vertices, dtype="<f4").reshape(-1, 3)
            blob = b"".join(bytes(12) + corners[list(face)].tobytes() + bytes(2) for face in faces)
            return bytes(80) + struct.pack("<I", len(faces)) + blob
        return ("\n".join(lines) + "\n").encode()

    return encode
