"""The page in a real browser: nothing on the console, every picture decoded."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from synthetic_runs import Bench

from pointmcd.report.page import write_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHECK = """<script>addEventListener("load", () => {
  const images = [...document.images].map(i => [i.alt, i.naturalWidth]);
  const wide = document.documentElement.scrollWidth - innerWidth;
  document.body.dataset.found = JSON.stringify({images, wide});
})</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


def browse(profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture
def page(bench: Bench, tmp_path: Path) -> Path:
    runs = bench.variant("distilled", 0.9, (0, 1)) + bench.variant(
        "distilled-wrong-view", 0.5, (0, 1)
    )
    return write_report(runs, tmp_path / "page.html", bench.variant("baseline", 0.6, (0, 1)))


def test_console_stays_silent(page: Path, tmp_path: Path) -> None:
    options = ("--enable-logging=stderr", "--v=0", "--dump-dom")
    found = browse(tmp_path / "profile", *options, page.as_uri())
    assert "CONSOLE" not in found.stderr
    assert "</html>" in found.stdout


@pytest.mark.parametrize("width", [1280, 500])
def test_every_picture_loads_and_nothing_sticks_out(page: Path, tmp_path: Path, width: int) -> None:
    # The page forbids scripts, so the check goes into a copy without that rule.
    text = re.sub(r"<meta http-equiv=[^>]*>", "", page.read_text(encoding="utf-8"))
    copy = tmp_path / "copy.html"
    copy.write_text(text.replace("</body>", CHECK + "</body>"), encoding="utf-8")
    size = f"--window-size={width},900"
    found = browse(tmp_path / "profile", size, "--dump-dom", copy.as_uri()).stdout
    result = json.loads(unescape(re.findall(r'<body data-found="([^"]*)"', found)[0]))
    assert len(result["images"]) > 12
    assert [alt for alt, size in result["images"] if not size] == []
    assert result["wide"] <= 0
