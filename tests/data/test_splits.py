from collections import Counter

import pytest

from pointmcd.data.splits import assign_test, assign_validation, hold_out, split_notes

NAMES = [
    f"{label}/{i}"
    for label, count in (("a", 20), ("b", 10), ("c", 2), ("d", 1))
    for i in range(count)
]
LABELS = [name[0] for name in NAMES]


def test_every_class_gives_its_fraction_and_keeps_some():
    held = Counter(name[0] for name in hold_out(NAMES, LABELS, 0.2, 0))
    assert held == {"a": 4, "b": 2, "c": 1}


def test_choice_does_not_depend_on_the_order_or_on_other_classes():
    held = hold_out(NAMES, LABELS, 0.2, 0)
    assert hold_out(NAMES[::-1], LABELS[::-1], 0.2, 0) == held
    assert hold_out(NAMES[:20], LABELS[:20], 0.2, 0) == {name for name in held if name[0] == "a"}


def test_another_seed_is_another_choice():
    assert hold_out(NAMES, LABELS, 0.2, 0) != hold_out(NAMES, LABELS, 0.2, 1)


@pytest.mark.parametrize(("fraction", "count"), [(0, 0), (0.01, 3), (0.99, 29)])
def test_extreme_fractions(fraction, count):
    assert len(hold_out(NAMES, LABELS, fraction, 0)) == count


def test_labelled_shapes_without_splits_are_divided():
    splits = assign_test(NAMES, LABELS, [None] * len(NAMES), 0.2, 0)
    assert Counter(splits) == {"train": 26, "test": 7}


def test_given_splits_stay():
    given = ["test"] * 20 + ["train"] * 13
    assert assign_test(NAMES, LABELS, given, 0.2, 0) == given


def test_unlabelled_shapes_are_for_training():
    assert set(assign_test(NAMES, [None] * 33, [None] * 33, 0.2, 0)) == {"train"}


def test_validation_comes_out_of_training_only():
    given = assign_test(NAMES, LABELS, [None] * len(NAMES), 0.2, 0)
    splits = assign_validation(NAMES, LABELS, given, 0.25, 0)
    moved = {old for old, new in zip(given, splits, strict=True) if old != new}
    assert moved == {"train"}
    assert Counter(splits) == {"train": 20, "test": 7, "val": 6}
    assert splits[-1] == "train"  # the only shape of its class


def test_unlabelled_shapes_get_a_validation_split_too():
    splits = assign_validation(NAMES, [None] * 33, ["train"] * 33, 0.2, 0)
    assert Counter(splits) == {"train": 26, "val": 7}


def test_validation_of_the_data_set_stays():
    given = ["val"] + ["train"] * 32
    assert assign_validation(NAMES, LABELS, given, 0.2, 0) == given


def test_notes_name_empty_splits_and_classes_that_lack_one():
    notes = split_notes(["a", "a", "b"], ["train", "val", "train"])
    assert [note["note"] for note in notes] == [
        "no shape is in the test split",
        "class b: no shape for val",
    ]
    assert split_notes([None, None, None], ["train", "val", "test"]) == []


def test_shapes_without_a_label_are_not_held_out_beside_labelled_ones():
    names, labels = [f"s{i}" for i in range(20)], ["a"] * 10 + [None] * 10
    splits = assign_validation(names, labels, ["train"] * 20, 0.2, 0)
    assert splits[10:] == ["train"] * 10
    assert splits.count("val") == 2
    none = assign_validation(names, [None] * 20, ["train"] * 20, 0.2, 0)
    assert none.count("val") == 4
