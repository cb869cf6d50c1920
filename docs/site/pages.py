"""A hook of mkdocs: pages of the site that are not files in docs/, and links that leave docs/.

README, changelog and notebooks stay where people look for them, and their links work on the
repository's host. On the site, what is no page of the site is linked at the repository's address.
"""

import json
import posixpath
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import pointmcd

ROOT = Path(__file__).parents[2]
#: Pages that are files of the repository outside docs/.
ELSEWHERE = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
} | {
    f"notebooks/{path.stem}.md": path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
}
ON_SITE = {origin: page for page, origin in ELSEWHERE.items()}
#: A relative target in Markdown, and its anchor.
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)(#[^)\s]*)?(?=[)\s])")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List a page for each room under "API reference"."""
    for entry in config.nav:
        if "API reference" in entry:
            entry["API reference"] = [f"reference/{room}.md" for room in ("index", *_rooms())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that come from elsewhere."""
    made = {page: _markdown(ROOT / origin, config) for page, origin in ELSEWHERE.items()}
    made["reference/index.md"] = _contents()
    for room, names in _rooms().items():
        made[f"reference/{room}.md"] = _reference(room, names)
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Turn the links of a page, which are those of the repository, into links of the site."""
    source = page.file.src_uri
    origin = ELSEWHERE.get(source, f"docs/{source}")

    def moved(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), found[1]))
        return _address(target, source, config) + (found[2] or "")

    return LINK.sub(moved, markdown)


def _address(target: str, source: str, config: MkDocsConfig) -> str:
    """Return the link from a page of the site to a path of the repository."""
    page = ON_SITE.get(target)
    if target.startswith("docs/"):
        page = target.removeprefix("docs/")
    if page is not None or not (ROOT / target).exists():  # mkdocs names a link that leads nowhere
        return posixpath.relpath(page or target, posixpath.dirname(source) or ".")
    kind = "tree" if (ROOT / target).is_dir() else "blob"
    return f"{config.repo_url}/{kind}/main/{target}"


def _markdown(path: Path, config: MkDocsConfig) -> str:
    """Return the text of a page, or of a notebook that holds no output."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    parts = [body if kind == "markdown" else f"```python\n{body}\n```" for kind, body in cells]
    file = f"{config.repo_url}/blob/main/{path.relative_to(ROOT).as_posix()}"
    return "\n\n".join([*parts, f"[This page as a notebook]({file})"])


def _rooms() -> dict[str, list[str]]:
    """Return the public names by the room that they are in, in the order of the architecture."""
    found = defaultdict(list)
    for name, module in sorted(pointmcd._PUBLIC.items(), key=lambda item: item[0].lower()):
        found[module.split(".")[1]].append(name)
    ground = [room for room in found if room not in _described()]
    return {room: found[room] for room in (*_described(), *ground) if room in found}


def _described() -> dict[str, str]:
    """Return what each room holds, as the table of the architecture page says."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", page, re.MULTILINE))


def _contents() -> str:
    lines = ["# API reference", "", "Every name is an attribute of `pointmcd`.", ""]
    for room, names in _rooms().items():
        links = ", ".join(f"[`{name}`]({room}.md#{_place(name)})" for name in names)
        lines += [f"- **[{room}]({room}.md)**: {links}"]
    return "\n".join(lines)


def _reference(room: str, names: list[str]) -> str:
    holds = _described().get(room, "what users can cause")
    lines = [f"# {room}", "", f"{holds[:1].upper()}{holds[1:]}.", ""]
    for name in names:
        options = f'    options: {{heading: "pointmcd.{name}", toc_label: "{name}"}}'
        lines += [f"::: {_place(name)}", options, ""]
    return "\n".join(lines)


def _place(name: str) -> str:
    return f"{pointmcd._PUBLIC[name]}.{name}"
