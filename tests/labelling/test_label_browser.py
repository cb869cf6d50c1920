"""The page in a real browser: label by keyboard and mouse, undo, save, read back."""

import json
import re
import threading

import pytest
from hard_names import HARD_NAMES
from webdriver import CHROMIUM, DRIVER, browsing

from pointmcd.data.labels import LabelRow, read_labels, unnamed_header, write_labels
from pointmcd.data.shape_names import ShapeNames, name_and_folder
from pointmcd.labelling.html import write_label_page
from pointmcd.labelling.page import label_page
from pointmcd.labelling.serve import LabelServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver"
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        browser.downloads = tmp_path_factory.getbasetemp()
        browser.look(1400, 900)
        yield browser


@pytest.fixture
def page(hard_store, tmp_path):
    return write_label_page(label_page(hard_store, count=5, device="cpu"), tmp_path)


def labels(browser):
    """The labels in the page, by name."""
    found = browser.run("labels.rows(names).map((row) => [row.path, row.label])")
    return dict(found)


def order(browser):
    return browser.run("grid.items.map((index) => names[index])")


def test_label_by_keyboard_and_mouse_undo_save_and_read_back(browser, page, tmp_path):
    browser.fresh(page.as_uri())
    shapes = order(browser)
    assert browser.run("document.activeElement.id") == "grid"

    browser.keys("/")
    browser.keys('стул, "a"', "Enter")  # the framed shape
    assert labels(browser) == {shapes[0]: 'стул, "a"'}
    browser.keys("Space", "Right", "Right", "Space")  # the second and the fourth
    browser.keys("/", "lamp", "Enter")
    assert labels(browser) == {shapes[0]: 'стул, "a"', shapes[1]: "lamp", shapes[3]: "lamp"}
    browser.keys("1")  # the frame is on the next without a label
    assert labels(browser)[shapes[4]] == 'стул, "a"'
    browser.keys("z", held=["Control"])
    assert shapes[4] not in labels(browser)
    browser.keys("y", held=["Control"])
    assert labels(browser)[shapes[4]] == 'стул, "a"'
    browser.keys("z", held=["Control"])

    browser.click("#card-5")
    browser.click("#card-8", held="Shift")  # a range
    browser.click("#card-10", held="Control")  # and one more
    browser.click("#card-6", held="Control")  # but not this
    browser.click("#classes li:nth-child(2) button")
    assert {name for name, label in labels(browser).items() if label == "lamp"} == {
        shapes[i] for i in (1, 3, 5, 7, 8, 10)
    }
    browser.click("#undo")
    assert len(labels(browser)) == 3
    browser.click("#redo")
    browser.click("#card-3")
    browser.keys("Delete")
    assert shapes[3] not in labels(browser)
    wanted = labels(browser)

    file = browser.downloads / "saved" / "labels.csv"
    browser.download("#download", file)
    assert {row.path: row.label for row in read_labels(file)} == wanted

    browser.open(page.as_uri())  # a closed tab has lost nothing
    assert labels(browser) == wanted
    browser.click("#over")
    browser.click("#sure button[value=yes]")
    browser.settle("labels.count === 0")  # the dialog closes first
    assert labels(browser) == {}
    browser.choose_file("#file", file)
    browser.settle("labels.count > 0")
    assert labels(browser) == wanted
    assert browser.complaints() == []


def test_select_all_shown_and_filters(browser, page):
    browser.fresh(page.as_uri())
    browser.click("input[value=proposed]")
    assert len(order(browser)) == 5
    browser.click("#every")
    browser.keys("/", "thing", "Enter")
    assert set(labels(browser)) == set(order(browser))
    assert "5 of 5 proposed" in browser.run("document.getElementById('progress').textContent")
    browser.click("input[value=unlabelled]")
    assert len(order(browser)) == 13
    browser.keys("Escape")
    browser.run("document.getElementById('grid').focus(); return 1")
    browser.keys("a", held=["Control"])
    browser.keys("1")
    assert order(browser) == []
    assert browser.run("!document.getElementById('empty').hidden")
    browser.click("input[value=all]")
    assert len(order(browser)) == len(labels(browser)) == 18
    browser.keys("?")
    assert browser.run("document.getElementById('keys').open")
    browser.keys("Escape")
    assert browser.complaints() == []


def test_guesses_are_confirmed_and_corrected(browser, taught_store, trained_run, tmp_path):
    write_labels(tmp_path / "none.csv", [])
    made = label_page(taught_store, tmp_path / "none.csv", trained_run, 4, "cpu")
    browser.fresh(write_label_page(made, tmp_path).as_uri())
    shapes = order(browser)
    guess = dict(zip(made.names, made.guesses.probabilities.argmax(axis=1), strict=True))
    guess = {name: ["bed", "chair", "lamp"][best] for name, best in guess.items()}
    browser.keys("c")
    assert labels(browser) == {shapes[0]: guess[shapes[0]]}
    browser.keys("3")  # corrected
    browser.click("#card-2 .ok")
    assert labels(browser) == {
        shapes[0]: guess[shapes[0]],
        shapes[1]: "lamp",
        shapes[2]: guess[shapes[2]],
    }
    browser.keys("a", held=["Control"])
    browser.click("#confirm")
    assert labels(browser) == guess | {shapes[1]: "lamp"}


def test_work_upon_other_labels_is_offered_not_mixed_in(browser, hard_store, tmp_path):
    first = write_label_page(label_page(hard_store, count=3, device="cpu"), tmp_path / "1.html")
    browser.fresh(first.as_uri())
    shapes = order(browser)
    browser.keys("/", "mine", "Enter")
    write_labels(tmp_path / "labels.csv", [LabelRow(shapes[0], "theirs", "val")])
    made = label_page(hard_store, tmp_path / "labels.csv", count=3, device="cpu")
    second = write_label_page(made, tmp_path / "2.html")
    browser.open(second.as_uri())
    assert labels(browser) == {shapes[0]: "theirs"}
    browser.open(second.as_uri())  # still offered
    browser.click("#take")
    assert labels(browser) == {shapes[0]: "mine"}
    assert browser.run("labels.rows(names)[0].split") == "val"
    browser.open(second.as_uri())
    assert labels(browser) == {shapes[0]: "mine"}
    assert browser.run("document.getElementById('earlier').hidden")


def test_a_file_is_dropped_on_the_page(browser, page):
    browser.fresh(page.as_uri())
    text = (
        "path,class,split\n椅子/стул/كرسي.obj,chair,val\nnowhere,x,\n[red]name[/red],[b]bold[/b],\n"
    )
    drop = """
        const files = new DataTransfer();
        files.items.add(new File([arguments[0]], "labels.csv"));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: files }));
        return 1"""
    browser.run(drop, text)
    browser.settle("labels.count > 0")
    assert labels(browser) == {"椅子/стул/كرسي": "chair", "[red]name[/red]": "[b]bold[/b]"}
    said = browser.run("document.getElementById('said').textContent")
    assert "2 labels, 2 of them new. 1 line left out; line 3: no shape nowhere" in said
    assert browser.run("writeLabels(labels.rows(names))").startswith("path,class,split\n")
    browser.run(drop, 'path,class\na,"x')
    browser.settle("document.getElementById('said').textContent.includes('quote')")
    assert len(labels(browser)) == 2  # nothing is taken from a damaged file


@pytest.mark.parametrize(
    "text",
    [
        "path,class\na,x\nb,y\n",
        "a,x\nb,y",
        "\ufeffpath,class\r\na,x\r\nb,y\r\n",
        "class;file\nx;a\ny;b\n",
        "Name\tsplit\tLabel\na\tval\tx\nb\t\ty\n",
        "path,class\n\na, x\nc,\nb,y\n",
        "sep=;\r\npath;class\r\na;x\r\n",
        "\ufeffSEP=\t\na,b\tx\n",
        "sep=;\npath;klass\na;x\n",
        "filename,class\nStu\u0308hle,u\u0308\n",
        'path,class\n"a ""b"", c","x\ny"\r\n" b ",y\n',
        "path,class\n",
        "",
        "path,class\na\n",
        "path,class,split\na,x,dev\n",
        "Datei;Kategorie;Lieferant\na;x;y\n",
        'path,class\na,"x\n',
    ],
)
def test_the_page_reads_label_files_as_python_does(browser, page, tmp_path, text):
    if browser.run("typeof parseLabels") != "function":
        browser.open(page.as_uri())
    file = tmp_path / "some.csv"
    file.write_bytes(text.encode())
    try:
        wanted = [[row.path, row.label, row.split] for row in read_labels(file, empty=True)]
    except Exception as error:
        wanted = re.sub(r".*some.csv: (line \d+: )?", "", str(error))
    script = """
        try { return parseLabels(arguments[0]).map((row) => [row.path, row.label, row.split]); }
        catch (error) { return error.message.replace(/^line \\d+: /, ""); }"""
    assert browser.run(script, text) == wanted


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_the_page_reads_marked_encodings(browser, page, encoding):
    if browser.run("typeof decode") != "function":
        browser.open(page.as_uri())
    content = list("\ufeffpath\tclass\nStühle\t椅子\n".encode(encoding))
    script = "return parseLabels(decode(new Uint8Array(arguments[0]).buffer))[0]"
    row = browser.run(script, content)
    assert (row["path"], row["label"]) == ("Stühle", "椅子")


def test_the_page_writes_what_python_reads(browser, page, tmp_path):
    browser.open(page.as_uri())
    rows = [[name, f"class, {name}".strip(), None] for name in HARD_NAMES]
    rows[2][2] = "val"
    script = (
        "return writeLabels(arguments[0].map(([path, label, split]) => ({path, label, split})))"
    )
    file = tmp_path / "labels.csv"
    file.write_bytes(browser.run(script, rows).encode())
    assert [list(row[:3]) for row in read_labels(file)] == rows
    find = "return arguments[0].map((path) => finder.find(path) ?? null)"
    assert browser.run(find, list(HARD_NAMES)) == list(range(len(HARD_NAMES)))
    paths = ["line\nbreak\r\nand\ttab.obj", "./data/back\\slash.v2.ply", "nowhere"]
    assert browser.run(find, paths) == [3, None, None]


def test_the_page_finds_shapes_as_python_does(browser, page):
    browser.open(page.as_uri())
    files = {
        "X": "/parts/X.stl",
        "bolt/X": "/parts/bolt/X.STL",
        "M8.5": "/parts/M8.5.obj",
        "a": None,
    }
    files["Stühle/a"] = "/parts/Stu\u0308hle/a.off"
    names, known = [*files], [*files.values()]
    paths = [
        "X",
        "X.STL",
        "X.obj",
        "foo/X.stl",
        "parts/X.stl",
        "bolt\\X.stl",
        "M8",
        "M8.5",
        "M8.5.OBJ",
    ]
    paths += [
        "x/bolt/X.stl",
        "foo/a.ply",
        "Stühle/a.off",
        "Stu\u0308hle/a",
        "",
        "/",
        "../X",
        "./X.stl",
    ]
    found = ShapeNames(names, page, known.__getitem__)
    ends = [name_and_folder(file, name) for name, file in files.items()]
    script = """
        const names = new ShapeNames(arguments[0], arguments[1]);
        return arguments[2].map((path) => names.find(path) ?? null)"""
    assert browser.run(script, names, ends, paths) == [found.find(path) for path in paths]
    row = [{"line": 2, "path": "Datei", "label": "Klasse"}, {"line": 3, "path": "X", "label": "x"}]
    told = unnamed_header([LabelRow(**one) for one in row])
    assert browser.run("return unnamedHeader(arguments[0])", row) == told


def test_the_served_page_saves_by_itself(browser, hard_store, tmp_path):
    file = tmp_path / "labels.csv"
    with LabelServer(label_page(hard_store, count=3, device="cpu"), file) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            browser.open(server.url)
            shapes = order(browser)
            browser.keys("/", "стул", "Enter", "1")
            browser.settle("!sender.pending.size && !sender.busy")
            assert {r.path: r.label for r in read_labels(file)} == dict.fromkeys(shapes[:2], "стул")
            browser.keys("z", held=["Control"])
            browser.settle("!sender.pending.size && !sender.busy")
            assert {r.path: r.label for r in read_labels(file)} == {shapes[0]: "стул"}
            browser.open(server.url)
            assert labels(browser) == {shapes[0]: "стул"}
            assert browser.complaints() == []
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_sticks_out_and_only_what_is_seen_is_there(browser, page, width, scheme):
    browser.look(width, 800, scheme)
    browser.open(page.as_uri())
    root = "document.documentElement"
    assert browser.run(f"{root}.scrollWidth <= innerWidth && {root}.scrollHeight <= innerHeight")
    browser.settle("[...document.images].every((image) => image.naturalWidth > 0)")
    browser.look(1400, 900)


def test_ten_thousand_shapes_open_at_once(browser, page, tmp_path):
    """The page's own data, repeated: 10,000 shapes."""
    text = page.read_text(encoding="utf-8")

    def grown(match):
        content = json.loads(match[2])
        if match[1] == "pictures":
            content = [content[i % len(content)] for i in range(10_000)]
        else:
            content["names"] = [f"shape {i}" for i in range(10_000)]
            content["order"] = list(range(10_000))
            content["fingerprint"] = "big"
        return f'id="{match[1]}">{json.dumps(content)}</script>'

    big = tmp_path / "big.html"
    big.write_text(re.sub(r'id="(data|pictures)">(.*?)</script>', grown, text), encoding="utf-8")
    assert big.stat().st_size < 50_000_000
    browser.open(big.as_uri())
    assert len(order(browser)) == 10_000
    browser.settle("document.querySelectorAll('.card').length > 10")
    assert browser.run("document.querySelectorAll('.card').length") < 200
    browser.keys("End")
    browser.settle("document.getElementById('card-9999') !== null")
    browser.keys("a", held=["Control"])
    browser.keys("/", "thing", "Enter")
    assert browser.run("labels.count") == 10_000
