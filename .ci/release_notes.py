"""Print what CHANGELOG.md says of a version: python .ci/release_notes.py v0.2.0."""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def release_notes(changelog: str, version: str) -> str:
    """Return the section of a version, without its heading.

    Raises:
        SystemExit: when there is none, or it is empty.
    """
    heading = rf"^## \[{re.escape(version)}\].*?$"
    found = re.search(rf"{heading}(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        sys.exit(f"CHANGELOG.md: has no notes under [{version}]; write them before the tag")
    return found[1].strip()


if __name__ == "__main__":
    print(release_notes(CHANGELOG.read_text(encoding="utf-8"), sys.argv[1].removeprefix("v")))
