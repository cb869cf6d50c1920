"""Tables and paragraphs of the pages of results, and the machine as it is."""

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]


def table(head: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Return a Markdown table, its first `left` columns aligned to the left, the others right."""
    marks = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, marks, *rows))


def write(path: Path, parts: Iterable[str]) -> None:
    """Write paragraphs, headings and tables with an empty line between them."""
    path.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")


def sections(path: Path, *own: Sequence[str]) -> list[str]:
    """Return the sections of a page, with some added or replaced: each of `own`, heading first."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    every = {part.partition("\n")[0]: f"## {part}" for part in text.split("\n## ")[1:]}
    for one in own:
        every[one[0].removeprefix("## ")] = "\n\n".join(part.strip() for part in one)
    return list(every.values())


def machine(*packages: str) -> str:
    """Describe this machine and the versions of torch and of further packages."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = [f"{name} {version(name)}" for name in ("torch", *packages)]
    parts = [
        f"{processor()} ({platform.machine()})",
        f"{os.cpu_count()} cores",
        gpu,
        platform.system(),
        f"Python {platform.python_version()}",
        *versions,
    ]
    return f"Machine: {', '.join(parts)}."


def processor() -> str:
    """Return the processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")
