"""Nodes of a glTF file: which of them are shown, and where each stands."""

from typing import Any

import numpy as np
from trimesh.transformations import quaternion_matrix

from pointmcd.errors import FormatError
from pointmcd.shapes.gltf_file import GltfFile
from pointmcd.typing import Doubles


@np.errstate(all="ignore")  # vertices that are not finite are refused with the mesh
def placed_nodes(file: GltfFile) -> dict[int, Doubles]:
    """Return the nodes of the default scene, else of the first or only one, with matrices `[4, 4]`.

    Without any scene these are all nodes. A node that is not visible is left out with its children.

    Raises:
        FormatError: when a node has two parents, is its own ancestor, or stands for many.
    """
    found: dict[int, Doubles] = {}
    waiting = [(root, np.eye(4)) for root in reversed(_roots(file))]
    while waiting:
        index, parent = waiting.pop()
        node = file.item("nodes", index)
        if index in found:
            raise FormatError(f"nodes[{index}] has two parents, or is its own ancestor")
        extensions = node.get("extensions", {})
        if "EXT_mesh_gpu_instancing" in extensions:
            raise FormatError(
                "the extension EXT_mesh_gpu_instancing is not read; export without it"
            )
        if extensions.get("KHR_node_visibility", {}).get("visible", True):
            found[index] = parent @ _matrix(node)
            waiting += [(child, found[index]) for child in reversed(node.get("children", []))]
    return found


def _roots(file: GltfFile) -> list[int]:
    if file.content.get("scenes"):
        roots: list[int] = file.item("scenes", file.content.get("scene", 0)).get("nodes", [])
        return roots
    nodes = file.content.get("nodes", [])
    children = {child for node in nodes for child in node.get("children", [])}
    return [index for index in range(len(nodes)) if index not in children]


def _matrix(node: dict[str, Any]) -> Doubles:
    """Return the matrix of a node relative to its parent, `[4, 4]`."""
    if "matrix" in node:
        return np.reshape(np.asarray(node["matrix"], dtype=np.float64), (4, 4), order="F")
    rotation = np.asarray(node.get("rotation", (0, 0, 0, 1)), dtype=np.float64)
    matrix: Doubles = quaternion_matrix(np.roll(rotation, 1))  # w first; zeros turn nothing
    matrix[:3, :3] *= np.asarray(node.get("scale", (1, 1, 1)), dtype=np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def joint_matrices(file: GltfFile, skin: int, worlds: dict[int, Doubles]) -> Doubles:
    """Return the matrix by which each joint of a skin moves a vertex, `[joints, 4, 4]`."""
    found = file.item("skins", skin)
    if not all(joint in worlds for joint in found["joints"]):
        raise FormatError(f"skins[{skin}] has joints outside the scene")
    joints = np.array([worlds[joint] for joint in found["joints"]]).reshape(-1, 4, 4)
    if "inverseBindMatrices" not in found:
        return joints
    inverse = file.reals(found["inverseBindMatrices"], "MAT4", slice(None))
    return np.asarray(joints @ inverse[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1))
