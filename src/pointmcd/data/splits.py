"""Splits: shapes held out for validation, and for the test where a data set has none."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pointmcd.data.store import Store
from pointmcd.typing import Indices

#: Pairs of near-duplicates, and classes with many, that a note names.
_NAMED = 10
#: Share of a class above which a note says how much of it twins are.
_MUCH = 0.2
#: Points of a shape below which shapes that are merely similar are taken for twins: of furniture10
#: 3 pairs by 256 points, 2 by 512, none by 1,024 (docs/honest-numbers.md).
_SURE_POINTS = 1024


def hold_out(
    names: Sequence[str], labels: Sequence[str | None], fraction: float, seed: int
) -> set[str]:
    """Hold out a fraction (0 to 1) of every class, at least one shape of each that has two or more.

    Each class is ordered by a hash of seed and name, so the choice depends neither on the order
    of the shapes nor on the other classes. (scikit-learn's stratified splits refuse classes of
    one shape and fractions that give fewer shapes than there are classes.) Names are unique;
    unlabelled shapes count as a class; a class never loses all.
    """
    held: set[str] = set()
    for group in _ordered(names, labels, seed) if fraction else ():
        held.update(group[: min(max(round(len(group) * fraction), 1), len(group) - 1)])
    return held


def _ordered(names: Sequence[str], labels: Sequence[str | None], seed: int) -> Iterable[list[str]]:
    """Return the names of each class, in the order of a hash of seed and name."""
    members: dict[str | None, list[str]] = defaultdict(list)
    for name, label in zip(names, labels, strict=True):
        members[label].append(name)
    for group in members.values():
        group.sort(key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    return members.values()


def keep_share(
    names: Sequence[str], labels: Sequence[str | None], fraction: float, seed: int
) -> list[int]:
    """Return positions of a fraction (above 0) of every class, at least one shape of each.

    A larger fraction holds all that a smaller one does.
    """
    kept: set[str] = set()
    for group in _ordered(names, labels, seed):
        kept.update(group[: max(round(len(group) * fraction), 1)])
    return [i for i, name in enumerate(names) if name in kept]


def fold_members(
    names: Sequence[str], labels: Sequence[str | None], folds: int, seed: int
) -> list[list[int]]:
    """Return positions of the shapes of each fold: every class is spread over the folds.

    (scikit-learn's stratified folds refuse classes that are all smaller than the folds are many.)
    """
    places = {name: i for i, name in enumerate(names)}
    order = [places[name] for group in _ordered(names, labels, seed) for name in group]
    return [sorted(order[number::folds]) for number in range(folds)]


def labelled_train(store: Store, fraction: float = 1.0, seed: int = 0) -> Indices:
    """Return indices of the train shapes whose labels are known, or a fraction of every class.

    In a store with part labels, those of which a point has one.

    All train shapes are returned where none has a label. Teachers and students of one fraction and
    seed know the labels of the same shapes; where the validation split is in train, a fraction of
    it is known besides.
    """
    indices = store.indices("train")
    known = [i for i in indices if store.is_labelled(int(i))]
    indices = np.array(known, dtype=np.int64) if known else indices
    if fraction == 1:
        return indices
    records = [store.shapes[i] for i in indices]
    # The validation split is drawn from by itself: a teacher fitted without it knows no more.
    groups = [
        f"{record.label}/{index in store.from_validation}"
        for index, record in zip(indices, records, strict=True)
    ]
    return indices[keep_share([r.name for r in records], groups, fraction, seed)]


def held_back(store: Store, fraction: float = 1.0, seed: int = 0) -> Indices:
    """Return the train shapes whose class the store knows, but a run with these labels does not.

    Beside a label file, these are the ones that only the store's own labels name.
    """
    every, train = store.with_own_labels(), store.indices("train")
    unknown = np.setdiff1d(train, labelled_train(store, fraction, seed))
    return np.array([i for i in unknown if every.is_labelled(int(i))], dtype=np.int64)


def assign_test(
    names: Sequence[str],
    labels: Sequence[str | None],
    splits: Sequence[str | None],
    fraction: float,
    seed: int,
) -> list[str]:
    """Return a split for every shape: labelled ones without go to train and test, others to train.

    `fraction` of every class among the labelled ones without a split is for the test.
    """
    free = [i for i, split in enumerate(splits) if split is None and labels[i] is not None]
    # Not validation's seed, by which both would be drawn in the same order.
    held = hold_out([names[i] for i in free], [labels[i] for i in free], fraction, seed + 1)
    return [
        split or ("test" if name in held else "train")
        for name, split in zip(names, splits, strict=True)
    ]


def assign_validation(
    names: Sequence[str],
    labels: Sequence[str | None],
    splits: Sequence[str],
    fraction: float,
    seed: int,
) -> list[str]:
    """Move a fraction of every class from train to validation, unless there is such a split.

    Shapes without a label stay, unless none has one.
    """
    if "val" in splits:
        return list(splits)
    train = [i for i, split in enumerate(splits) if split == "train"]
    train = [i for i in train if labels[i] is not None] or train
    held = hold_out([names[i] for i in train], [labels[i] for i in train], fraction, seed)
    return ["val" if name in held else split for name, split in zip(names, splits, strict=True)]


def split_notes(labels: Sequence[str | None], splits: Sequence[str]) -> list[dict[str, str]]:
    """Note empty splits, and classes that a split lacks."""
    notes = [
        {"name": split, "note": f"no shape is in the {split} split"}
        for split in ("train", "val", "test")
        if split not in splits and any(labels)  # nobody tests or validates without labels
    ]
    pairs = set(zip(labels, splits, strict=True))
    there = [split for split in ("train", "val", "test") if split in splits]
    for label in sorted({label for label in labels if label is not None}):
        if lacks := [split for split in there if (label, split) not in pairs]:
            notes.append({"name": label, "note": f"class {label}: no shape for {', '.join(lacks)}"})
    return notes


def part_notes(
    parts: Mapping[str, Sequence[str]], shapes: Sequence[Mapping[str, Any]], splits: Sequence[str]
) -> list[dict[str, str]]:
    """Note the classes and parts that no training shape shows: a student cannot learn them.

    `parts` names those of each class, `shapes` are the records of shapes.json.
    """
    seen = {
        (shape["class"], part)
        for shape, split in zip(shapes, splits, strict=True)
        if split == "train"
        for part in shape["parts"]
    }
    taught = {label for label, _ in seen}
    return [
        {"name": label, "note": f"part {name} occurs in no training shape"}
        if label in taught
        else {"name": label, "note": "no training shape has a label of its parts"}
        for label in sorted({shape["class"] for shape in shapes})
        for number, name in enumerate(parts[label])
        if (label, number) not in seen and (label in taught or number == 0)
    ]


def twin_notes(
    twins: Sequence[Sequence[str]],
    dropped: bool,
    shapes: Sequence[Mapping[str, Any]],
    points: int = _SURE_POINTS,
) -> list[dict[str, str]]:
    """Note the near-duplicates of test shapes in train and val, the first of them by name.

    `twins` are pairs of names: of a shape in train or val, and of a test shape; `shapes` are those
    of the store, where the split of a shape that is left out is none; `points` is how many each
    has. Twins of different classes are noted separately.
    """
    if not twins:
        return []
    labels = {shape["name"]: shape["class"] for shape in shapes}
    own, test = (len(set(names)) for names in zip(*twins, strict=True))
    share = _share_of_twins({name for name, _ in twins}, shapes)
    pairs = [f"{name} of {original}" for name, original in twins[:_NAMED]]
    more = [f"{len(twins) - _NAMED} more pairs (twins in store.json)"] * (len(twins) > _NAMED)
    remedy = (
        f"they are left out: {share}"
        if dropped
        else f"results on the test split flatter; --twins drop leaves out {share}; keep is silent"
    )
    few = f" (told apart by {points} points; similar shapes may be among them)"
    note = (
        f"{own} in train or val are near-duplicates of {test} in test"
        f"{few * (points < _SURE_POINTS)}: {', '.join(pairs + more)}"
    )
    notes = [{"name": "twins", "note": f"{note}; {remedy}"}]
    known = [pair for pair in twins if None not in {labels[name] for name in pair}]
    if apart := [pair for pair in known if labels[pair[0]] != labels[pair[1]]]:
        (name, original), rest = apart[0], len(apart) - 1
        told = f"{name} is {labels[name]} and its twin {original} {labels[original]}"
        others = f" ({rest} more like this)" * (rest > 0)
        notes.append({"name": "twins", "note": f"{told}{others}; is one of the labels wrong?"})
    return notes


def _share_of_twins(twins: Collection[str], shapes: Sequence[Mapping[str, Any]]) -> str:
    """Tell of how many shapes of train and val these are, and of the classes that lose most."""
    used = [s for s in shapes if s["split"] in ("train", "val") or s["name"] in twins]
    every = Counter(shape["class"] for shape in used)
    lost = Counter(shape["class"] for shape in used if shape["name"] in twins)
    classes = [
        f"{count} of {every[label]} of {label}"
        for label, count in sorted(lost.items(), key=lambda item: -item[1] / every[item[0]])
        if label is not None and count > _MUCH * every[label]
    ]
    more = [f"much of {len(classes) - _NAMED} more classes"] * (len(classes) > _NAMED)
    whole = f"{len(twins)} of {len(used)} shapes of train and val"
    return ", ".join([whole, *classes[:_NAMED], *more])
