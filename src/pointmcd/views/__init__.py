"""Camera rigs, pictures of meshes by ray casting, and which points each camera sees."""

from pointmcd.views.raycast import Raycaster
from pointmcd.views.render import RENDERER, face_maps, render_views
from pointmcd.views.rig import Rig, get_rig, list_rigs
from pointmcd.views.visibility import visible_points

__all__ = [
    "RENDERER",
    "Raycaster",
    "Rig",
    "face_maps",
    "get_rig",
    "list_rigs",
    "render_views",
    "visible_points",
]
