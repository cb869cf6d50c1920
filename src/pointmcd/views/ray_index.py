"""First hits of rays with a mesh: by Embree, or by libigl where embreex has no wheel."""

from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np

from pointmcd.errors import ConfigError
from pointmcd.typing import Floats, Ints


class EmbreeIndex:
    """Embree's tree of vertices float32 [Vn, 3] and faces int32 [F, 3].

    Raises:
        ImportError: where embreex is not installed.
    """

    def __init__(self, vertices: Floats, faces: Ints) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self._scene = EmbreeScene(robust=True)  # no ray slips between faces that share an edge
        self._mesh = TriangleMesh(self._scene, vertices, faces)  # must live as long

    def first_faces(self, origins: Floats, directions: Floats) -> Ints:
        """Return the first face that each ray meets: int32 [R], -1 for none."""
        return np.asarray(self._scene.run(origins, directions), dtype=np.int32)

    def first_hits(self, origins: Floats, directions: Floats) -> tuple[Ints, Floats]:
        """Return also how far away it is, in lengths of the direction: infinity for none."""
        found = self._scene.run(origins, directions, output=True)
        face = np.asarray(found["primID"], dtype=np.int32)
        return face, np.where(face < 0, np.float32(np.inf), found["tfar"])


class LibiglIndex:
    """libigl's tree of the same, in double precision. It takes about five times as long.

    trimesh has a ray caster too: at 5,000 faces it takes a thousand times as long as this.

    Raises:
        ImportError: where libigl is not installed.
    """

    def __init__(self, vertices: Floats, faces: Ints) -> None:
        import igl

        self._mesh: Any = (vertices.astype(np.float64), faces.astype(np.int64))
        self._tree = igl.AABB()
        self._tree.init(*self._mesh)

    def first_faces(self, origins: Floats, directions: Floats) -> Ints:
        """Return the first face that each ray meets: int32 [R], -1 for none."""
        return self.first_hits(origins, directions)[0]

    def first_hits(self, origins: Floats, directions: Floats) -> tuple[Ints, Floats]:
        """Return also how far away it is, in lengths of the direction: infinity for none."""
        rays = (origins.astype(np.float64), directions.astype(np.float64))
        face, distance, _ = self._tree.intersect_ray_first(*self._mesh, *rays)
        return face.astype(np.int32), np.where(face < 0, np.inf, distance).astype(np.float32)


def ray_caster() -> type[EmbreeIndex] | type[LibiglIndex]:
    """Return the class that casts rays here: Embree's if it can be imported, else libigl's.

    Raises:
        ConfigError: where neither can.
    """
    for module, caster in (("embreex.rtcore_scene", EmbreeIndex), ("igl", LibiglIndex)):
        with suppress(ImportError):
            import_module(module)
            return caster
    raise ConfigError(
        "meshes are rendered by embreex or libigl, and neither is installed (pip install embreex,"
        " or libigl where it has no wheel); point clouds need neither"
    )
