import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from store_copies import copy_store, edit_json
from synthetic_runs import Bench

from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.report.page import write_report


class Page(HTMLParser):
    """The pictures, headings and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.ids: set[str | None] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.ids.add(values.get("id"))
        if tag == "img":
            self.images.append(values)


def write(runs: list[Path], out: Path, baseline: list[Path] | None = None) -> tuple[str, Page]:
    text = write_report(runs, out, baseline or []).read_text(encoding="utf-8")
    return text, Page(text)


def test_page_holds_every_section_and_needs_nothing_else(bench: Bench, tmp_path: Path) -> None:
    runs = bench.variant("distilled", 0.9, (0, 1)) + bench.variant(
        "distilled-wrong-view", 0.5, (0, 1)
    )
    text, page = write(runs, tmp_path / "page.html", bench.variant("baseline", 0.6, (0, 1)))
    sections = {"results", "views", "curves", "gains", "confusion", "mistakes", "settings"}
    assert sections <= page.ids
    assert all(str(image["src"]).startswith("data:image/") for image in page.images)
    assert all(image["alt"] for image in page.images)
    assert "script" not in page.tags
    assert not re.findall(r"(?:src|href|url)\W{1,3}https?:", text)


def test_views_are_shown_with_how_much_they_see(bench: Bench, tmp_path: Path) -> None:
    _, page = write([bench.run("distilled")], tmp_path / "page.html")
    views = [image for image in page.images if "points seen" in str(image["alt"])]
    assert len(views) == 3 * 4  # one shape per class, four cameras
    assert re.fullmatch(r"bed/test/\S+, view 1 of 4: \d+ of 256 points seen", str(views[0]["alt"]))


def test_runs_of_the_baseline_variant_are_the_baseline(bench: Bench, tmp_path: Path) -> None:
    runs = [bench.run("distilled", accuracy=1.0), bench.run("baseline", accuracy=0.2)]
    text, _ = write(runs, tmp_path / "page.html")
    assert "Only distilled is right" in text
    assert "Only baseline is right" in text


def test_without_baseline_its_sections_are_left_out(bench: Bench, tmp_path: Path) -> None:
    text, page = write(bench.variant("baseline", 0.6, (0, 1)), tmp_path / "page.html")
    assert {"results", "confusion", "settings"} <= page.ids
    assert not {"gains", "mistakes"} & page.ids
    assert "of the shapes correct" in text


def test_store_that_moved_is_told(bench: Bench, tmp_path: Path) -> None:
    bench.store = str(tmp_path / "gone")
    runs = [bench.run("distilled"), bench.run("baseline")]
    text, page = write(runs, tmp_path / "page.html")
    assert "No views to show." in text
    assert "no such store" in text
    assert {"results", "mistakes"} <= page.ids


def test_store_made_anew_is_told(bench: Bench, tmp_path: Path) -> None:
    bench.fingerprint = "another"
    text, _ = write([bench.run("distilled")], tmp_path / "page.html")
    assert "no longer the one that the runs were trained on" in text


def test_store_without_framing_is_told(bench: Bench, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bench.store, copy)
    for file in copy.glob("shards/*/shapes.json"):
        file.write_text(file.read_text().replace('"frame"', '"frames"'))
    bench.store = str(copy)
    text, _ = write([bench.run("distilled")], tmp_path / "page.html")
    assert "does not say how shapes are framed" in text


def test_names_are_escaped(bench: Bench, tmp_path: Path) -> None:
    bench.classes = ["<b>bed", "chair & co", "lamp $x$ $"]
    text, _ = write([bench.run("distilled")], tmp_path / "page.html")
    assert "&lt;b&gt;bed" in text
    assert "<b>bed" not in text


def test_run_killed_while_writing_still_has_curves(bench: Bench, tmp_path: Path) -> None:
    run = bench.run("distilled", info={"finished": False})
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 6, "task_')
    text, page = write([run], tmp_path / "page.html")
    assert "curves" in page.ids
    assert "the training is not finished" in text


def test_runs_without_history_have_no_curves(bench: Bench, tmp_path: Path) -> None:
    run = bench.run("distilled")
    (run / "metrics.jsonl").unlink()
    assert "curves" not in write([run], tmp_path / "page.html")[1].ids


def test_damaged_history_is_named(bench: Bench, tmp_path: Path) -> None:
    run = bench.run("distilled")
    (run / "metrics.jsonl").write_text("{\n{}\n")
    with pytest.raises(RunError, match=r"metrics\.jsonl: line 1 is not JSON"):
        write_report([run], tmp_path / "page.html")


def test_best_checkpoint_is_shown_where_all_runs_have_it(bench: Bench, tmp_path: Path) -> None:
    runs = bench.variant("distilled", 0.8, (0, 1))
    assert "best epoch on the validation split" in write(runs, tmp_path / "page.html")[0]
    (runs[0] / "predictions-test-best.npz").unlink()
    assert "best epoch on the validation split" not in write(runs, tmp_path / "page.html")[0]


def test_folder_gets_a_file_and_the_same_page_twice(bench: Bench, tmp_path: Path) -> None:
    run = bench.run("distilled")
    file = write_report([run], tmp_path)
    assert file == tmp_path / "report.html"
    first = file.read_bytes()
    assert write_report([run], tmp_path).read_bytes() == first


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no runs"):
        write_report([], tmp_path)


def test_test_shapes_with_twins_are_counted(bench: Bench, store: Store, tmp_path: Path) -> None:
    copied = copy_store(store.path, tmp_path / "store")
    bench.store = str(copied)
    run, told = bench.run("distilled"), "in train or val (twins in store.json)"
    assert told not in write([run], tmp_path / "page.html")[0]
    train, test = ([s.name for s in store.shapes if s.split == one] for one in ("train", "test"))
    twins = [[train[0], test[0]], [train[1], test[0]], [train[1], test[1]]]
    for pairs, have in ((twins[:2], "1 of {} test shapes has a"), (twins, "2 of {} test shapes")):
        edit_json(copied / "store.json", lambda about, pairs=pairs: about.update(twins=pairs))
        text, _ = write([run], tmp_path / "page.html")
        assert have.format(len(test)) in text
        assert told in text
