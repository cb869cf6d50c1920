"""The page in a real browser: nothing on the console, every picture decoded, nothing sticks out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic_runs import Bench
from webdriver import CHROMIUM, DRIVER, Browser, browsing

from pointmcd.report.page import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver"
    ),
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsing(tmp_path) as found:
        yield found


def report(bench: Bench, folder: Path, view: bool = False) -> str:
    runs = bench.variant("distilled", 0.9, (0, 1)) + bench.variant(
        "distilled-wrong-view", 0.5, (0, 1)
    )
    baseline = bench.variant("baseline", 0.6, (0, 1))
    return write_report(runs, folder / "page.html", baseline, view=view).as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_picture_loads_and_nothing_sticks_out(
    bench: Bench, tmp_path: Path, browser: Browser, width: int, scheme: str
) -> None:
    browser.look(width, 900, scheme)
    browser.open(report(bench, tmp_path))
    images = browser.run("[...document.images].map((i) => [i.alt, i.naturalWidth])")
    assert len(images) > 12
    assert [alt for alt, size in images if not size] == []
    # Closed details too.
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true; return 1")
    assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.complaints() == []
    # Charts are drawn on white, and turned dark; pictures of shapes stay as they are.
    filters = browser.run("[...document.images].map((i) => getComputedStyle(i).filter)")
    charts = [one for one in filters if "invert" in one]
    assert bool(charts) == (scheme == "dark")
    assert len(charts) < len(filters)


def test_shapes_can_be_turned(bench: Bench, tmp_path: Path, browser: Browser) -> None:
    pytest.importorskip("plotly")
    browser.look(400, 900)
    browser.open(report(bench, tmp_path, view=True))
    browser.settle("document.querySelectorAll('#scene canvas').length > 0", 60)
    first = browser.run("$('note').textContent")
    browser.click("#next")
    assert browser.run("$('shape').value") == "1"
    assert browser.run("$('note').textContent") != first
    assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0
    assert [one for one in browser.complaints() if "Security" in one] == []
