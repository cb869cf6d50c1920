"""Small pictures of shapes: for each its most telling view, cropped, as text for a page."""

import base64
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from joblib import cpu_count
from PIL import Image, features

from pointmcd.data.store import Store
from pointmcd.progress import progress_bar
from pointmcd.typing import Bools, Bytes

#: Widths of pictures and their quality; the first with which all fit into the page are taken.
_SIZES = ((192, 60), (144, 50), (96, 40), (64, 30))
#: Characters of all pictures together, and the shapes on which the size is tried.
_MOST, _TRIED = 40_000_000, 48
#: Lighter pixels are background.
_BACKGROUND = 250
#: Space around a shape, as a fraction of its longer side.
_MARGIN = 0.04


def picture_kind() -> str:
    """Return the media type of the pictures: WebP, or JPEG where Pillow has none."""
    return "image/webp" if features.check("webp") else "image/jpeg"


def thumbnails(store: Store) -> list[str]:
    """Return a picture of each shape, in base64.

    Raises:
        StoreError: when views are absent or damaged.
    """
    count = len(store.shapes)
    tried = np.linspace(0, count, min(count, _TRIED), endpoint=False).astype(int)
    with ThreadPoolExecutor(cpu_count()) as pool, progress_bar() as progress:
        sample = list(pool.map(lambda index: _square(store, int(index)), tried))
        size, quality = next(
            filter(lambda option: _fit(sample, count, *option), _SIZES), _SIZES[-1]
        )
        task = progress.add_task("pictures", total=count, note="")
        found = []
        for one in pool.map(
            lambda index: _encoded(_square(store, index), size, quality), range(count)
        ):
            found.append(one)
            progress.advance(task)
    return found


def _square(store: Store, index: int) -> Image.Image:
    """The most telling view of a shape, not from below if there is another, cropped."""
    views = store.views(index)
    level = np.array([elevation >= 0 for elevation, _ in store.rig["cameras"]])
    return cropped(views[telling_view(views, level)])


def _fit(sample: Sequence[Image.Image], count: int, size: int, quality: int) -> bool:
    """Return whether `count` pictures like a sample are small enough."""
    mean = np.mean([len(_encoded(one, size, quality)) for one in sample])
    return bool(mean * count <= _MOST)


def _encoded(picture: Image.Image, size: int, quality: int) -> str:
    return encoded(picture.resize((size, size), Image.Resampling.LANCZOS), quality)


def encoded(picture: Image.Image, quality: int) -> str:
    """Return a picture as text for a page, of the media type of `picture_kind`."""
    buffer = io.BytesIO()
    picture.save(buffer, format=picture_kind().partition("/")[2], quality=quality)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def telling_view(views: Bytes, preferred: Bools | None = None) -> int:
    """Return the view whose silhouette is largest and whose greys are most varied.

    The score is the area of the silhouette times the entropy of its greys (bits), a form of the
    viewpoint entropy of Vazquez et al. (VMV 2001) that needs pixels alone.

    Args:
        views: grey pictures [V, S, S] on a light background.
        preferred: views [V] to choose from where they show anything, such as those not from below.
    """
    scores = np.array([_score(view) for view in views])
    if preferred is not None and scores[preferred].any():
        scores = np.where(preferred, scores, -1.0)
    return int(scores.argmax())


def _score(view: Bytes) -> float:
    greys = np.bincount(view[::2, ::2].ravel(), minlength=256)[:_BACKGROUND].astype(np.float64)
    total = greys.sum()
    shares = greys[greys > 0] / max(total, 1.0)
    # One grey alone has no entropy, but is better than nothing.
    return float(total * (1e-3 - (shares * np.log2(shares)).sum()))


def cropped(view: Bytes, beside: Bytes | None = None, ground: int = 255) -> Image.Image:
    """Return a view cut, or widened, to a square that its shape fills.

    Args:
        view: a grey picture [S, S].
        beside: another of the same view, which is cut in its stead.
        ground: what is put around it.
    """
    rows, columns = (np.flatnonzero((view < _BACKGROUND).any(axis=axis)) for axis in (1, 0))
    picture = Image.fromarray(view if beside is None else beside)
    if not len(rows):
        return picture
    left, top = int(columns[0]), int(rows[0])
    width, height = int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
    side = math.ceil(max(width, height) * (1 + 2 * _MARGIN))
    square = Image.new("L", (side, side), ground)
    part = picture.crop((left, top, left + width, top + height))
    square.paste(part, ((side - width) // 2, (side - height) // 2))
    return square
