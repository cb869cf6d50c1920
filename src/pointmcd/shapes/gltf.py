"""glTF 2.0 (.glb and .gltf): the triangles of a scene, each mesh where its nodes place it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.formats import Beside
from pointmcd.shapes.gltf_file import GltfFile, open_gltf
from pointmcd.shapes.gltf_nodes import joint_matrices, placed_nodes
from pointmcd.shapes.polygons import Polygons, check_number
from pointmcd.shapes.strips import strip_triangles
from pointmcd.typing import Array, Doubles, Indices

#: Extensions that a file may need: they leave the geometry as it is, or are read here.
_READ = re.compile(
    r"[A-Z0-9]+_(materials?|textures?|images?|lights?|xmp|animation|audio|techniques)(_\w+)?"
    r"|EXT_(mesh|instance)_features|EXT_(structural|feature)_metadata|CESIUM_primitive_outline"
    r"|KHR_mesh_quantization|KHR_node_visibility|EXT_mesh_primitive_(restart|edge_visibility)"
    r"|KHR_physics\w*|AGI_\w+|MSFT_lod|VRM|VRMC_\w+"
)
_TRIANGLES, _STRIPS, _FANS = 4, 5, 6


@dataclass(frozen=True, eq=False)
class _Part:
    """Triangles of a mesh, and for each vertex the joints that move it, where there is a skin.

    Vertices are `[V, 3]`, faces `[T, 3]`, joints and their weights `[V, J]`.
    """

    vertices: Doubles
    faces: Indices
    joints: Indices
    weights: Doubles


def parse_gltf(data: bytes, beside: Beside | None = None, labelled: bool = False) -> Polygons:
    """Read the triangles of a file's scene, or of all its nodes where it has no scene.

    Morph targets and skins are applied as the file has them at rest; points and lines are passed
    over.

    Args:
        data: the file.
        beside: reads the files that it names; None where they are out of reach.
        labelled: whether there are labels of faces: the order of several meshes leaves a doubt.

    Raises:
        FormatError: saying what is wrong with it, or what about it is not read.
    """
    file = open_gltf(data, beside)
    for name in file.content.get("extensionsRequired", []):
        if not _READ.fullmatch(name):
            raise _unread(name)
    worlds = placed_nodes(file)
    placed, parts, skins, total = [], dict[Any, _Part](), dict[int, Doubles](), 0
    for node, world in _nodes(file, worlds):
        mesh, skin = node["mesh"], node.get("skin")
        weights = node.get("weights", file.item("meshes", mesh).get("weights", []))
        key = mesh, tuple(weights), skin is None
        if key not in parts:
            parts[key] = _joined(_parts(file, mesh, weights, skin is not None))
        total += len(parts[key].faces)
        check_number(total)
        if skin is not None and skin not in skins:
            skins[skin] = joint_matrices(file, skin, worlds)
        if len(parts[key].faces):
            placed.append((parts[key], world, skin))
    if labelled and len(placed) > 1:
        raise FormatError(
            f"part labels for a file of {len(placed)} meshes; save it as one mesh, or as OFF or OBJ"
        )
    if not placed and file.content.get("meshes"):
        raise FormatError("no faces in what its scene shows; only points, lines or nothing")
    with np.errstate(all="ignore"):
        moved = [
            _moved(part, world) if skin is None else _skinned(part, skins[skin])
            for part, world, skin in placed
        ]
    whole = _joined(moved)
    counts = np.full(len(whole.faces), 3)
    return Polygons(whole.vertices, whole.faces.ravel(), counts, ordered=len(placed) == 1)


def _unread(extension: str) -> FormatError:
    return FormatError(f"the extension {extension[:60]} is not read; export it without")


def _nodes(file: GltfFile, worlds: dict[int, Doubles]) -> list[tuple[dict[str, Any], Doubles]]:
    """Return the nodes with a mesh and their matrices; in a file without nodes, all its meshes."""
    if "nodes" not in file.content:
        meshes = file.content.get("meshes", [])
        return [({"mesh": index}, np.eye(4)) for index in range(len(meshes))]
    nodes = [(file.item("nodes", index), world) for index, world in worlds.items()]
    return [(node, world) for node, world in nodes if "mesh" in node]


def _parts(file: GltfFile, mesh: int, weights: Sequence[float], skinned: bool) -> list[_Part]:
    """Read the primitives of a mesh that are triangles."""
    parts, total = [], 0
    for primitive in file.item("meshes", mesh)["primitives"]:
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in range(7):
            raise FormatError(f"a primitive of mode {str(mode)[:20]} is not read")
        if mode < _TRIANGLES:
            continue
        position = _position(file, primitive)
        count = file.count(position, "VEC3")
        faces = _faces(file, primitive, mode, count)
        if not len(faces):
            continue
        total += len(faces)
        check_number(total)
        if faces.max() >= count:
            raise FormatError("a face index is outside the range of the vertices")
        rows: Array | slice = slice(None)
        if count > faces.size:  # many primitives may share the vertices of all
            rows, places = np.unique(faces, return_inverse=True)
            faces = places.reshape(-1, 3).astype(np.int64)
        vertices = file.reals(position, "VEC3", rows)
        for weight, target in zip(weights, primitive.get("targets", []), strict=False):
            if weight and "POSITION" in target:
                vertices = vertices + weight * file.reals(target["POSITION"], "VEC3", rows)
        joints, shares = _joints(file, primitive["attributes"], rows, len(vertices), skinned)
        parts.append(_Part(vertices, faces, joints, shares))
    return parts


def _position(file: GltfFile, primitive: dict[str, Any]) -> int:
    """Return the accessor of a primitive's positions; they may be missing for an extension."""
    found: int | None = primitive.get("attributes", {}).get("POSITION")
    packed = [name for name in primitive.get("extensions", {}) if not _READ.fullmatch(name)]
    if packed and (
        found is None or not {"bufferView", "sparse"} & set(file.item("accessors", found))
    ):
        raise _unread(packed[0])
    if found is None:
        raise FormatError("a primitive has triangles but no positions")
    return found


def _faces(file: GltfFile, primitive: dict[str, Any], mode: int, count: int) -> Indices:
    """Return the triangles of a primitive, `[T, 3]`."""
    corners, last = np.arange(count), -1
    if "indices" in primitive:
        indices = file.integers(primitive["indices"], "SCALAR")[:, 0]
        corners, last = indices.astype(np.int64), np.iinfo(indices.dtype).max
    if mode == _TRIANGLES:
        if len(corners) % 3:
            raise FormatError(
                f"a primitive has {len(corners)} corners, which triangles do not have"
            )
        return corners.reshape(-1, 3)
    # The largest number of its type stands between two strips.
    return strip_triangles(corners, np.arange(len(corners)) == 0, corners == last, mode == _FANS)


def _joints(
    file: GltfFile, attributes: dict[str, int], rows: Array | slice, count: int, skinned: bool
) -> tuple[Indices, Doubles]:
    """Return the joints that move each vertex and their weights, `[V, J]`; none without a skin."""
    joints, weights = [np.zeros((count, 0), np.int64)], [np.zeros((count, 0))]
    while skinned and f"JOINTS_{len(joints) - 1}" in attributes:
        index = len(joints) - 1
        weights.append(file.reals(attributes[f"WEIGHTS_{index}"], "VEC4", rows))
        found = file.integers(attributes[f"JOINTS_{index}"], "VEC4")[rows].astype(np.int64)
        joints.append(np.where(weights[-1] == 0, 0, found))
    if skinned and len(joints) == 1:
        raise FormatError("a mesh with a skin has no joints")
    return np.concatenate(joints, axis=1), np.concatenate(weights, axis=1)


def _joined(parts: list[_Part]) -> _Part:
    """Join parts into one; a vertex with fewer joints than others gets more of no weight."""
    most = max((part.joints.shape[1] for part in parts), default=0)
    vertices, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    joints, weights = [np.zeros((0, most), np.int64)], [np.zeros((0, most))]
    for part in parts:
        vertices.append(part.vertices)
        faces.append(part.faces + count)
        more = ((0, 0), (0, most - part.joints.shape[1]))
        joints.append(np.pad(part.joints, more))
        weights.append(np.pad(part.weights, more))
        count += len(part.vertices)
    return _Part(
        np.concatenate(vertices),
        np.concatenate(faces),
        np.concatenate(joints),
        np.concatenate(weights),
    )


def _moved(part: _Part, world: Doubles) -> _Part:
    """Place a part; a mirrored one has its faces turned, so that they face outwards again."""
    turn = world[:3, :3]
    faces = part.faces[:, ::-1] if np.linalg.det(turn) < 0 else part.faces
    vertices = part.vertices @ turn.T + world[:3, 3]
    return _Part(vertices, faces, part.joints[:, :0], part.weights[:, :0])


def _skinned(part: _Part, matrices: Doubles) -> _Part:
    """Move each vertex by the mean of its joints' matrices, `[joints, 4, 4]`."""
    if part.joints.max() >= len(matrices):
        raise FormatError("a vertex has a joint that its skin does not have")
    vertices = np.zeros_like(part.vertices)
    for joint, weight in zip(part.joints.T, part.weights.T, strict=True):
        moved = np.einsum("vij,vj->vi", matrices[joint, :3, :3], part.vertices)
        vertices += weight[:, None] * (moved + matrices[joint, :3, 3])
    total = part.weights.sum(axis=1)
    vertices /= np.where(total > 0, total, 1)[:, None]
    return _Part(vertices, part.faces, part.joints[:, :0], part.weights[:, :0])
