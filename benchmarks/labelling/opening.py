"""How long the page for classes takes to open in a browser, and how large it is, with many shapes.

    python -m benchmarks.labelling.opening STORE --shapes 10000

The pictures of a store's shapes are repeated under new names until there are so many; all else is
as `pointmcd label` does it. Chromium opens the page from disk, each time anew; the time ends when
the cards in sight show their pictures. benchmarks/labelling/README.md gets a section.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.labelling import PAGE, rewrite
from benchmarks.shared.page import machine, table
from pointmcd.data.records import ShapeRecord
from pointmcd.data.store import Store
from pointmcd.labelling.html import write_label_page
from pointmcd.labelling.page import LabelPage
from pointmcd.labelling.thumbnails import thumbnails
from pointmcd.typing import Bytes
from tests.webdriver import Browser, browsing

TIMES = 5
#: Whether all cards in sight are there with their pictures.
SHOWN = """
    const images = [...document.querySelectorAll(".card img")];
    return images.length > 10 && images.every((image) => image.complete && image.naturalWidth);"""


class Repeated(Store):
    """A store whose shapes are repeated, each time under another name, up to a number."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(path)
        self.own, self.shapes = len(self.shapes), self._repeated(count)

    def _repeated(self, count: int) -> list[ShapeRecord]:
        found = (self.shapes[i % len(self.shapes)] for i in range(count))
        return [
            ShapeRecord(f"{i:05d}/{shape.name}", None, "train") for i, shape in enumerate(found)
        ]

    def views(self, index: int) -> Bytes:
        """Return the views of the shape that is repeated."""
        return super().views(index % self.own)


def made_page(path: Path, count: int, out: Path) -> tuple[Path, float]:
    """Return a page of so many shapes, and the seconds that its pictures took."""
    store = Repeated(path, count)
    begin = time.perf_counter()
    pictures = thumbnails(store)
    seconds = time.perf_counter() - begin
    order = np.random.default_rng(0).permutation(count).tolist()
    return write_label_page(LabelPage(store, {}, order, 50, pictures), out), seconds


def opened(browser: Browser, page: Path) -> float:
    """Return the seconds until the page shows its first cards."""
    browser.open("about:blank")
    begin = time.perf_counter()
    browser.open(page.as_uri())
    while not browser.run(SHOWN):
        time.sleep(0.02)
    return time.perf_counter() - begin


def section(path: Path, count: int) -> Iterator[str]:
    """Yield the paragraphs."""
    yield f"## A page of {count:,} shapes"
    with tempfile.TemporaryDirectory() as folder:
        page, drawing = made_page(path, count, Path(folder) / "labels.html")
        with browsing(Path(folder) / "browser") as browser:
            browser.look(1400, 900)
            seconds = [opened(browser, page) for _ in range(TIMES)]
            begin = time.perf_counter()
            browser.keys("a", held=["Control"])
            browser.keys("/", "thing", "Enter")
            assert browser.run("labels.count") == count
            labelled = time.perf_counter() - begin
        size = page.stat().st_size / 1e6
    yield (
        f"`python -m benchmarks.labelling.opening STORE --shapes {count}`, STORE of {path.name}:"
        f" its pictures, repeated, in headless Chromium from disk; median of {TIMES} and longest."
    )
    head = ("size", "opens, cards shown", "longest", "select and label all", "drawing the pictures")
    cells = (np.median(seconds), max(seconds), labelled, drawing)
    yield table(head, [(f"{size:.1f} MB", *(f"{one:.1f} s" for one in cells))], left=0)
    yield machine()


def main() -> None:
    """Measure, and write the section."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("store", type=Path)
    options.add_argument("--shapes", type=int, default=10_000)
    chosen = options.parse_args()
    rewrite(PAGE, list(section(chosen.store, chosen.shapes)))


if __name__ == "__main__":
    main()
