"""What it is worth to choose which shapes to label: strategies of active learning, simulated.

    python -m benchmarks.labelling ../shared/data/psb25.zip WORK

A simulated labeller knows the classes of a labelled set. Each strategy proposes shapes until 2, 5
and 10% of those outside the test split have labels; after each round a teacher (frozen lite0, heads
on its features) learns these labels alone, and its answers are the probabilities of the next round.
Its accuracy on the test split is read once per round and chooses nothing. WORK/results.jsonl keeps
what is done; the page is benchmarks/labelling/README.md, the sections of other sets stay.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.special import softmax
from scipy.stats import t

from benchmarks.labelling import PAGE
from benchmarks.shared.page import machine, sections, table, write
from benchmarks.shared.trials import describe_store, parser
from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.store import Store
from pointmcd.files import remove
from pointmcd.labelling.propose import propose, shape_features
from pointmcd.labelling.strategy import STRATEGIES
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output, teacher_folder
from pointmcd.teachers.teach import teach
from pointmcd.typing import Doubles

FRACTIONS = (0.02, 0.05, 0.1)


def rounds(work: Path, strategy: str, seed: int) -> Iterator[dict[str, object]]:
    """Yield the result of each round of one strategy and seed."""
    store = Store(work / "store")
    features = shape_features(store)
    outside = len(store.indices("train")) + len(store.indices("val"))
    labelled: list[int] = []
    probabilities: Doubles | None = None
    for fraction in FRACTIONS:
        wanted = max(round(outside * fraction), 2) - len(labelled)
        labelled += propose(store, wanted, labelled, features, probabilities, strategy, seed)
        known = {str(store.shapes[i].label) for i in labelled}
        logits, accuracy = _taught(work, store, labelled, f"{strategy}-s{seed}")
        probabilities = softmax(logits, axis=1)
        yield {
            "strategy": strategy,
            "seed": seed,
            "fraction": fraction,
            "labels": len(labelled),
            "classes": len(known),
            "accuracy": accuracy,
        }


def _taught(work: Path, store: Store, labelled: list[int], name: str) -> tuple[Doubles, float]:
    """Return the logits [S, K] of a teacher of these labels, and its accuracy on the test split."""
    file = work / f"{name}.csv"
    rows = [LabelRow(store.shapes[i].name, str(store.shapes[i].label)) for i in labelled]
    write_labels(file, rows)
    config = TeachConfig(
        store.path, labels=file, name=name, label_smoothing=0.0, device="cpu", overwrite=True
    )
    teach(config)
    relabelled, test = Store(store.path, file), store.indices("test")
    logits = map_output(relabelled, name, "logits", np.arange(len(store.shapes)))[:]
    right = logits[test].argmax(axis=1) == relabelled.labels(test)
    remove(teacher_folder(store, name))
    return logits.astype(np.float64), float(right.mean())


def section(work: Path, title: str) -> Iterator[str]:
    """Yield the paragraphs of one data set."""
    store, results = Store(work / "store"), _results(work)
    yield f"## {title}"
    yield f"{describe_store(store)}; {len(store.classes)} classes."
    counts = {r["fraction"]: r["labels"] for r in results}
    heads = [f"{fraction:.0%} ({counts[fraction]} labels)" for fraction in counts]
    rows = [
        (
            strategy,
            *(_cell(_accuracies(results, strategy, fraction)) for fraction in counts),
            _against(results, strategy),
        )
        for strategy in sorted({str(r["strategy"]) for r in results})
    ]
    yield table(("strategy", *heads, f"against random, at {heads[-1]}"), rows)


def _results(work: Path) -> list[dict[str, object]]:
    file = work / "results.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _accuracies(results: list[dict[str, object]], strategy: str, fraction: object) -> Doubles:
    """Accuracies in percent, by seed."""
    found = {
        int(str(r["seed"])): 100 * float(str(r["accuracy"]))
        for r in results
        if r["strategy"] == strategy and r["fraction"] == fraction
    }
    return np.array([found[seed] for seed in sorted(found)])


def _cell(values: Doubles) -> str:
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{values.mean():.1f} ± {spread:.1f}"


def _against(results: list[dict[str, object]], strategy: str) -> str:
    """Return the mean difference over seeds to random choice, with a 95% t interval."""
    ours, theirs = (_accuracies(results, one, FRACTIONS[-1]) for one in (strategy, "random"))
    count = min(len(ours), len(theirs))
    if strategy == "random" or count < 2:
        return ""
    gains = ours[:count] - theirs[:count]
    half = float(t.ppf(0.975, count - 1)) * gains.std(ddof=1) / count**0.5
    return f"{gains.mean():+.1f} [{gains.mean() - half:+.1f}, {gains.mean() + half:+.1f}]"


def simulate(work: Path, strategies: list[str], seeds: int) -> None:
    """Make the rounds that are not done yet, seed by seed."""
    done = {(r["strategy"], r["seed"]) for r in _results(work)}
    for seed in range(seeds):
        for strategy in strategies:
            if (strategy, seed) not in done:
                lines = [json.dumps(result) for result in rounds(work, strategy, seed)]
                with (work / "results.jsonl").open("a") as file:
                    file.write("\n".join(lines) + "\n")


def main() -> None:
    """Do everything, from the shapes to the page."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=5, help="how many")
    options.add_argument("--points", type=int, default=2048, help="of the store")
    options.add_argument("--strategies", nargs="*", default=STRATEGIES.names())
    chosen = options.parse_args()
    work = chosen.work
    prepare(PrepareConfig(chosen.source, work / "store", points=chosen.points))
    simulate(work, chosen.strategies, chosen.seeds)
    head = (
        "# Which shapes to label",
        "Written by `python -m benchmarks.labelling ../shared/data/SET.zip WORK`. A teacher (frozen"
        " lite0) learns the labels of the shapes that a strategy proposed; test accuracy, percent,"
        " mean ± standard deviation over seeds.",
        machine(),
    )
    write(PAGE, [*head, *sections(PAGE, list(section(work, chosen.source.stem)))])


if __name__ == "__main__":
    main()
