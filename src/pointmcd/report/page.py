"""The report: one self-contained HTML page, to be mailed, archived and read offline."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pointmcd.errors import RunError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.shape_sets import FOLDS, REST
from pointmcd.extras import import_extra
from pointmcd.files import write_page
from pointmcd.report.content import page_content
from pointmcd.tasks.results import known_labels
from pointmcd.templates import load_template
from pointmcd.training.run import Run


def write_report(
    runs: str | Path | Sequence[str | Path],
    out: str | Path,
    baseline: Sequence[str | Path] = (),
    over_labels: Sequence[str | Path] = (),
    view: bool = False,
) -> Path:
    """Write one self-contained HTML page about evaluated runs.

    Args:
        runs: run folders, or one, of any number of variants and seeds. Without `baseline`, those
            of the variant "baseline" become the baseline of the others.
        out: the file to write, or a folder in which to write report.html.
        baseline: run folders of the variant that the others are held against.
        over_labels: run folders, with several numbers of labels, of the learning curve; by
            default that of `runs` and `baseline`.
        view: whether some shapes can be turned by hand; the page is 5 MB larger.

    Returns:
        The file.

    Raises:
        RunError: when a run is not evaluated or the runs cannot be compared.
        ConfigError: when shapes are to be turned and plotly is absent.
    """
    runs, baseline, over_labels = (
        [one] if isinstance(one, str | Path) else one for one in (runs, baseline, over_labels)
    )
    if not runs:
        raise RunError("no runs to report on: give at least one run folder")
    if view:
        import_extra("plotly.offline", "view", "--view")
    shown, held = _split([Path(run) for run in runs], [Path(run) for run in baseline])
    every = (*shown, *held)
    others = [split for split in (REST, FOLDS) if _evaluated(every, f"{split}-last")]
    if FOLDS in others and len({Run(run).meta["settings"].get("labels") for run in every}) > 1:
        others.remove(FOLDS)  # of other label files they are of other shapes
    untested = not any((run / "predictions-test-last.npz").is_file() for run in every)
    splits = others if others and untested else ["test", *others]
    comparisons = [compare(shown, held, "last", split=split) for split in splits]
    if _evaluated(every, "test-best"):
        comparisons.append(compare(shown, held, "best"))
    votes = set.intersection(*(_votes(run) for run in every))
    comparisons += [compare(shown, held, "last", voting=number) for number in sorted(votes)]
    html = load_template("pointmcd.report", "report.html.j2").render(
        page_content(comparisons, compare(over_labels) if over_labels else None, view)
    )
    return write_page(html, out, "report.html")


def _evaluated(runs: Iterable[Path], what: str) -> bool:
    return all((run / f"predictions-{what}.npz").is_file() for run in runs)


def _votes(run: Path) -> set[int]:
    """Return the numbers of votes that a run was evaluated with."""
    names = (file.stem for file in run.glob("predictions-test-last-voting*.npz"))
    texts = (name.rpartition("-voting")[2] for name in names)
    return {int(text) for text in texts if text.isdecimal()}


def _split(runs: list[Path], baseline: list[Path]) -> tuple[list[Path], list[Path]]:
    """Take the baseline out of `runs` unless it is given, or they hold nothing else.

    In a learning curve there is no one baseline: each share of the labels has its own.
    """
    opened = map(Run, runs)
    shares = {tuple(known_labels(run.meta, run.settings).values()) for run in opened}
    if baseline or len(shares) > 1:
        return runs, baseline
    plain = [run for run in runs if Run(run).meta["arm"] == "baseline"]
    others = [run for run in runs if run not in plain]
    return (others, plain) if others else (runs, [])
