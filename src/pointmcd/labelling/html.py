"""Self-contained pages: script, style, data and pictures of shapes in one HTML file."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

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
