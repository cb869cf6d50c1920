"""Training curves: one line per variant, with a band over its seeds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pointmcd.plots.style import tidy
from pointmcd.tasks.results import Variant
from pointmcd.training.run import Run
from pointmcd.typing import Doubles

#: What a run logged, one record an epoch.
_History = Sequence[Mapping[str, object]]


class _Panel(NamedTuple):
    """One field of metrics.jsonl and how to draw it."""

    field: str
    title: str
    factor: float = 1.0
    logarithmic: bool = False


def curves_figure(variants: Sequence[Variant], colours: Mapping[str, str]) -> Figure | None:
    """Losses and validation metrics by epoch; None where no run has a history.

    The line is the mean over seeds, the band reaches from the lowest to the highest seed.
    """
    histories = {
        variant.label: [Run(run.path).metrics() for run in variant.results] for variant in variants
    }
    drawn = []
    for panel in _panels(histories.values()):
        curves = {label: _curves(runs, panel) for label, runs in histories.items()}
        curves = {label: values for label, values in curves.items() if np.isfinite(values).any()}
        if curves:
            drawn.append((panel, curves))
    if not drawn:
        return None
    # Four in a row would be too small to read.
    columns = len(drawn) if len(drawn) <= 3 else 2
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    for place, (panel, curves) in enumerate(drawn, start=1):
        _draw(figure.add_subplot(rows, columns, place), panel, curves, colours)
    lines = [Line2D([], [], color=colours[one], linewidth=3, label=one) for one in histories]
    many = min(len(lines), 3)
    figure.legend(handles=lines, loc="outside lower center", ncols=many, frameon=False)
    return tidy(figure)


def _panels(histories: Iterable[Sequence[_History]]) -> list[_Panel]:
    """One for every loss of training and every validation metric that a run has logged."""
    records = (run[0] for runs in histories for run in runs if run)
    fields = dict.fromkeys(field for record in records for field in record)
    losses = [field for field in fields if field.endswith("_loss") and field != "val_loss"]
    metrics = [field for field in fields if field.startswith("val_") and field != "val_loss"]
    return [
        *(_Panel(field, f"{_words(field)} (train)", logarithmic=True) for field in losses),
        *(_Panel(field, f"{_words(field)}, %", factor=100) for field in metrics),
    ]


def _words(field: str) -> str:
    """A field's name in words: `val_instance_miou` is the validation instance mIoU."""
    text = field.replace("val_", "validation_").replace("_", " ").replace("miou", "mIoU")
    return text[0].upper() + text[1:]


def _curves(runs: Sequence[_History], panel: _Panel) -> Doubles:
    """Values by epoch of every seed [S, E]; NaN where a seed has none."""
    values = np.full((len(runs), max(map(len, runs), default=0)), np.nan)
    for row, records in enumerate(runs):
        for column, record in enumerate(records):
            value = record.get(panel.field)
            if isinstance(value, (int, float)):
                values[row, column] = panel.factor * value
    # A weight of zero leaves a loss of zero: there is nothing to show.
    return values if np.nanmax(values, initial=0) > 0 else np.full_like(values, np.nan)


def _draw(
    axes: Axes, panel: _Panel, curves: Mapping[str, Doubles], colours: Mapping[str, str]
) -> None:
    for label, values in curves.items():
        masked = np.ma.masked_invalid(values)
        epochs = np.arange(1, values.shape[1] + 1)
        axes.plot(epochs, masked.mean(axis=0), color=colours[label], linewidth=1.8)
        low, high = masked.min(axis=0), masked.max(axis=0)
        axes.fill_between(epochs, low, high, color=colours[label], alpha=0.18, linewidth=0)
    if panel.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(panel.title, fontsize=11)
    axes.set_xlabel("epoch")
