"""How far a frozen encoder's features in half precision are from those in float32, on the CPU.

python -m benchmarks.speed.rounding
"""

from unittest.mock import patch

import torch
from torch import Tensor

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.ops import packed_convolution
from pointmcd.views.raycast import Raycaster
from pointmcd.views.render import render_views
from pointmcd.views.rig import get_rig

ENCODER, RIG, SHAPES = "lite0", "ring12", 16


@torch.inference_mode()
def main() -> None:
    """Print the distance of each type, in units of the features' own length."""
    shapes, rig = list_shapes(furniture10()), get_rig(RIG)
    chosen = shapes[:: len(shapes) // SHAPES][:SHAPES]
    strips = [render_views(Raycaster(load_shape(shape), rig))[::3] for shape in chosen]
    views = torch.cat([torch.from_numpy(strip) for strip in strips])
    encoder = ImageEncoder(ENCODER).eval()
    encoder.fold()
    # Packed convolutions have no half precision; a GPU takes the plain ones too.
    with patch.object(packed_convolution, "_fuses", lambda images: False):
        exact = encoder(views)
        for kind in (torch.float16, torch.bfloat16):
            with torch.autocast("cpu", kind):
                print(f"{kind}, {len(views)} views: {distance(encoder(views), exact):.2%}")
    print(f"stored as float16: {distance(exact.half().float(), exact):.3%}")


def distance(found: Tensor, exact: Tensor) -> float:
    """Return the root mean square of the difference, in units of that of `exact`."""
    return float((found - exact).norm() / exact.norm())


if __name__ == "__main__":
    main()
