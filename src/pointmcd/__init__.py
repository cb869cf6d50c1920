"""PointMCD: teach point cloud encoders what image models know.

The public names below are loaded at first use, so that `import pointmcd` stays fast.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "PointFeatures": "pointmcd.students.base",
    "PointMCDError": "pointmcd.errors",
    "Store": "pointmcd.data.store",
    "TeachConfig": "pointmcd.teachers.config",
    "TrainConfig": "pointmcd.training.config",
    "ViewDistillation": "pointmcd.distill.distillation",
    "compare": "pointmcd.evaluation.compare",
    "create_student": "pointmcd.students.registry",
    "evaluate": "pointmcd.evaluation.evaluate",
    "list_students": "pointmcd.students.registry",
    "masked_max": "pointmcd.ops.masked_max",
    "predict": "pointmcd.evaluation.predict",
    "prepare": "pointmcd.data.prepare",
    "register_student": "pointmcd.students.registry",
    "teach": "pointmcd.teachers.teach",
    "train": "pointmcd.training.train",
    "write_report": "pointmcd.report.page",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pointmcd' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
