"""Colours for the parts of one class that people with any colour vision can tell apart."""

import numpy as np

from pointmcd.typing import Bytes, Integers

#: The first six are Okabe and Ito's; each further one is the colour, of all that are neither pale
#: nor dark nor grey, that lies farthest from those before it, for the vision that tells it from
#: them worst: full, or lacking one of the three kinds of cones (Machado et al. 2009, eq. 1; CIELAB
#: distance). In any vision, no two of the first twelve come
#: nearer than 16, and no two of all 24 nearer than 13.
_COLOURS = np.array(
    [
        *((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167)),
        *((86, 180, 233), (213, 94, 0), (136, 0, 255), (187, 221, 136)),
        *((119, 51, 17), (85, 68, 102), (68, 51, 170), (187, 85, 255)),
        *((255, 187, 204), (238, 0, 85), (102, 17, 119), (85, 238, 85)),
        *((136, 0, 51), (170, 170, 85), (170, 85, 34), (136, 204, 153)),
        *((221, 17, 187), (153, 153, 255), (85, 0, 187), (119, 102, 68)),
    ],
    dtype=np.uint8,
)

#: Of a point without a label.
_UNLABELLED = np.array([[200, 200, 200]], dtype=np.uint8)


def part_colours(count: int) -> Bytes:
    """One colour for each of `count` parts, uint8 [count, 3]; after the 24th they repeat."""
    return _COLOURS[np.arange(count) % len(_COLOURS)]


def part_hex(count: int) -> list[str]:
    """The same as texts, such as #0072b2."""
    return [f"#{bytes(colour).hex()}" for colour in part_colours(count)]


def part_paint(parts: Integers, count: int) -> Bytes:
    """The colours uint8 [N, 3] of parts [N], counted from 0; light grey for -1, without a label."""
    return np.asarray(np.concatenate([part_colours(count), _UNLABELLED])[parts])
