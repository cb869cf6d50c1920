"""Parts in a real browser: paint clusters by keyboard and mouse, save, train on it."""

import threading

import numpy as np
import pytest
from store_copies import copy_store
from webdriver import CHROMIUM, DRIVER, browsing

from pointmcd.data.part_labels import PartRow, read_parts, write_parts
from pointmcd.data.store import Store
from pointmcd.inference.predict import predict
from pointmcd.labelling.html import write_label_page
from pointmcd.labelling.parts_page import parts_page
from pointmcd.labelling.serve import LabelServer
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver"
    ),
]
#: The middle, in the window, of the largest square of a cluster in any view.
PLACE = """
    const [cluster] = arguments;
    let best = [-1];
    for (const { canvas, map, side } of pieces.tiles) {
      const box = canvas.getBoundingClientRect(), size = Math.min(box.width, box.height);
      for (let place = 0; place < map.length; place++) {
        const [x, y] = [place % side, Math.floor(place / side)];
        let reach = 0;
        const same = (dx, dy) => x + dx >= 0 && x + dx < side
          && map[place + dx + dy * side] === cluster + 1;
        const square = () => [-reach, 0, reach].every(
          (dx) => [-reach, 0, reach].every((dy) => same(dx, dy)));
        while (reach < 9 && square()) reach++;
        if (reach <= best[0]) continue;
        const [left, top] = [box.left + (box.width - size) / 2, box.top + (box.height - size) / 2];
        best = [reach, left + (x + 0.5) * size / side, top + (y + 0.5) * size / side];
      }
    }
    return best.slice(1);"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        browser.look(1400, 900)
        yield browser


@pytest.fixture
def page(hard_store, tmp_path):
    return write_label_page(parts_page(hard_store, None, 3, 6, "cpu"), tmp_path)


def show(browser, url):
    browser.fresh(url)
    browser.settle("pieces.tiles.length > 0 && total[0] !== null")


def parts(browser, number=0):
    """The parts of the clusters of a shape."""
    return browser.run(f"partsOf({number})")


def place(browser, cluster):
    return browser.run(PLACE, cluster)


def test_paint_undo_save_read_back_train_and_predict(
    browser, page, hard_store, furniture_root, tmp_path
):
    show(browser, page.as_uri())
    seen = browser.run("pieces.visible")
    assert len(seen) >= 4
    browser.click(".tile canvas")  # nothing is chosen yet
    browser.keys("Escape")
    browser.keys("/", 'верх, "a"', "Enter")
    browser.draw(place(browser, seen[0]))
    assert parts(browser)[seen[0]] == 'верх, "a"'
    browser.keys("z", held=["Control"])
    assert parts(browser) == [None] * 6
    browser.keys("y", held=["Control"])
    browser.draw(place(browser, seen[1]), held="Control")  # picked, and one more
    browser.draw(place(browser, seen[2]), held="Control")
    browser.keys("/", "foot", "Enter")
    assert [parts(browser)[one] for one in seen[:3]] == ['верх, "a"', "foot", "foot"]
    browser.draw(place(browser, seen[2]), place(browser, seen[3]))  # drawn over both
    assert parts(browser)[seen[3]] == "foot"
    assert browser.run("labels.done.length") == 3
    browser.keys("Right")
    assert browser.run("framed") == seen[0]
    browser.keys("2")  # the frame moves on
    assert parts(browser)[seen[0]] == "foot"
    browser.keys("z", held=["Control"])
    browser.keys("1", "r")
    shown = [part for number, part in enumerate(parts(browser)) if number in seen]
    assert None not in shown

    browser.keys("Down")
    browser.settle("at === 1 && total[1] !== null")
    browser.keys("1", "Right", "Right", "Enter", "Enter")
    second = browser.run("pieces.visible")
    assert [parts(browser, 1)[one] for one in second[:3]] == [None, 'верх, "a"', 'верх, "a"']
    browser.keys("Escape", "2", "r", "Left", "Delete")
    assert parts(browser, 1)[second[0]] == "foot"
    assert None in parts(browser, 1)
    wanted = [parts(browser, 0), parts(browser, 1)]

    file = tmp_path / "saved" / "parts.csv"
    browser.download("#download", file)
    browser.open(page.as_uri())  # a closed tab has lost nothing
    assert [parts(browser, 0), parts(browser, 1)] == wanted
    browser.click("#over")
    browser.click("#sure button[value=yes]")
    browser.settle("labels.count === 0")
    browser.choose_file("#file", file)
    browser.settle("labels.count > 0")
    assert [parts(browser, 0), parts(browser, 1)] == wanted
    assert browser.complaints() == []

    known = Store(hard_store, file)
    names = browser.run("names")
    for number, row in enumerate(wanted):
        index = next(i for i, shape in enumerate(known.shapes) if shape.name == names[number])
        found = np.bincount(known.known_parts[index] + 1, minlength=3) > 0
        assert found.tolist() == [None in row, "foot" in row, 'верх, "a"' in row]
    run = train(
        TrainConfig(
            *(hard_store, tmp_path / "run", "segmentation", "pointnet"),
            **{"teacher": None, "labels": file, "epochs": 2, "points": 64, "batch_size": 2},
            device="cpu",
        )
    )
    mesh = next((furniture_root / "bed" / "test").glob("*.off"))
    (said,) = predict(run, [mesh], device="cpu")
    assert set(said.parts) == {"foot", 'верх, "a"'}


def test_guesses_are_confirmed_and_corrected(browser, parts_store, trained_parts_run, tmp_path):
    store = copy_store(parts_store, tmp_path / "store")
    page = write_label_page(parts_page(store, None, 2, 6, "cpu", trained_parts_run), tmp_path)
    show(browser, page.as_uri())
    seen = browser.run("pieces.visible")
    wanted = {one: browser.run(f"guessOf(0, {one}).part") for one in seen}
    assert browser.run(f"guessOf(0, {seen[0]}).sure") in range(101)
    assert parts(browser) == [None] * 6
    other = next(name for name in browser.run("here()") if name != wanted[seen[0]])
    browser.keys("/", other, "Enter")
    browser.draw(place(browser, seen[0]))  # wrong: corrected
    browser.keys("c")  # the others are right
    assert {one: parts(browser)[one] for one in seen} == wanted | {seen[0]: other}
    assert browser.run("document.getElementById('confirm').disabled")
    browser.keys("z", held=["Control"])
    assert [part for part in parts(browser) if part] == [other]
    browser.draw(place(browser, seen[1]), held="Control")
    browser.click("#confirm")  # of the picked piece alone
    assert parts(browser)[seen[1]] == wanted[seen[1]]
    assert len([part for part in parts(browser) if part]) == 2
    assert browser.complaints() == []


def test_files_that_do_not_fit(browser, page, tmp_path):
    show(browser, page.as_uri())
    name, fingerprint = browser.run("[names[0], data.clusters[0]]")
    good = PartRow(name, 2, "x", fingerprint)
    others = [
        good._replace(path="none"),
        good._replace(clusters="6-00000000"),
        good._replace(part="y"),
    ]
    write_parts(tmp_path / "some.csv", [good, *others])
    browser.choose_file("#file", tmp_path / "some.csv")
    browser.settle("labels.count > 0")
    assert parts(browser)[1] == "x"
    said = browser.run("document.getElementById('said').textContent")
    assert said.startswith("some.csv: 1 piece, 1 of them new. 3 lines left out; line ")
    assert "no shape none on this page" in said
    (tmp_path / "labels.csv").write_text("path,class\na,b\n")
    browser.choose_file("#file", tmp_path / "labels.csv")
    browser.settle("document.getElementById('said').textContent.includes('column cluster')")


def test_the_served_page_saves_by_itself(browser, hard_store, tmp_path):
    file = tmp_path / "parts.csv"
    with LabelServer(parts_page(hard_store, None, 2, 6, "cpu"), file) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            browser.open(server.url)
            browser.settle("pieces.tiles.length > 0 && total[0] !== null")
            browser.keys("/", "leg", "Enter", "r")
            browser.settle("!sender.pending.size && !sender.busy && labels.count > 0")
            assert len(read_parts(file)) == browser.run("labels.count")
            wanted = parts(browser)
            browser.open(server.url)
            assert parts(browser) == wanted
            assert browser.complaints() == []
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_sticks_out(browser, page, width, scheme):
    browser.look(width, 800, scheme)
    browser.open(page.as_uri())
    browser.settle("pieces.tiles.length > 0")
    root = "document.documentElement"
    assert browser.run(f"{root}.scrollWidth <= innerWidth && {root}.scrollHeight <= innerHeight")
    browser.settle("[...document.images].every((image) => image.naturalWidth > 0)")
    low = "Math.min(...pieces.tiles.map((one) => one.canvas.getBoundingClientRect().height))"
    assert browser.run(low) > 100
    browser.look(1400, 900)
