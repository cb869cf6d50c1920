"""Runs that differ in one setting only, trained one by one, and the page that compares them."""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from zipfile import ZipFile

import numpy as np
from joblib import Parallel, delayed

from benchmarks.shared.page import table, write
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.files import read_json
from pointmcd.tables import to_markdown
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.together import can_train_together, train_together
from pointmcd.training.train import train

#: What each variant changes in the settings, and nothing else.
VARIANTS = {
    "baseline": {"teacher": None},
    "distilled": {},
    "distilled-all-visible": {"visibility": "all"},
    "distilled-wrong-view": {"pairing": "wrong"},
    "distilled-random-teacher": {"teacher": "random-lite0"},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "--share": {"default": "0/1", "help": "K/N: only every N-th run, from the K-th"},
    "--students": {"nargs": "*", "help": "only these; all by default"},
}
Thing = TypeVar("Thing")
BOTH = ("baseline", "distilled")


@dataclass(frozen=True)
class Trial:
    """One student, trained equally in some variants with some seeds."""

    student: str
    epochs: int
    seeds: tuple[int, ...]
    variants: tuple[str, ...] = BOTH
    rotation: str = "none"

    @property
    def title(self) -> str:
        """Heading of its section."""
        turned = "" if self.rotation == "none" else f", rotation {self.rotation}"
        seeds = ", ".join(map(str, self.seeds))
        return f"{self.student}{turned}, {self.epochs} epochs, seeds {seeds}"

    def folder(self, work: Path, variant: str, seed: int) -> Path:
        """Folder of one of its runs."""
        turned = "" if self.rotation == "none" else f"-{self.rotation}"
        return work / "runs" / f"{self.student}{turned}-{variant}-s{seed}"

    def folders(self, work: Path) -> dict[str, list[Path]]:
        """The runs of each variant."""
        return {name: [self.folder(work, name, s) for s in self.seeds] for name in self.variants}

    def configs(self, base: TrainConfig, work: Path) -> Iterator[TrainConfig]:
        """All runs, seed by seed, so that an interruption leaves whole seeds."""
        common = {"student": self.student, "epochs": self.epochs, "rotation": self.rotation}
        for seed in self.seeds:
            for name in self.variants:
                own = {"out": self.folder(work, name, seed), "seed": seed} | VARIANTS[name]
                yield replace(base, **(common | own))


def run_trials(trials: Iterable[Trial], base: TrainConfig, chosen: argparse.Namespace) -> None:
    """Train and evaluate the runs that `--students` and `--share` choose."""
    trials = [t for t in trials if not chosen.students or t.student in chosen.students]
    configs = [config for trial in trials for config in trial.configs(base, chosen.work)]
    for config in share_of(configs, chosen.share):
        trained_and_evaluated(config)


def share_of(things: Sequence[Thing], share: str) -> Sequence[Thing]:
    """Return, of a share K/N, every N-th from the K-th."""
    number, of = map(int, share.split("/"))
    return things[number::of]


def seeds_done(config: Callable[[int], TrainConfig]) -> list[int]:
    """Return the seeds whose runs are trained and evaluated, of the settings of each seed."""
    return [seed for seed in range(99) if (config(seed).folder / "test.json").exists()]


def trained_and_evaluated(config: TrainConfig) -> Path:
    """Return the run of a config, trained and its test split read, each only if it was not yet."""
    run = train(config)
    if not (run / "test.json").exists():
        evaluate(run)
    return run


def train_all(configs: Iterable[TrainConfig], at_once: int = 1, together: bool = False) -> None:
    """Train and evaluate runs in this order, several at a time: small ones do not fill a GPU.

    With `together`, those that differ in seed or label file alone are first trained as one model,
    where that can be done.
    """
    configs = list(configs)
    groups: dict[TrainConfig, list[TrainConfig]] = defaultdict(list)
    for config in filter(can_train_together, configs if together else []):
        groups[replace(config, out=None, seed=0, labels=None)].append(config)
    for group in groups.values():
        start = time.perf_counter()
        train_together(group)
        print(f"{len(group)} runs together: {time.perf_counter() - start:.0f} s")
    Parallel(at_once)(delayed(_timed)(config) for config in configs)


def _timed(config: TrainConfig) -> None:
    start = time.perf_counter()
    run = trained_and_evaluated(config)
    print(f"{run.name}: {time.perf_counter() - start:.0f} s")


def section(trial: Trial, work: Path, metric: str) -> str | None:
    """Return one trial's tables in Markdown, or None where a run of it is not evaluated.

    Args:
        trial: the trial.
        work: where its runs stand.
        metric: what `test.json` calls the main metric.
    """
    folders = trial.folders(work)
    if not all((run / "test.json").exists() for runs in folders.values() for run in runs):
        return None
    baseline = folders.get("baseline", []) if len(trial.variants) > 1 else []
    runs = [run for runs in folders.values() for run in runs if run not in baseline]
    tables = [
        to_markdown(comparison_table(compare(runs, baseline, checkpoint)))
        for checkpoint in ("last", "best")
    ]
    parts = [f"## {trial.title}", *tables, by_seed(folders, metric)]
    return "\n\n".join(part.strip() for part in parts)


def by_seed(folders: dict[str, list[Path]], metric: str) -> str:
    """Return a table of the main metric of each run after its last epoch, in percent."""
    seeds = [Run(run).meta["seed"] for run in max(folders.values(), key=len)]
    rows = [
        [name, *(f"{100 * read_json(run / 'test.json')['last'][metric]:.1f}" for run in runs)]
        for name, runs in folders.items()
    ]
    return table([f"{metric.replace('_', ' ')}, last epoch", *(f"seed {s}" for s in seeds)], rows)


def write_page(
    path: Path, head: Iterable[str], trials: Iterable[Trial], work: Path, metric: str
) -> None:
    """Write the page; the section of a trial that was not run in `work` stays as it is."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    old = {part.partition("\n")[0]: f"## {part}" for part in text.split("\n## ")[1:]}
    sections = [section(t, work, metric) or old.get(t.title) for t in trials]
    write(path, [*head, *filter(None, sections)])


def describe(config: TrainConfig) -> str:
    """Return the settings that decide a run, on one line, but for what differs between trials."""
    left_out = {"seed", "student", "epochs", "rotation", "teacher"}
    settings = {k: v for k, v in config.decisive().items() if k not in left_out}
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def trained_on(*runs: Run) -> str:
    """Return where runs were trained; of older ones the version of torch alone is known."""
    places = (
        (f"on {run.meta['device']} " if "device" in run.meta else "")
        + f"with torch {run.meta['versions']['torch']}"
        for run in runs
    )
    return f"Trained {', and '.join(dict.fromkeys(places))}."


def describe_store(store: Store) -> str:
    """Return the number of shapes per split."""
    counts = {split: len(store.indices(split)) for split in ("train", "val", "test")}
    return (
        f"{counts['train']} train, {counts['val']} validation (held out of train),"
        f" {counts['test']} test shapes"
    )


def unpack_some(source: Path, folder: Path, count: int, drawn: bool = False) -> Path:
    """Unpack the first `count` train shapes of an annotated zip, and half as many of test.

    Lists are sorted, and names may say of what kind a shape is: `drawn` takes shapes by chance.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    with ZipFile(source) as archive:
        root = archive.namelist()[0].split("/")[0]
        (folder / "parts.json").write_bytes(archive.read(f"{root}/parts.json"))
        for split, some in (("train", count), ("test", count // 2)):
            names = archive.read(f"{root}/{split}.txt").decode().split()
            order = random.permutation(len(names)) if drawn else range(len(names))
            names = [names[place] for place in order[:some]]
            (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
            for name in (f"{name}{ending}" for name in names for ending in (".off", ".seg")):
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(archive.read(f"{root}/{name}"))
    return folder


def parser(description: str | None, *options: str) -> argparse.ArgumentParser:
    """Return a parser of SOURCE, WORK and the named ones of OPTIONS."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("source", type=Path)
    made.add_argument("work", type=Path)
    for option in options:
        made.add_argument(option, **OPTIONS[option])
    return made
