"""Random changes of views, for training an encoder on few of them."""

import torch
import torch.nn.functional as F
from torch import Tensor

#: Largest shift, as a share of the image's side, and largest change of the size.
SHIFT, SCALE = 0.05, 0.1


def augment_views(views: Tensor) -> Tensor:
    """Mirror, shift and scale each view at random: grey, uint8 [n, S, S] -> the same.

    What comes into view is white, as the background is. Draws come from torch's global generator
    on the CPU, and are the same on any device.
    """
    count, size = len(views), views.shape[-1]
    mirrored = 1 - 2 * torch.randint(2, (count,))
    scale = 1 + SCALE * (2 * torch.rand(count) - 1)
    to_source = torch.zeros(count, 2, 3)
    to_source[:, 0, 0], to_source[:, 1, 1] = mirrored / scale, 1 / scale
    to_source[:, :, 2] = 2 * SHIFT * (2 * torch.rand(count, 2) - 1)  # the side has length 2
    grid = F.affine_grid(to_source, [count, 1, size, size], align_corners=False)
    ink = 255 - views[:, None].float()  # outside the image grid_sample finds zeros
    moved = F.grid_sample(ink, grid.to(views.device), align_corners=False)
    return (255 - moved[:, 0]).round().to(torch.uint8)
