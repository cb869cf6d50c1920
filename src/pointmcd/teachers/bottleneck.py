"""What teachers on feature maps share: the bottleneck, and an encoder that may be frozen."""

from torch import Tensor, nn

from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.teachers.heads import DESCRIPTOR_SIZE

#: What such a teacher takes: views uint8 [n, S, S], or a frozen encoder's maps of them.
MapInputs = Tensor | list[Tensor]


class MapDecoder(nn.Module):
    """1x1 convolution + BN + ReLU to 512 on an encoder's deepest map; a descriptor is its mean.

    Args:
        deepest: channels of that map.
    """

    def __init__(self, deepest: int) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(
            nn.Conv2d(deepest, DESCRIPTOR_SIZE, 1, bias=False),
            nn.BatchNorm2d(DESCRIPTOR_SIZE),
            nn.ReLU(),
        )

    def describe(self, deepest: Tensor) -> Tensor:
        """The encoder's deepest map [n, C, h, w] -> descriptors [n, 512], never negative."""
        return pool_map(self.bottleneck(deepest))


def pool_map(deep: Tensor) -> Tensor:
    """The bottleneck's output [n, 512, h, w] -> descriptors [n, 512]."""
    return deep.mean(dim=(2, 3))


class MapTeacher(nn.Module):
    """Encoder and decoder; the encoder stands still, outside, unless it is fine-tuned.

    Args:
        encoder: the image encoder.
        decoder: what is put on its maps.
        finetune: train the encoder too.
    """

    decoder: MapDecoder

    def __init__(self, encoder: ImageEncoder, decoder: MapDecoder, finetune: bool) -> None:
        super().__init__()
        self.encoder = encoder if finetune else None
        self.decoder = decoder

    def describe(self, inputs: MapInputs) -> Tensor:
        """The descriptors [n, 512] alone; nothing is decoded."""
        return self.decoder.describe(self._maps(inputs)[-1])

    def _maps(self, inputs: MapInputs) -> list[Tensor]:
        if isinstance(inputs, list):
            return inputs
        assert self.encoder is not None
        return self.encoder.pyramid(inputs)
