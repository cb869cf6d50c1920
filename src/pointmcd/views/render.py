"""Grey views of a mesh from every camera of a rig."""

import numpy as np

from pointmcd.typing import Bools, Bytes, Floats, Ints
from pointmcd.views.raycast import Raycaster
from pointmcd.views.rays import centre_rays, pixel_rays

#: Raised whenever the same mesh and rig would give other pictures.
RENDERER = "embree-grey-1"
#: Greys: the background, the darkest face (light along it) and the brightest (light upon it).
BACKGROUND, DARKEST, BRIGHTEST = 255, 40, 215
#: Direction of the light in the camera's axes (right, up, towards the viewer).
LIGHT = np.array([-0.45, 0.65, 1.0]) / np.linalg.norm([-0.45, 0.65, 1.0])
#: Pixels that differ from a neighbour by more than this many greys get more rays.
_CONTRAST = 8.0
#: Places of the further rays in a pixel: a rotated grid meets near-vertical and near-horizontal
#: edges at four different depths.
_ROTATED_GRID = np.array([[0.125, 0.625], [0.375, 0.125], [0.625, 0.875], [0.875, 0.375]])


def render_views(caster: Raycaster) -> Bytes:
    """Render the mesh from every camera: grey, flat two-sided shading, white background.

    A surface has no inside: a face is lit alike from both sides, since meshes come with faces
    turned either way. Edges are smoothed; each pixel gets one ray, those at edges four more.

    Returns:
        uint8 [V, size, size], rows from the top.
    """
    return np.stack([_render(caster, view) for view in range(len(caster.rig))])


def face_maps(caster: Raycaster) -> Ints:
    """Return which face each pixel's middle shows: int32 [V, size, size], -1 for background."""
    return np.stack([_face_map(caster, view) for view in range(len(caster.rig))])


def _face_map(caster: Raycaster, view: int) -> Ints:
    origins, directions = centre_rays(caster.rig, view)
    return caster.first_faces(origins, directions).reshape(caster.rig.size, -1)


def _render(caster: Raycaster, view: int) -> Bytes:
    greys = _greys(caster, view)
    picture = greys[_face_map(caster, view)]
    rows, columns = np.nonzero(_contrasting(picture))
    places = np.stack([columns, rows], axis=1)[:, None] + _ROTATED_GRID
    origins, directions = pixel_rays(
        caster.rig, view, places[..., 0].ravel(), places[..., 1].ravel()
    )
    faces = caster.first_faces(origins, directions)
    further = greys[faces].reshape(-1, len(_ROTATED_GRID)).sum(axis=1)
    picture[rows, columns] = (picture[rows, columns] + further) / (1 + len(_ROTATED_GRID))
    return np.rint(picture).astype(np.uint8)


def _greys(caster: Raycaster, view: int) -> Floats:
    """Return the grey of every face, and the background's last, where face -1 finds it: [F + 1]."""
    frames = caster.rig.frames
    axes = np.stack([frames.right[view], frames.up[view], -frames.forward[view]])
    facing = np.abs(caster.normals @ (LIGHT @ axes).astype(np.float32))
    greys = DARKEST + (BRIGHTEST - DARKEST) * np.minimum(facing, 1)
    return np.append(greys, np.float32(BACKGROUND)).astype(np.float32)


def _contrasting(picture: Floats) -> Bools:
    """Mark pixels [size, size] that differ from the one above, below, left or right."""
    marked = np.zeros(picture.shape, dtype=bool)
    for turned, mark in ((picture, marked), (picture.T, marked.T)):
        differs = np.abs(np.diff(turned, axis=0)) > _CONTRAST
        mark[1:] |= differs
        mark[:-1] |= differs
    return marked
