"""Draw docs/images/pipeline.svg from a chair of the embedded set: python docs/site/pipeline.py.

Its colours are legible on white and on black, as the reader's page may be either.
"""

import io
from base64 import b64encode
from pathlib import Path

import numpy as np
from PIL import Image

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.shapes.sampling import sample_surface
from pointmcd.typing import Bools, Bytes, Doubles
from pointmcd.views.raycast import Raycaster, visible_points
from pointmcd.views.render import render_views
from pointmcd.views.rig import get_rig

PICTURE = Path(__file__).parents[1] / "images" / "pipeline.svg"
SHAPE = "chair/train/chair_0009"  # CC0
VIEWS, FIRST, POINTS, SIDE = (1, 4, 10), 1, 400, 112
BLUE, GREEN, ORANGE, GREY = "#2f6fd0", "#1f8f58", "#d9730d", "#7d8590"
HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 372" role="img"
 font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="15"
 text-anchor="middle">
<title>From meshes to a point encoder</title>
<desc>Views of a mesh go through an image model, which gives a descriptor of each view. Points of
 the same mesh go through a point encoder, which learns to match the descriptors from the points
 that are visible in each view. At inference points alone give classes or parts.</desc>
<defs><marker id="tip" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7"
 orient="auto-start-reverse"><path d="M0 0 10 5 0 10z" fill="{GREY}"/></marker></defs>
"""


def text(x: float, y: float, *lines: str, colour: str = GREY, weight: int = 400) -> str:
    """Write lines of text, each 19 below the last."""
    spans = "".join(f'<tspan x="{x}" dy="{19 * (n > 0)}">{s}</tspan>' for n, s in enumerate(lines))
    return f'<text x="{x}" y="{y}" fill="{colour}" font-weight="{weight}">{spans}</text>'


def box(x: float, y: float, colour: str, name: str, note: str) -> str:
    """Draw a model: a coloured box of 170 by 72, named in white."""
    return (
        f'<rect x="{x}" y="{y}" width="170" height="72" rx="10" fill="{colour}"/>'
        + text(x + 85, y + 32, name, colour="#fff", weight=600)
        + text(x + 85, y + 53, note, colour="#fff")
    )


def arrow(path: str, dashes: str = "") -> str:
    """Draw an arrow along a path."""
    style = f'stroke="{GREY}" stroke-width="2" fill="none" stroke-dasharray="{dashes}"'
    return f'<path d="{path}" {style} marker-end="url(#tip)"/>'


def image(x: float, y: float, pixels: Bytes) -> str:
    """Place a view, in a frame."""
    file = io.BytesIO()
    Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "png")
    data = b64encode(file.getvalue()).decode()
    place = f'x="{x}" y="{y}" width="92" height="92"'
    return (
        f'<image {place} href="data:image/png;base64,{data}"/>'
        f'<rect {place} fill="none" stroke="{GREY}"/>'
    )


def cloud(x: float, y: float, places: Doubles, seen: Bools) -> str:
    """Draw points [P, 2] of a unit square in one of 134, those that are seen in orange."""
    dots = [f'<circle cx="{x + 134 * u:.1f}" cy="{y + 134 * v:.1f}" r="1.8"/>' for u, v in places]
    groups = [(GREY, [d for d, s in zip(dots, seen, strict=True) if not s])]
    groups += [(ORANGE, [d for d, s in zip(dots, seen, strict=True) if s])]
    return "\n".join(f'<g fill="{colour}">{"".join(kind)}</g>' for colour, kind in groups)


def descriptors(x: float, y: float) -> str:
    """Draw a descriptor for each view: rows of cells in shades of blue."""
    shades = np.random.default_rng(4).uniform(0.15, 1, (len(VIEWS), 9))
    return "".join(
        f'<rect x="{x + 14 * column}" y="{y + 26 * row}" width="13" height="20" fill="{BLUE}"'
        f' fill-opacity="{shade:.2f}"/>'
        for (row, column), shade in np.ndenumerate(shades)
    )


def draw() -> str:
    """Return the picture as SVG."""
    mesh = load_shape(next(s for s in list_shapes(furniture10()) if s.name == SHAPE))
    caster = Raycaster(mesh, get_rig("ring12"))
    views = render_views(caster)
    points, face = sample_surface(mesh, POINTS, 0)
    seen = visible_points(caster, points, face)[:, FIRST]
    frames = caster.rig.frames
    away = caster.framing.apply(points) - frames.position[FIRST]
    depth = caster.rig.tangent * (away @ frames.forward[FIRST])
    across, above = away @ frames.right[FIRST] / depth, away @ frames.up[FIRST] / depth
    places = np.stack([1 + across, 1 - above], axis=1) / 2
    parts = [
        *(image(20 + 104 * n, 44, views[view]) for n, view in enumerate(VIEWS)),
        text(170, 26, "12 views of each mesh"),
        arrow("M332 90H392"),
        box(404, 54, BLUE, "Image model", "pretrained on photos"),
        arrow("M578 90H638"),
        descriptors(650, 54),
        text(713, 26, "a descriptor of each view"),
        cloud(103, 205, places, seen),
        text(170, 358, "points; orange: visible in the first view"),
        arrow("M250 280H392"),
        box(404, 244, GREEN, "Point encoder", "PointNet, DGCNN, ..."),
        arrow("M578 280H638"),
        text(722, 276, "class or parts,", "no image needed", colour=GREEN, weight=600),
        arrow("M713 138V190H489V236", "6 4"),
        text(601, 182, "learns to match", colour=ORANGE, weight=600),
        f'<rect x="12" y="204" width="836" height="162" rx="12" fill="none" stroke="{GREEN}"'
        ' stroke-width="1.5" stroke-dasharray="4 5"/>',
        text(784, 226, "at inference", colour=GREEN),
    ]
    return HEAD + "\n".join(parts) + "\n</svg>\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
