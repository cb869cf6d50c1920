"""Templates of pages and cards, kept in `templates/` beside the modules that fill them."""

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def load_template(package: str, name: str) -> Template:
    """Load a template of a package; in HTML (`.html.j2`) texts are escaped, elsewhere not.

    A value that is not given is an error when the template is rendered.
    """
    html = name.endswith(".html.j2")
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not html,
    )
    return environment.get_template(name)


def template_text(package: str, name: str) -> str:
    """Return a file of a package's `templates/` as it is, such as a script or a style."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")
