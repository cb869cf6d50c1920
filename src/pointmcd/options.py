"""Markers for settings: the name of the value in the help, and whether it is advanced."""

from typing import Annotated, Any, Literal, TypeVar, get_args

import tyro
from tyro.constructors import PrimitiveConstructorSpec

T = TypeVar("T")
#: An axis of shapes: that which points up.
Axis = Literal["x", "y", "z"]

#: The metadata of `Advanced[...]`.
ADVANCED = "advanced option"
#: A setting that nobody should need, listed below the others: `final_lr: Advanced[float] = 1e-5`.
Advanced = Annotated[T, ADVANCED]


def told_default(value: str) -> str:
    """Return what the help says of a default: nothing where that is none, or a switch."""
    return "" if value in ("", "None", "False", "True") else f"(default: {value})"


#: A switch: off, or on where it is given.
Flag = Annotated[bool, tyro.conf.arg(help_behavior_hint=told_default)]


def metavar(word: str) -> Any:
    """Return the metadata that names a value in the help.

    With `out: Annotated[Path | None, metavar("RUN")] = None` it says `--out RUN`.
    """
    return tyro.conf.arg(metavar=word, help_behavior_hint=told_default)


def _axis(words: list[str]) -> Any:
    axis = words[0].lower()
    if axis not in get_args(Axis):
        raise ValueError(f"{words[0]}: use x, y or z")
    return axis


_AXIS: Any = PrimitiveConstructorSpec(
    nargs=1,
    metavar="{x,y,z}",
    instance_from_str=_axis,
    is_instance=lambda value: value is None or value in get_args(Axis),
    str_from_instance=lambda value: [str(value)],
)
#: An axis on the command line, in letters of either case; without, some other source tells.
UpAxis = Annotated[Axis | None, _AXIS, metavar("{x,y,z}")]
STORE = metavar("STORE")
RUN = metavar("RUN")
RUNS = metavar("RUN [RUN ...]")
DEVICE = metavar("DEVICE")
