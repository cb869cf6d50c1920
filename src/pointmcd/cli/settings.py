"""Rules by which tyro reads a flat class of settings as two groups of options in the help."""

from dataclasses import is_dataclass, replace
from typing import Annotated, Any, get_type_hints

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from pointmcd.options import ADVANCED, told_default

SETTINGS = ConstructorRegistry()

#: Stands among the markers of a class that tyro's own rule is to read.
_AS_USUAL = object()


class _Group:
    """Base of the classes made below, each the advanced settings of one class."""

    fields: tuple[StructFieldSpec, ...] = ()


@SETTINGS.struct_rule
def _grouped(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Give the settings marked `Advanced` a group of their own."""
    if isinstance(info.type, type) and issubclass(info.type, _Group):
        return StructConstructorSpec(dict, info.type.fields)
    if not is_dataclass(info.type) or _AS_USUAL in info.markers:
        return None
    usual = ConstructorRegistry.get_struct_spec(replace(info, markers=(*info.markers, _AS_USUAL)))
    assert isinstance(usual, StructConstructorSpec)
    hints = get_type_hints(info.type, include_extras=True)
    advanced = {n for n, hint in hints.items() if ADVANCED in getattr(hint, "__metadata__", ())}
    fields = [_described(field) for field in usual.fields]
    group = _group([field for field in fields if field.name in advanced])
    return StructConstructorSpec(
        lambda advanced, **others: usual.instantiate(**others, **advanced),
        (*(field for field in fields if field.name not in advanced), group),
    )


def _group(fields: list[StructFieldSpec]) -> StructFieldSpec:
    """Return one field that holds all of these, listed as "advanced options"."""
    group: Any = type("Group", (_Group,), {"fields": tuple(fields)})
    flat: Any = Annotated[group, tyro.conf.OmitArgPrefixes]
    text = "The defaults do well; few runs need these."
    return StructFieldSpec("advanced", flat, tyro.MISSING_NONPROP, text)


def _described(field: StructFieldSpec) -> StructFieldSpec:
    """Join the lines of a description, for the help to wrap; hide defaults that say nothing."""
    text = field.helptext

    def joined() -> str | None:
        found = text() if callable(text) else text
        return found and " ".join(found.split())

    quiet: Any = Annotated[field.type, tyro.conf.arg(help_behavior_hint=told_default)]
    return replace(field, type=quiet, helptext=joined)
