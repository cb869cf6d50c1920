"""`pointmcd report` and files that exist."""

import importlib
from pathlib import Path

import pytest

PAGE = importlib.import_module("pointmcd.report.page")


@pytest.fixture(autouse=True)
def written(monkeypatch, tmp_path):
    """The pages that the library was asked for; it writes a word."""
    pages = []

    def write(runs, out, baseline=(), view=False):
        pages.append(out)
        out.write_text("new")
        return out

    monkeypatch.setattr(PAGE, "write_report", write)
    monkeypatch.chdir(tmp_path)
    return pages


@pytest.mark.parametrize(("options", "page"), [([], "report.html"), (["--out", "p"], "p")])
def test_a_page_is_replaced_only_where_that_is_asked_for(cli, refused, options, page):
    Path(page).write_text("old")
    line = refused("report", "run", *options)
    assert line == f"--out {page}: exists; name another file, or give --overwrite"
    assert Path(page).read_text() == "old"
    assert cli("report", "run", *options, "--overwrite") == (0, f"{page}\n", "")
    assert Path(page).read_text() == "new"


def test_a_folder_is_where_the_page_is_written(cli, refused, tmp_path, written):
    assert cli("report", "run", "--out", tmp_path)[:2] == (0, f"{tmp_path / 'report.html'}\n")
    assert "exists" in refused("report", "run", "--out", tmp_path)
    assert written == [tmp_path / "report.html"]
