"""Settings and training data of each variant, as rows for the page."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pointmcd.errors import PointMCDError
from pointmcd.tasks.results import RunResult, Variant
from pointmcd.teachers.lesson import LESSONS

#: The folders of an absolute path, also in a name such as `module:/home/me/mine.py:build`.
_FOLDERS = re.compile(r"(?<![\w.~-])(?:/|[A-Za-z]:\\)(?:[^/\\:]+[/\\])+(?=[^/\\]*$)")
#: Told elsewhere on the page, or different in every run.
_LEFT_OUT = {"out", "seed", "store", "overwrite"}


def setting_rows(variants: Sequence[Variant]) -> list[tuple[str, list[str], bool]]:
    """Settings of config.yaml: a name, each variant's value, whether they differ; these first."""
    configs = [variant.results[0].config for variant in variants]
    names = dict.fromkeys(name for config in configs for name in config if name not in _LEFT_OUT)
    rows = []
    for name in names:
        values = [config.get(name) for config in configs]
        texts = ["-" if value is None else _without_folders(value) for value in values]
        rows.append((name, texts, len(set(texts)) > 1))
    return sorted(rows, key=lambda row: not row[2])


def _without_folders(value: Any) -> str:
    """The text of a value, of absolute paths in it their names: the page leaves this machine."""
    if isinstance(value, list | tuple):
        return str([_without_folders(one) for one in value])
    return _FOLDERS.sub("", str(value))


def trained_on(variants: Sequence[Variant]) -> list[tuple[str, str]]:
    """Facts about the data, the models and the software, each a name and a text."""
    first = [variant.results[0] for variant in variants]
    info = first[0].info
    shapes, versions = info.get("shapes", {}), {"pointmcd": info.get("pointmcd")}
    versions |= info.get("versions", {})
    facts = {
        "Shapes": ", ".join(f"{count} {split}" for split, count in shapes.items()),
        "Classes": f"{len(info['classes'])}: {', '.join(info['classes'])}",
        "Parts": _parts(info.get("parts") or {}),
        "Store": f"{Path(info['store']).name} (fingerprint {info['store_fingerprint']})",
        "Seeds": _join(f"{one.label} {', '.join(map(str, one.seeds))}" for one in variants),
        "Students": _join(map(_student, first)),
        "Teachers": _join(_teacher(result.info.get("teacher")) for result in first),
        "Software": ", ".join(f"{name} {text}" for name, text in versions.items() if text),
    }
    return [(name, text) for name, text in facts.items() if text]


def _join(texts: Iterable[str]) -> str:
    """The texts, each once, without empty ones."""
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _student(result: RunResult) -> str:
    count = result.info.get("parameters")
    return result.student + (f" ({count / 1e6:.2f} million parameters)" if count else "")


def _parts(parts: Mapping[str, Sequence[str]]) -> str:
    """Number of parts, and of those of each class; empty without parts."""
    texts = [f"{label} ({', '.join(names)})" for label, names in parts.items()]
    return f"{sum(map(len, parts.values()))}: {', '.join(texts)}" if parts else ""


def _teacher(teacher: Any) -> str:
    """What teacher.json says, in words, and without folders."""
    if not isinstance(teacher, dict):
        return str(teacher) if teacher else ""
    settings = teacher.get("settings") or {}
    own = teacher.get("weights_file")
    told = [
        f"encoder {_without_folders(settings['teacher'])}" if "teacher" in settings else "",
        f"weights of {_without_folders(own)}" if own else "",
        "fine-tuned" if settings.get("finetune") else "",
        f"{teacher['steps']:,} steps" if teacher.get("steps") else "",
        _scores(teacher),
        f"weights under {licence}" if (licence := teacher.get("licence")) else "",
    ]
    about = ", ".join(filter(None, told))
    return f"{teacher.get('name', '')} ({about})" if about else str(teacher.get("name", ""))


def _scores(teacher: Mapping[str, Any]) -> str:
    """How good a teacher is on the validation split; "" where its lesson is not at hand."""
    try:
        return LESSONS.get(teacher["task"]).summary(teacher)
    except (KeyError, PointMCDError):
        return ""
