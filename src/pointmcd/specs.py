"""Specs: a plug and its options in one text, like `vafp:3,distance=l1`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pointmcd.errors import ConfigError

Options = TypeVar("Options")
#: Readers of an option's text by its type; they raise ValueError or KeyError.
_READ: dict[Any, Callable[[str], Any]] = {
    bool: lambda text: {"true": True, "false": False}[text.lower()],
    **{kind: kind for kind in (int, float, str)},
}


@dataclass(frozen=True)
class NoOptions:
    """The options of a plug that has none."""


@dataclass(frozen=True)
class Spec:
    """A text taken apart: `NAME[:WEIGHT][,OPTION=VALUE]...`, its options as written.

    The name may be `package.module:Name`.
    """

    name: str
    weight: float | None
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, what: str) -> "Spec":
        """Take a text apart.

        Raises:
            ConfigError: led by `what`, when an option has no value, or is given twice.
        """
        head, *pairs = (piece.strip() for piece in text.split(","))
        options: dict[str, str] = {}
        for pair in pairs:
            key, equals, value = (piece.strip() for piece in pair.partition("="))
            if not equals or not key or key in options:
                raise ConfigError(f"{what} {text}: expected NAME,OPTION=VALUE,... each option once")
            options[key] = value
        name, _, last = head.rpartition(":")
        try:
            return cls(name, float(last), options) if name else cls(head, None, options)
        except ValueError:
            return cls(head, None, options)


def parse_options(kind: type[Options], given: Mapping[str, str], what: str) -> Options:
    """Make a dataclass of options from texts; what is not given keeps its default.

    Args:
        kind: a dataclass whose fields are bool, int, float, str or Literal of str.
        given: option to value, as written.
        what: what error texts begin with, like "objective vafp".

    Raises:
        ConfigError: for an unknown option, or a value of another type.
    """
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            fits = f"it has {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"{what}: no option {name}; {fits}")
    return kind(
        **{name: _value(hints[name], text, f"{what}, {name}") for name, text in given.items()}
    )


def spec_text(name: str, options: Any, weight: float | None = None) -> str:
    """Write a spec with every option in it, so that it means the same whatever the defaults."""
    head = name if weight is None else f"{name}:{_text(weight)}"
    values = ((field.name, getattr(options, field.name)) for field in fields(options))
    return ",".join([head, *(f"{key}={_text(value)}" for key, value in values)])


def _value(hint: Any, text: str, what: str) -> Any:
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            raise ConfigError(f"{what} {text}: use one of {', '.join(get_args(hint))}")
        return text
    try:
        return _READ[hint](text)
    except (KeyError, ValueError) as error:
        expected = "true or false" if hint is bool else hint.__name__
        raise ConfigError(f"{what} {text}: expected {expected}") from error


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
