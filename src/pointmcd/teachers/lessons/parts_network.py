"""Network of the segmentation lesson: views in, a descriptor and a label per pixel out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.teachers.lesson import DESCRIPTOR_SIZE
from pointmcd.teachers.maps import MapDecoder, separable

#: Channels of the decoder.
WIDTH = 64


class PartsDecoder(MapDecoder):
    """Feature maps of a view and its shape's class -> a descriptor and a label for every pixel.

    As the method's part-segmentation teacher (PointMCD): a U-Net-like decoder on a pretrained
    encoder, given the class one-hot; the view's descriptor is the pooled deepest feature.
    Decoder and labels are ours: light enough for a CPU. Label 0 is background, 1 + p part p.

    Args:
        channels: of the encoder's maps at strides 2, 4, 8, 16 and 32.
        num_classes, num_parts: of the store.
    """

    def __init__(self, channels: tuple[int, ...], num_classes: int, num_parts: int) -> None:
        _, *finer, deepest = channels
        super().__init__(deepest)
        self.narrow = _Join(DESCRIPTOR_SIZE, num_classes)
        self.stages = nn.ModuleList(_Stage(c, num_classes) for c in reversed(finer))
        self.classifier = nn.Conv2d(WIDTH, 1 + num_parts, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, maps: list[Tensor], labels: Tensor) -> Tensor:
        """Maps [n, C_i, S / s, S / s], class ids int64 [n] -> pixel features [n, WIDTH, h, w].

        They are at stride 4.
        """
        _, *finer, deepest = maps
        pixels: Tensor = self.narrow(self.bottleneck(deepest), labels)
        for stage, skipped in zip(self.stages, reversed(finer), strict=True):
            pixels = stage(pixels, skipped, labels)
        return pixels

    def logits_at(self, pixels: Tensor, places: Tensor) -> Tensor:
        """Pixel features and places [n, M, 2] (x, y; -1 to 1 across the view) -> [n, 1 + P, M].

        Interpolated features, then the classifier: the same as interpolated logits, for a tenth
        of the work, as it is linear.
        """
        sampled = F.grid_sample(pixels, places[:, None], padding_mode="border", align_corners=False)
        logits: Tensor = self.classifier(sampled)
        return logits[:, :, 0]

    def predict(self, pixels: Tensor, size: int, start: int, stop: int) -> Tensor:
        """Return the part of each pixel: global ids int64 [n, size, size], -1 for background.

        The pixel features are of views of one class, whose parts are `start` to below `stop`; no
        others are predicted.
        """
        rows = [0, *range(1 + start, 1 + stop)]
        weight, bias = self.classifier.weight[rows], self.classifier.bias[rows]  # type: ignore[index]
        logits = F.interpolate(
            F.conv2d(pixels, weight, bias), (size, size), mode="bilinear", align_corners=False
        )
        best = logits.argmax(dim=1)
        return torch.where(best == 0, -1, best + (start - 1))


class ImageSegmenter(nn.Module):
    """Images in 0 to 1, float [B, V, 3, H, W], and class ids -> logits [B, V, P + 1, H, W].

    They are of all parts, and of the background at the end.
    """

    def __init__(self, encoder: ImageEncoder, decoder: PartsDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Label the pixels of all views; class ids int64 [B]."""
        of_views = labels[:, None].expand(-1, images.shape[1]).flatten()
        pixels = self.decoder(self.encoder.maps(images.flatten(0, 1)), of_views)
        logits = F.interpolate(
            self.decoder.classifier(pixels), images.shape[-2:], mode="bilinear", align_corners=False
        )
        ordered = torch.cat([logits[:, 1:], logits[:, :1]], dim=1)
        of_shapes: Tensor = ordered.unflatten(0, images.shape[:2])
        return of_shapes


class _Join(nn.Module):
    """A 1x1 convolution to WIDTH of a map with the class one-hot appended."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.of_map = nn.Conv2d(channels, WIDTH, 1)
        self.of_class = nn.Embedding(num_classes, WIDTH)  # the weights of the one-hot's channels

    def forward(self, image_map: Tensor, labels: Tensor) -> Tensor:
        joined: Tensor = self.of_map(image_map) + self.of_class(labels)[:, :, None, None]
        return joined


class _Stage(nn.Module):
    """Upsample, add the encoder's map of that size and the class, 3x3 depthwise separable."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.lateral = _Join(channels, num_classes)
        self.mix = separable(WIDTH, WIDTH)

    def forward(self, deep: Tensor, skipped: Tensor, labels: Tensor) -> Tensor:
        size = skipped.shape[-2:]
        wide = F.interpolate(deep, size, mode="bilinear", align_corners=False)
        mixed: Tensor = self.mix(wide + self.lateral(skipped, labels))
        return mixed
