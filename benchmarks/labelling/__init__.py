"""What labels are worth, and what the pages on which they are given can do."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.shared.page import sections, write

PAGE = Path(__file__).with_name("README.md")


def rewrite(page: Path, own: Sequence[str]) -> None:
    """Add a section to a page, or replace it; heading first."""
    head = page.read_text(encoding="utf-8").partition("\n## ")[0]
    write(page, [head, *sections(page, own)])
