"""Settings and training data of each variant, as rows for the page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pointmcd.tasks.results import Variant

#: Told elsewhere on the page, or different in every run.
_LEFT_OUT = {"out", "seed", "store", "overwrite"}


@dataclass(frozen=True)
class SettingRow:
    """One setting in every variant; `differs` when the variants do not all agree."""

    name: str
    values: tuple[str, ...]
    differs: bool


def setting_rows(variants: Sequence[Variant]) -> list[SettingRow]:
    """The settings of config.yaml, those that differ between variants first."""
    configs = [variant.results[0].config for variant in variants]
    names = dict.fromkeys(name for config in configs for name in config if name not in _LEFT_OUT)
    rows = [_row(name, [config.get(name) for config in configs]) for name in names]
    return sorted(rows, key=lambda row: not row.differs)


def trained_on(variants: Sequence[Variant]) -> list[tuple[str, str]]:
    """Facts about the data, the models and the software, each a name and a text."""
    info = variants[0].results[0].info
    shapes = info.get("shapes", {})
    facts = [
        ("Shapes", ", ".join(f"{count} {split}" for split, count in shapes.items())),
        ("Classes", f"{len(info['classes'])}: {', '.join(info['classes'])}"),
        ("Parts", _parts(info.get("parts") or {})),
        ("Store", f"{info['store']} (fingerprint {info['store_fingerprint']})"),
        (
            "Seeds",
            _join(f"{variant.label} {', '.join(map(str, variant.seeds))}" for variant in variants),
        ),
        ("Students", _join(f"{a.results[0].student}{_parameters(a)}" for a in variants)),
        ("Teachers", _join(_teacher(a.results[0].info.get("teacher")) for a in variants)),
        ("Software", _software(info)),
    ]
    return [(name, text) for name, text in facts if text]


def _row(name: str, values: Sequence[Any]) -> SettingRow:
    texts = tuple("-" if value is None else str(value) for value in values)
    return SettingRow(name, texts, len(set(texts)) > 1)


def _join(texts: Iterable[str]) -> str:
    """The texts, each once, without empty ones."""
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _parameters(variant: Variant) -> str:
    count = variant.results[0].info.get("parameters")
    return f" ({count / 1e6:.2f} million parameters)" if count else ""


def _parts(parts: Mapping[str, Sequence[str]]) -> str:
    """Number of parts, and of those of each class; empty without parts."""
    texts = [f"{label} ({', '.join(names)})" for label, names in parts.items()]
    return f"{sum(map(len, parts.values()))}: {', '.join(texts)}" if parts else ""


def _teacher(teacher: Any) -> str:
    if not isinstance(teacher, dict):
        return str(teacher) if teacher else ""
    return ", ".join(f"{key} {value}" for key, value in teacher.items() if not _nested(value))


def _nested(value: Any) -> bool:
    return value is None or isinstance(value, (dict, list))


def _software(info: dict[str, Any]) -> str:
    versions = {"pointmcd": info.get("pointmcd"), **info.get("versions", {})}
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)
