"""The tables that the command line prints."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table
from rich.text import Text

from pointmcd.probe.cells import PROBE_COLUMNS, PROBE_NOTES, probe_cells

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.datasets.base import DataSet
    from pointmcd.encoders.available import EncoderEntry
    from pointmcd.inference.predict import Prediction
    from pointmcd.inference.predict_parts import PartPrediction
    from pointmcd.metrics.classification import ClassificationMetrics
    from pointmcd.metrics.segmentation import SegmentationMetrics
    from pointmcd.probe.scores import ProbeRow


def data_sets_table(data_sets: "Iterable[DataSet]") -> Table:
    """Name, content and licence of the data sets that are read by name."""
    fold = (Column(name, overflow="fold") for name in ("what it is", "how to get it", "licence"))
    table = Table("name", *fold)
    for one in data_sets:
        fetched = any(layout.archive is not None for layout in one.layouts)
        how = f"pointmcd download {one.name}" if fetched else f"by hand: {one.home}"
        table.add_row(*(Text(cell) for cell in (one.name, one.title, how, one.licence)))
    return table


def teacher_line(meta: Mapping[str, Any]) -> str:
    """How a teacher did on the validation part, from its teacher.json."""
    shapes = meta["val_shapes"]
    if meta.get("task") == "features":
        return (
            f"{meta['descriptor_size']} channels per view; nothing was trained, no label was read"
        )
    if not shapes:
        return "no validation part"
    if meta.get("task") == "autoencoder":
        return f"validation L1 {meta['val_l1']:.4f} of grey in 0 to 1, on {shapes} shapes"
    if meta.get("task") == "segmentation":
        return (
            f"validation pixel mIoU {meta['val_pixel_miou']:.1%} on {shapes} shapes"
            f" ({meta['val_pixel_accuracy']:.1%} of their pixels right)"
        )
    return (
        f"validation accuracy {meta['val_accuracy']:.1%} on {shapes} shapes"
        f" ({meta['val_view_accuracy']:.1%} of single views)"
    )


def encoders_table(entries: "Iterable[EncoderEntry]") -> Table:
    """Image encoders: what `--teacher` takes, where the weights are, and what they serve."""
    table = Table(Column("--teacher", overflow="fold"), "weights", "features", "input", "licence")
    table.add_column("tasks")
    for entry in entries:
        features = "" if entry.features is None else str(entry.features)
        cells = (entry.name, entry.weights, features, entry.size, entry.licence)
        table.add_row(*(Text(cell) for cell in (*cells, ", ".join(entry.tasks))))
    return table


def metrics_table(
    title: str, results: "Mapping[str, ClassificationMetrics | SegmentationMetrics]"
) -> Table:
    """Figures of a run's last and best checkpoint, in percent, the classes below."""
    table = Table(title=Text(title))
    for heading in ("", "last epoch", "best on validation"):
        table.add_column(heading, justify="left" if not heading else "right")
    pair = [results["last"], results["best"]]
    names = list(pair[0].figures)
    for name in names:
        cells = (f"{100 * metrics.figures[name]:.1f}" for metrics in pair)
        table.add_row(name, *cells, end_section=name == names[-1])
    for name in pair[0].per_class:
        values = [metrics.per_class[name] for metrics in pair]
        table.add_row(Text(name), *("-" if v is None else f"{100 * v:.1f}" for v in values))
    return table


def probe_table(title: str, rows: "Iterable[ProbeRow]") -> Table:
    """Scores of frozen encoders, in percent; mean and deviation where there are several seeds."""
    table = Table(title=Text(title), caption=Text(PROBE_NOTES))
    table.add_column("features", overflow="fold")
    for heading in PROBE_COLUMNS:
        table.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in probe_cells(row)))
    return table


def classes_table(predictions: "Iterable[Prediction]") -> tuple[Table, list[str]]:
    """Class and confidence of each file, and what was wrong with the others."""
    table, faults = Table(Column("file", overflow="fold"), "class", "confidence", "next"), []
    for prediction in predictions:
        if prediction.fault is not None:
            faults.append(prediction.fault)
            continue
        rest = ", ".join(f"{name} {p:.0%}" for name, p in prediction.ranking[1:3])
        cells = (prediction.path, prediction.label, f"{prediction.confidence:.0%}", rest)
        table.add_row(*(Text(str(cell)) for cell in cells))  # a name in [brackets] is no markup
    return table, faults


def parts_table(predictions: "Iterable[PartPrediction]") -> tuple[Table, list[str]]:
    """Shares of the parts of each file and what was written, and what was wrong with the others."""
    fold = (Column(name, overflow="fold") for name in ("file", "class", "parts", "written"))
    table, faults = Table(*fold), []
    for prediction in predictions:
        if prediction.fault is not None:
            faults.append(prediction.fault)
            continue
        shares = ", ".join(f"{name} {share:.0%}" for name, share in prediction.parts.items())
        written = f"{prediction.ply}\n{prediction.picture}"
        cells = (prediction.path, prediction.label, shares, written)
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table, faults
