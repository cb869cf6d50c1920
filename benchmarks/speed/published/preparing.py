"""A shape prepared with rays and index set up per call, farthest points by a Python loop."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from PIL import Image

from pointmcd.shapes.mesh import Mesh, read_mesh
from pointmcd.shapes.sampling import OVERSAMPLING
from pointmcd.views.framing import frame
from pointmcd.views.rays import pixel_rays
from pointmcd.views.rig import Rig

Floats = npt.NDArray[np.float32]
#: Rays of one call: origins, directions, and whether distances are asked for.
Call = tuple[Floats, Floats, bool]


def farthest_loop(points: Floats, count: int) -> npt.NDArray[np.int64]:
    """Pick farthest points by a loop: [N, 3] -> [count]."""
    order, nearest = [0], np.full(len(points), np.inf, np.float32)
    for _ in range(count - 1):
        squares = ((points - points[order[-1]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, squares)
        order.append(int(nearest.argmax()))
    return np.array(order)


def scene_of(vertices: Floats, faces: npt.NDArray[np.int32]) -> EmbreeScene:
    """Build an index over triangles."""
    scene = EmbreeScene(robust=True)
    TriangleMesh(scene, vertices, faces)
    return scene


def prepare_per_call(path: Path, rig: Rig, count: int, out: Path) -> None:
    """Write pictures, points and visibility as text, with an index and rays of each view's own."""
    loaded = trimesh.load_mesh(path, process=False)
    mesh = Mesh(np.asarray(loaded.vertices), np.asarray(loaded.faces))
    framing = frame(mesh, rig)
    vertices, faces = framing.apply(mesh.vertices).astype(np.float32), mesh.faces.astype(np.int32)
    drawn = trimesh.Trimesh(vertices, faces, process=False)
    cloud, _ = trimesh.sample.sample_surface(drawn, OVERSAMPLING * count)
    points = np.asarray(cloud, np.float32)
    points = points[farthest_loop(points, count)]
    seen = np.empty((count, len(rig)))
    for view, position in enumerate(rig.frames.position):
        scene = scene_of(vertices, faces)
        rows, columns = np.divmod(np.arange(rig.size**2), rig.size)
        hit = scene.run(*pixel_rays(rig, view, columns + 0.5, rows + 0.5))
        lit = np.abs(np.asarray(drawn.face_normals) @ rig.frames.forward[view])
        greys = np.append(40 + 175 * lit, 255)[hit].astype(np.uint8)
        Image.fromarray(greys.reshape(rig.size, rig.size)).save(out / f"{view}.png")
        directions = (points - position).astype(np.float32)
        origins = np.tile(position.astype(np.float32), (count, 1))
        found = scene_of(vertices, faces).run(origins, directions, output=True)
        seen[:, view] = found["tfar"] >= 1 - 1e-5
    np.savetxt(out / "points.txt", points)
    np.savetxt(out / "visibility.txt", seen, fmt="%d")


def bare(path: Path, vertices: Floats, faces: npt.NDArray[np.int32], calls: list[Call]) -> None:
    """Do only what no preparation can do without: read the file, build the index, cast the rays."""
    read_mesh(path, str(path), path.suffix)
    scene = scene_of(vertices, faces)
    for origins, directions, output in calls:
        scene.run(origins, directions, output=output)
