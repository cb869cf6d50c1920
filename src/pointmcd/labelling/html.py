"""Self-contained pages: script, style, data and pictures of shapes in one HTML file."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pointmcd.files import write_page
from pointmcd.templates import load_template, template_text

_source = partial(template_text, "pointmcd.labelling")


def render(
    template: str,
    data: Mapping[str, Any],
    pictures: Sequence[Any],
    scripts: Sequence[str],
    styles: Sequence[str] = (),
) -> str:
    """Return the page of a template of this package, which runs no script but its own.

    Args:
        template: NAME.html.j2; NAME.css is its style, after base.css and `styles`.
        data: JSON values for the script.
        pictures: JSON values, one per shape: a picture in base64, or what the script takes.
        scripts: file names, in order, after base.js.
        styles: file names, in order.
    """
    script = "\n".join(map(_source, ("base.js", *scripts)))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = template.replace(".html.j2", ".css")
    return load_template("pointmcd.labelling", template).render(
        data=data,
        pictures=pictures,
        script=script,
        script_hash=f"sha256-{digest}",
        style="\n".join(map(_source, ("base.css", *styles, own))),
    )


class LabelledPage(Protocol):
    """A page to label on; `file_name` is that of its file where only a folder is named."""

    file_name: ClassVar[str]

    def html(self) -> str:
        """Return the page."""


def write_label_page(page: LabelledPage, out: str | Path) -> Path:
    """Write the page as a file that opens from disk.

    Args:
        page: what it shows.
        out: the file, or a folder in which to write a file of the page's own name.

    Returns:
        The file.
    """
    return write_page(page.html(), out, page.file_name)
