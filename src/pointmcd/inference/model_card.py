"""The card beside exported weights: what they are, from which data, and how good they were."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pointmcd.encoders.image_encoder import weights_licence
from pointmcd.errors import PointMCDError
from pointmcd.files import read_json
from pointmcd.training.run import Run

_UNKNOWN = "unknown"


def model_card(run: Run, told: dict[str, Any]) -> str:
    """Markdown with a YAML header.

    What pointmcd does not know, the licences of data and of the result among it, is said to be
    unknown.

    Args:
        run: the run.
        told: what `pointmcd.inference.export_about.about` says of the model.
    """
    task, student = told["task"], told["student"]
    header = {
        "library_name": "pointmcd",
        "license": "other",
        "license_name": "not-chosen",
        "tags": ["point-cloud", student, task],
    }
    sections = {
        "Model": _model(run, told),
        "Data": _data(run),
        "Teacher": _teacher(run),
        "Licence": _licence(),
        "Training": _training(run, told),
        "Metrics": _metrics(run, told["checkpoint"]),
        "Use": _use(run, told),
    }
    text = [f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n", f"# {student}, {task}\n"]
    for title, lines in sections.items():
        text.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(text)


def _model(run: Run, told: dict[str, Any]) -> Iterator[str]:
    yield f"- Student: `{told['student']}`, {run.meta.get('parameters', _UNKNOWN)} parameters"
    yield f"- Task: {told['task']}; arm of its comparison: {run.meta['arm']}"
    yield f"- Weights: the {told['checkpoint']} checkpoint, fingerprint `{told['fingerprint']}`"
    yield "- Input: points float32 [B, N, 3] in the unit sphere, centred at their mean"
    for label, part in told.get("parts", {}).items():
        yield f"- Parts of {label}, from logit {part['first']} on: {', '.join(part['names'])}"


def _data(run: Run) -> Iterator[str]:
    meta = run.meta
    yield f"- Source: {_source(Path(meta['store']))}"
    yield f"- Fingerprint of the store: `{meta['store_fingerprint']}`"
    yield "- Shapes: " + ", ".join(f"{meta['shapes'][s]} {s}" for s in ("train", "val", "test"))
    yield f"- Classes ({meta['num_classes']}): {', '.join(meta['classes']) or 'none'}"
    yield f"- Licence: {_UNKNOWN} to pointmcd; look at the source"


def _source(store: Path) -> str:
    """Name of what the store was prepared from; of the store alone where that is gone."""
    try:
        return f"`{Path(read_json(store / 'plan.json')['source']).name}`"
    except (PointMCDError, KeyError, TypeError):
        return f"{_UNKNOWN} (the store `{store.name}` is not at hand)"


def _teacher(run: Run) -> Iterator[str]:
    teacher = run.meta["teacher"]
    if teacher is None:
        yield "None: trained without distillation."
        return
    encoder = str(teacher.get("settings", {}).get("teacher", _UNKNOWN))
    yield f"- Name: `{teacher.get('name', _UNKNOWN)}`, on the image encoder `{encoder}`"
    yield f"- Learnt: {teacher.get('task', _UNKNOWN)}; fingerprint `{teacher.get('fingerprint')}`"
    if encoder.startswith("random:"):
        yield "- Licence of its weights: none; they were drawn at random"
    else:
        yield f"- Licence of its pretrained weights: {weights_licence(encoder) or _UNKNOWN}"


def _licence() -> Iterator[str]:
    yield "Not chosen. `license: other` above stands for this: whoever publishes these weights"
    yield "chooses a licence that those of the data and of the teacher's weights allow, and writes"
    yield "it there. The code of pointmcd is Apache-2.0, which says nothing of weights."


def _training(run: Run, told: dict[str, Any]) -> Iterator[str]:
    meta = run.meta
    yield f"- Seed: {meta['seed']}"
    versions = {"pointmcd": meta.get("pointmcd", _UNKNOWN), **meta.get("versions", {})}
    yield "- Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items())
    if meta.get("init"):
        start = meta["init"]
        yield f"- Started from a run of task {start['task']}, seed {start['seed']},"
        yield f"  weights `{start['fingerprint']}`"
    yield f"- Settings:\n\n```json\n{json.dumps(meta['settings'], indent=1, sort_keys=True)}\n```"


def _metrics(run: Run, checkpoint: str) -> Iterator[str]:
    """The test result of the checkpoint, figures as fractions."""
    file = run.path / "test.json"
    if not file.is_file():
        yield "Not evaluated on a test part; `pointmcd evaluate RUN` does that."
        return
    figures = read_json(file)[checkpoint]
    yield f"Test part, fractions; the {checkpoint} checkpoint, one seed:\n"
    for name, value in figures.items():
        if not isinstance(value, dict):
            yield f"- {name}: {value:.4f}" if isinstance(value, float) else f"- {name}: {value}"
    for name, value in figures.get("per_class", {}).items():
        yield f"- {name}: " + ("no shape" if value is None else f"{value:.4f}")


def _use(run: Run, told: dict[str, Any]) -> Iterator[str]:
    command = f"pointmcd export {run.path} --to safetensors --checkpoint {told['checkpoint']}"
    yield f"Made by `{command}`. The tensors are those of the model that"
    yield "`pointmcd.tasks.task.get_task(TASK).build_model` makes, for its `load_state_dict`;"
    yield "`safetensors` opens the file in other programs. `pointmcd export RUN --to onnx` writes a"
    yield "program."
