"""Shapes in 3D in a real browser: they are drawn, another is chosen, colours change."""

import time

import pytest
from webdriver import CHROMIUM, DRIVER, browsing

from pointmcd.report.view import view

pytest.importorskip("plotly")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver"
    ),
]


def settle(browser, expression):
    deadline = time.monotonic() + 60
    while not browser.run(expression):
        assert time.monotonic() < deadline, expression
        time.sleep(0.1)


def test_shapes_are_drawn_and_coloured(tiny_store, tmp_path):
    page = view(tiny_store, tmp_path)
    with browsing(tmp_path) as browser:
        browser.look(1200, 800)
        browser.open(page.as_uri())
        settle(browser, "document.querySelectorAll('#scene canvas').length > 0")
        count = browser.run("$('scene').data[0].x.length")
        first = browser.run("$('note').textContent")
        browser.click("#back")
        assert browser.run("$('shape').value") == str(browser.run("scenes.length - 1"))
        assert browser.run("$('note').textContent") != first
        browser.run("$('paint').value = 'seen by view 2'; draw(); return 1")
        assert set(browser.run("$('scene').data.map((one) => one.name)")) <= {"seen", "hidden"}
        assert sum(browser.run("$('scene').data.map((one) => one.x.length)")) == count
        browser.click("#next")
        assert browser.run("$('paint').value") == "seen by view 2"
        refused = [one for one in browser.complaints() if "Security" in str(one)]
        assert refused == []
