"""What the benchmarks of distillation share: equal arms, run one by one, and a page of results."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import to_markdown
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.files import read_json
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

#: What each arm changes in the settings, and nothing else.
ARMS = {
    "baseline": {"teacher": None},
    "distilled": {},
    "distilled-all-visible": {"visibility": "all"},
    "distilled-wrong-view": {"pairing": "wrong"},
    "distilled-random-teacher": {"teacher": "random-lite0"},
}


@dataclass(frozen=True)
class Trial:
    """One student, trained equally in some arms with some seeds."""

    student: str
    epochs: int
    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    rotation: str = "none"

    @property
    def title(self) -> str:
        """Heading of its section."""
        turned = "" if self.rotation == "none" else f", rotation {self.rotation}"
        return f"{self.student}{turned}, {self.epochs} epochs, seeds {_list(self.seeds)}"

    def folder(self, work: Path, arm: str, seed: int) -> Path:
        """Where a run of it stands."""
        turned = "" if self.rotation == "none" else f"-{self.rotation}"
        return work / "runs" / f"{self.student}{turned}-{arm}-s{seed}"

    def folders(self, work: Path) -> dict[str, list[Path]]:
        """The runs of each arm."""
        return {arm: [self.folder(work, arm, seed) for seed in self.seeds] for arm in self.arms}

    def configs(self, base: TrainConfig, work: Path) -> Iterator[TrainConfig]:
        """All runs, seed by seed, so that an interruption leaves whole seeds."""
        common = {"student": self.student, "epochs": self.epochs, "rotation": self.rotation}
        for seed in self.seeds:
            for arm in self.arms:
                own = {"out": self.folder(work, arm, seed), "seed": seed} | ARMS[arm]
                yield replace(base, **(common | own))


def run_trials(configs: Sequence[TrainConfig], share: str) -> None:
    """Train and evaluate; of a share K/N only every N-th run, from the K-th."""
    number, of = map(int, share.split("/"))
    for config in configs[number::of]:
        run = train(config)
        if not (run / "test.json").exists():
            evaluate(run)


def section(trial: Trial, work: Path, figure: str) -> str | None:
    """Tables of one trial in Markdown; None where a run of it is not evaluated.

    Args:
        trial: the trial.
        work: where its runs stand.
        figure: what `test.json` calls the main figure.
    """
    folders = trial.folders(work)
    if not all((run / "test.json").exists() for runs in folders.values() for run in runs):
        return None
    baseline = folders.get("baseline", []) if len(trial.arms) > 1 else []
    runs = [run for runs in folders.values() for run in runs if run not in baseline]
    tables = [to_markdown(compare(runs, baseline, checkpoint)) for checkpoint in ("last", "best")]
    parts = [f"## {trial.title}", *tables, by_seed(folders, figure)]
    return "\n\n".join(part.strip() for part in parts)


def by_seed(folders: dict[str, list[Path]], figure: str) -> str:
    """The main figure of each run, last epoch, in percent."""
    most = max(map(len, folders.values()))
    head = " | ".join(f"seed {seed}" for seed in range(most))
    rows = [f"| {figure.replace('_', ' ')} | {head} |", "| --- |" + " ---: |" * most]
    for arm, runs in folders.items():
        figures = [read_json(run / "test.json")["last"][figure] for run in runs]
        rows.append(f"| {arm} | " + " | ".join(f"{100 * f:.1f}" for f in figures) + " |")
    return "\n".join(rows)


def write_page(
    path: Path, head: Iterable[str], trials: Iterable[Trial], work: Path, figure: str
) -> None:
    """Write the page; the section of a trial that was not run in `work` stays as it stands."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    old = {part.partition("\n")[0]: part.strip() for part in text.split("\n## ")[1:]}
    sections = []
    for trial in trials:
        kept = old.get(trial.title)
        sections.append(section(trial, work, figure) or (kept and f"## {kept}"))
    parts = [*head, *(part for part in sections if part)]
    path.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")


def describe(config: TrainConfig) -> str:
    """The settings that decide a run, on one line, but for what differs between trials."""
    left_out = {"seed", "student", "epochs", "rotation", "teacher"}
    settings = {k: v for k, v in config.decisive().items() if k not in left_out}
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def main(description: str | None, run: Callable[[Path, Path, str, tuple[str, ...]], None]) -> None:
    """Parse SOURCE, WORK, --share and --students, and run."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--share", default="0/1", help="K/N: only every N-th run, from the K-th")
    parser.add_argument("--students", nargs="*", default=(), help="only these; all by default")
    arguments = parser.parse_args()
    run(arguments.source, arguments.work, arguments.share, tuple(arguments.students))


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
