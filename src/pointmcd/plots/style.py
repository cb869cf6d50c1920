"""Style of a report's figures: one colour per variant, images embedded in the page."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from pointmcd.typing import Bytes


@dataclass(frozen=True)
class Picture:
    """An inline picture with the text that stands for it."""

    uri: str
    alt: str
    caption: str = ""


#: Colours that people with any colour vision can tell apart (Okabe and Ito); grey: the baseline.
_COLOURS = {
    "baseline": "#5f6672",
    "distilled": "#0072b2",
    "distilled-all-visible": "#e69f00",
    "distilled-wrong-view": "#cc79a7",
    "distilled-random-teacher": "#009e73",
}
_MORE_COLOURS = ("#d55e00", "#56b4e9", "#8c6d1f", "#000000")

#: A gain and a loss, and points drawn over a view.
GAIN, LOSS, POINT = "#0072b2", "#d55e00", "#d55e00"


def variant_colours(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each variant; well-known ones always get the same."""
    colours: dict[str, str] = {}
    for label in labels:
        free = [*_COLOURS.values(), *_MORE_COLOURS]
        wanted = [_COLOURS[label]] if label in _COLOURS else [*_MORE_COLOURS, *free]
        unused = [colour for colour in wanted if colour not in colours.values()]
        colours[label] = (unused or wanted)[0]
    return colours


def tidy(figure: Figure, axis: Literal["x", "y"] = "y") -> Figure:
    """Remove needless frames and add a light grid across the values of an axis."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis=axis, color="#e3e6ea", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure


def svg_uri(figure: Figure) -> str:
    """A figure as an SVG data URI; the same figure always gives the same text."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "pointmcd", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _uri("image/svg+xml", buffer)


def png_uri(figure: Figure) -> str:
    """A figure as a PNG data URI, for figures of very many parts."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return _uri("image/png", buffer)


def picture_uri(picture: Bytes, colours: int = 64) -> str:
    """A picture [H, W] or [H, W, 3] as a PNG data URI, reduced to 64 colours, or to 256.

    256 are spread over the space of colours, not over the pixels, lest a small part lose its own.
    """
    method = Image.Quantize.FASTOCTREE if colours > 64 else None
    buffer = io.BytesIO()
    Image.fromarray(picture).quantize(colours, method).save(buffer, format="png", optimize=True)
    return _uri("image/png", buffer)


def _uri(kind: str, content: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
