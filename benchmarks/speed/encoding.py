"""The race of a frozen image encoder's features of one shape's views."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.shared.race import Call, Race
from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.runtimes import use_runtime
from pointmcd.views.raycast import Raycaster
from pointmcd.views.render import render_views
from pointmcd.views.rig import get_rig

ENCODER, RIG = "lite0", "ring12"
FLOOR = 2.0


def races() -> Iterator[Race]:
    """Yield the network as it was downloaded, all views at once, beside ours and ONNX Runtime."""
    rig = get_rig(RIG)
    views = torch.from_numpy(
        render_views(Raycaster(load_shape(list_shapes(furniture10())[0]), rig))
    )
    yield Race(
        f"features of {ENCODER}, {len(rig)} views of {rig.size} x {rig.size}",
        eager(views),
        {"torch": prepared("torch", views), "ONNX Runtime": prepared("onnx", views)},
        {"torch": FLOOR},
        repeats=9,
    )


def eager(views: Tensor) -> Call:
    """Return a call with batch norms apart, planes one after another, all views in one batch."""
    encoder = ImageEncoder(ENCODER).eval()
    network = encoder.network.to(memory_format=torch.contiguous_format)

    @torch.no_grad()
    def call() -> Tensor:
        images = (views[:, None] / 255 - encoder.mean) / encoder.std
        features: Tensor = network(images)
        return features

    return call


def prepared(runtime: str, views: Tensor) -> Call:
    """Return a call that computes them as `pointmcd teach` does."""
    encoder = ImageEncoder(ENCODER).eval()
    use_runtime(encoder, runtime)

    @torch.inference_mode()
    def call() -> Tensor:
        return encoder(views)

    return call
