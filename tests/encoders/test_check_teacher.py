"""Image encoders of one's own, checked rule by rule."""

import numpy as np
import pytest
import torch
from own_encoders import Means, Own, wide
from torch import nn
from toy_lesson import ToyEncoder

from pointmcd import check_teacher
from pointmcd.errors import ConfigError


def forward(function):
    """A class of encoders like Means with another `forward`."""
    return type("Broken", (Means,), {"forward": lambda self, images: function(images)})


def pyramid(function):
    """A class of encoders like Own with another `pyramid`, of maps of 4 channels."""
    members = {
        "pyramid": lambda self, images: function(images[:, :1].expand(-1, 4, -1, -1)),
        "pyramid_channels": (4,) * len(function(torch.ones(1, 4, 64, 64))),
        "forward": lambda self, images: images.mean(dim=(2, 3)).repeat(1, 2),
    }
    return type("Broken", (Own,), members)


def halved(images, *factors):
    return [nn.functional.avg_pool2d(images, factor) for factor in factors]


class Unseeded(Means):
    """Weights from numpy."""

    def __init__(self):
        super().__init__()
        self.shift = np.random.default_rng().normal()

    def forward(self, images):
        return images.mean(dim=(2, 3)) + self.shift


@pytest.mark.parametrize(
    "encoder", ["module:own_encoders:Own", Own, Means, lambda: Own(3.0), ToyEncoder]
)
def test_encoders_that_keep_the_contract(encoder):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    check_teacher(encoder)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("encoder", "text"),
    [
        (wide, r"gives \[2, 3\] of two images, expected \[2, 4\]"),
        (lambda: 5, "its factory gives a int, expected a torch module"),
        (forward(lambda x: (x - x).mean((2, 3)) / 0), "features are not finite"),
        (
            forward(lambda x: nn.functional.dropout(x).mean((2, 3))),
            "features change from call to call in evaluation",
        ),
        (
            forward(lambda x: x.mean((2, 3)) - x.mean((0, 2, 3))),
            "features of an image change with the rest of its batch in evaluation",
        ),
        (Unseeded, "its factory makes other weights each time; load them"),
        (pyramid(lambda x: halved(x, 2, 4, 8, 16)), "pyramid gives 4 maps, expected 5"),
        (
            pyramid(lambda x: halved(x, 2, 4, 8, 8, 16)),
            r"pyramid gives maps of \[\(32, 32\), .*; expected each",
        ),
        (
            pyramid(lambda x: [m / 0 for m in halved(x, 2, 4, 8, 16, 32)]),
            "pyramid gives maps that are not finite",
        ),
    ],
)
def test_an_encoder_that_breaks_a_rule_is_told_which(encoder, text):
    with pytest.raises(ConfigError, match=rf"^teacher module:{encoder.__name__}: {text}") as caught:
        check_teacher(encoder)
    assert "\n" not in str(caught.value)


def test_an_encoder_that_is_not_there():
    with pytest.raises(ConfigError, match="teacher module:no_such:make: cannot be imported"):
        check_teacher("module:no_such:make")
