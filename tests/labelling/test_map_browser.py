"""The map in a real browser: hover, keys, lists, colours, zoom."""

import pytest
from webdriver import CHROMIUM, DRIVER, browsing

from pointmcd.labelling.map import shape_map

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver"
    ),
]


@pytest.fixture(scope="module")
def browser(taught_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    page = shape_map(taught_store, teacher="lite0", device="cpu").save(folder)
    with browsing(folder) as browser:
        browser.page = page.as_uri()
        yield browser


@pytest.fixture(autouse=True)
def opened(browser):
    browser.look(1200, 800)
    browser.open(browser.page)


def press(browser, key):
    browser.run(
        "canvas.focus(); canvas.dispatchEvent("
        f"new KeyboardEvent('keydown', {{key: {key!r}, cancelable: true}})); return 1"
    )


def hover(browser, index):
    browser.run(
        f"const [x, y] = at({index}), box = canvas.getBoundingClientRect();"
        "canvas.dispatchEvent(new PointerEvent('pointermove',"
        " {clientX: box.left + x, clientY: box.top + y})); paint(); return 1"
    )


def test_a_shape_is_shown_under_the_mouse(browser):
    hover(browser, 4)
    tip = browser.run("$('tip').textContent")
    assert browser.run("names[framed]") in tip
    assert "guess" in tip
    assert browser.run("$('tip').querySelector('img').naturalWidth") > 0
    assert browser.complaints() == []


def test_keys_go_from_shape_to_shape_and_zoom(browser):
    press(browser, "ArrowLeft")
    first = browser.run("framed")
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
        press(browser, key)
    assert first is not None
    press(browser, "+")
    assert browser.run("view.scale") > 1
    press(browser, "0")
    assert browser.run("view.scale") == 1
    press(browser, "Escape")
    assert browser.run("framed") is None


def test_zoom_keeps_what_is_under_the_mouse(browser):
    before = browser.run("at(3)")
    browser.run("zoom(3, ...at(3)); return 1")
    assert browser.run("at(3)") == pytest.approx(before)


def test_a_class_alone_and_a_part_of_a_name(browser):
    browser.click("#legend li:nth-child(2) button")
    shown = browser.run("names.map((name, index) => index).filter(shown).map((i) => labels[i])")
    assert set(shown) == {browser.run("known[1]")}
    browser.click("#legend li:nth-child(2) button")
    browser.click("input[value=split]")
    assert browser.run("[...$('legend').querySelectorAll('span')].map((one) => one.textContent)")[
        0
    ] in ("train", "val", "test")
    browser.click("#search")
    browser.keys("chair")
    assert browser.run("names.every((name, i) => shown(i) === name.includes('chair'))")


def test_lists_find_their_shapes(browser):
    browser.click("#list li:nth-child(1) button")
    assert browser.run("marked") == browser.run("data.pairs[0].slice(0, 2)")
    browser.click("input[value=outliers]")
    browser.click("#list li:nth-child(2) button")
    assert browser.run("framed") == browser.run("data.outliers[1]")
    x, y = browser.run("at(framed)")
    assert x == pytest.approx(browser.run("canvas.clientWidth / 2"))
    assert y == pytest.approx(browser.run("canvas.clientHeight / 2"))


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1400, "dark")])
def test_nothing_is_cut(browser, width, scheme, tmp_path):
    browser.look(width, 900, scheme)
    browser.open(browser.page)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    hover(browser, 0)
    inside = "(box => box.left >= 0 && box.right <= innerWidth)($('tip').getBoundingClientRect())"
    assert browser.run(inside)
    browser.screenshot(tmp_path / "page.png")
    assert browser.complaints() == []
