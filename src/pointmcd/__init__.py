"""PointMCD: teach point cloud encoders what image models know.

The public names below are loaded at first use, so that `import pointmcd` stays fast.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("pointmcd")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_PUBLIC = {
    "Labels": "pointmcd.tasks.task",
    "Lesson": "pointmcd.teachers.lesson",
    "LessonOptions": "pointmcd.teachers.lesson",
    "Objective": "pointmcd.distill.objective",
    "PartSegmenter": "pointmcd.estimators.segmenter",
    "PointCloudClassifier": "pointmcd.estimators.classifier",
    "PointCloudEmbedder": "pointmcd.estimators.classifier",
    "PointFeatures": "pointmcd.students.base",
    "PointMCDError": "pointmcd.errors",
    "PrepareConfig": "pointmcd.preparation.config",
    "ProbeConfig": "pointmcd.probing.config",
    "Rig": "pointmcd.views.rig",
    "Run": "pointmcd.training.run",
    "Store": "pointmcd.data.store",
    "Task": "pointmcd.tasks.task",
    "TeachConfig": "pointmcd.teachers.config",
    "TrainConfig": "pointmcd.training.config",
    "TrainedLesson": "pointmcd.teachers.trained",
    "TrainedOptions": "pointmcd.teachers.trained",
    "ViewProjection": "pointmcd.distill.projection",
    "check_dataset": "pointmcd.datasets.check",
    "check_lesson": "pointmcd.teachers.check",
    "check_objective": "pointmcd.distill.check",
    "check_student": "pointmcd.students.check",
    "check_task": "pointmcd.evaluation.check",
    "check_teacher": "pointmcd.encoders.check",
    "compare": "pointmcd.evaluation.compare",
    "create_model": "pointmcd.inference.pretrained",
    "create_student": "pointmcd.students.registry",
    "cross_validate": "pointmcd.training.folds",
    "download": "pointmcd.datasets.download",
    "embed": "pointmcd.probing.embed",
    "evaluate": "pointmcd.evaluation.evaluate",
    "export_run": "pointmcd.inference.export",
    "from_pretrained": "pointmcd.inference.pretrained",
    "furniture10": "pointmcd.datasets.furniture",
    "get_rig": "pointmcd.views.rig",
    "label_page": "pointmcd.labelling.page",
    "learning_curve": "pointmcd.training.several",
    "list_data_sets": "pointmcd.datasets.registry",
    "list_pretrained": "pointmcd.training.weights",
    "list_students": "pointmcd.students.registry",
    "map_output": "pointmcd.teachers.stored",
    "masked_max": "pointmcd.ops.masked_max",
    "normalise": "pointmcd.shapes.mesh",
    "normalise_cloud": "pointmcd.shapes.clouds",
    "open_predictor": "pointmcd.inference.predictor",
    "predict": "pointmcd.inference.predict",
    "prepare": "pointmcd.preparation.prepare",
    "probe": "pointmcd.probing.probe",
    "push_to_hub": "pointmcd.inference.pretrained",
    "read_mesh": "pointmcd.shapes.mesh",
    "read_points": "pointmcd.shapes.clouds",
    "register_dataset": "pointmcd.datasets.base",
    "register_lesson": "pointmcd.teachers.lesson",
    "register_objective": "pointmcd.distill.objective",
    "register_student": "pointmcd.students.registry",
    "register_task": "pointmcd.tasks.task",
    "render_views": "pointmcd.views.render",
    "sample_surface": "pointmcd.shapes.sampling",
    "save_run": "pointmcd.training.own_loop",
    "shape_map": "pointmcd.labelling.map",
    "similar": "pointmcd.probing.embed",
    "teach": "pointmcd.teachers.teach",
    "train": "pointmcd.training.train",
    "train_all": "pointmcd.training.several",
    "train_seeds": "pointmcd.evaluation.seeds",
    "train_together": "pointmcd.training.together",
    "view": "pointmcd.report.view",
    "visible_points": "pointmcd.views.raycast",
    "write_label_page": "pointmcd.labelling.html",
    "write_report": "pointmcd.report.page",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pointmcd' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
