"""Description of an exported model, as JSON values and as a model card."""

from pathlib import Path
from typing import Any

from torch import nn

import pointmcd
from pointmcd.checkpoint import weights_digest
from pointmcd.data.splits import labelled_train
from pointmcd.encoders.image_encoder import weights_licence
from pointmcd.errors import PointMCDError
from pointmcd.files import read_json
from pointmcd.inference.teacher import Teacher
from pointmcd.shapes.features import channel_names
from pointmcd.teachers.settings import config_of
from pointmcd.templates import load_template
from pointmcd.training.calibration import is_calibrated, temperature_of
from pointmcd.training.finetune import stores_of_labels
from pointmcd.training.run import Run

#: The card in a folder of exported weights.
CARD = "README.md"
#: What must be done to points before the model sees them; `read_points` does it.
PREPROCESSING = {
    "centre": "the mean of the points (of a mesh: the centroid of its surface) at the origin",
    "scale": "the farthest point (of a mesh: vertex) at distance 1",
    "points": "then as many of them as in training, in farthest-point order, the first one first;"
    " other numbers are taken too",
}


def about(run: Run, model: nn.Module, checkpoint: str) -> dict[str, Any]:
    """Task, names, preprocessing and origin of a run's model.

    Args:
        run: the run.
        model: with the weights that are exported.
        checkpoint: where they are from.
    """
    meta = run.meta
    return {
        "pointmcd": pointmcd.__version__,
        "task": meta["task"],
        "student": meta["student"],
        **run.task.described_labels(run.labels),
        "points": run.config.points,
        "temperature": temperature_of(run, checkpoint),
        "calibrated": is_calibrated(run, checkpoint),
        "channels": channel_names(run.features),
        "up": run.up,
        "preprocessing": PREPROCESSING,
        "run": {
            **{key: meta[key] for key in ("arm", "seed", "store_fingerprint", "settings")},
            "labels_of": stores_of_labels(meta),
            "validation_of": stores_of_labels(meta, validation=True),
        },
        "checkpoint": checkpoint,
        "fingerprint": weights_digest(model.state_dict()),
    }


def model_card(run: Run, described: dict[str, Any], licence: str | None = None) -> str:
    """Write the card: Markdown with a YAML header.

    What pointmcd does not know, the licences of data and of the result among it, is said to be
    unknown.

    Args:
        run: the run.
        described: what `about` says of the model.
        licence: of the weights, if one was chosen.
    """
    encoder = ((run.meta["teacher"] or {}).get("settings") or {}).get("teacher")
    tested = run.path / "test.json"
    return load_template("pointmcd.inference", "model_card.md.j2").render(
        about=described,
        meta=run.meta,
        run=run.path,
        source=_source(Path(run.meta["store"])),
        encoder=encoder,
        encoder_licence=encoder and weights_licence(encoder),
        licence=licence,
        metrics=read_json(tested)[described["checkpoint"]] if tested.is_file() else None,
    )


def teacher_card(teacher: Teacher, described: dict[str, Any], licence: str | None = None) -> str:
    """Write a teacher's card, as `model_card` does a run's."""
    splits = [shape.split for shape in teacher.store.shapes]
    config, _ = config_of(teacher.meta, teacher.store.path)
    known = labelled_train(teacher.store, config.label_fraction, config.seed)
    return load_template("pointmcd.inference", "teacher_card.md.j2").render(
        about=described,
        meta=teacher.meta,
        folder=teacher.folder,
        licence=licence,
        source=_source(teacher.store.path),
        counts={split: splits.count(split) for split in ("train", "val", "test")},
        labelled=len(known),
        scores={name: value for name, value in teacher.meta.items() if name.startswith("val_")},
    )


def _source(store: Path) -> str | None:
    """Name of what the store was prepared from; None where the store is gone."""
    try:
        return Path(read_json(store / "plan.json")["source"]).name
    except (PointMCDError, KeyError, TypeError):
        return None
