from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import yaml

from pointmcd.errors import ConfigError
from pointmcd.training.config import LATER_FIELDS, TrainConfig, config_from_dict

STORE = Path("/data/store")


@pytest.mark.parametrize(
    ("options", "arm"),
    [
        ({}, "distilled"),
        ({"teacher": None}, "baseline"),
        ({"teacher": None, "visibility": "all", "pairing": "wrong"}, "baseline"),
        ({"visibility": "all"}, "distilled-all-visible"),
        ({"pairing": "wrong"}, "distilled-wrong-view"),
        ({"pairing": "shuffled"}, "distilled-shuffled-teacher"),
        ({"teacher": "random-lite0"}, "distilled-random-teacher"),
        ({"teacher": "lite0-finetuned"}, "distilled"),
    ],
)
def test_arms_and_folders(options, arm):
    config = TrainConfig(STORE, seed=3, **options)
    assert config.arm == arm
    assert config.folder == Path("runs") / f"store-pointnet-{arm}-s3"
    assert replace(config, out=Path("x")).folder == Path("x")


def test_the_folder_of_ones_own_student_has_no_colon():
    assert TrainConfig(STORE, student="a.b:C").folder.name == "store-a.b-C-distilled-s0"


def test_the_folder_is_called_after_the_store_itself(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert TrainConfig(Path()).folder.name.startswith(tmp_path.name + "-pointnet")


AT_LEAST = {
    **dict.fromkeys(("points", "scale"), 1),
    **dict.fromkeys(("epochs", "batch_size"), 0),
    **dict.fromkeys(("warmup_epochs", "workers"), 0),
    **dict.fromkeys(("lr", "final_lr", "weight_decay", "shift"), 0),
    **dict.fromkeys(("task_weight", "regulariser_weight"), 0),
}


@pytest.mark.parametrize("field", AT_LEAST)
@pytest.mark.parametrize("bad", ["below", "nan"])
def test_numbers_below_the_least(field, bad):
    least = AT_LEAST[field]
    TrainConfig(STORE, **{field: least}).check()
    value = least - 1 if bad == "below" else float("nan")
    with pytest.raises(ConfigError) as caught:
        TrainConfig(STORE, **{field: value}).check()
    assert str(caught.value) == f"--{field.replace('_', '-')} {value}: must be at least {least}"


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        *(("seed", seed, "must be from 0 to 4294967295") for seed in (-1, 2**32, float("nan"))),
        ("batch_size", 1, "must be at least 2, or 0; batch norm needs two shapes"),
        ("label_smoothing", 1.0, "must be at least 0 and below 1"),
        ("label_smoothing", -0.1, "must be at least 0 and below 1"),
        ("distill_share", 0.0, "must be between 0 and 1"),
        ("distill_share", 1.0, "must be between 0 and 1"),
        ("optimizer", "adam", "use one of sgd, adamw"),
        ("distill_course", "last", "use one of constant, decay, first"),
        ("visibility", "none", "use one of exact, all"),
        ("pairing", "right", "use one of true, wrong, shuffled"),
        ("precision", "fp8", "use one of no, bf16, fp16"),
    ],
)
def test_other_values_that_cannot_be_meant(field, value, rule):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(STORE, **{field: value}).check()
    assert str(caught.value) == f"--{field.replace('_', '-')} {value}: {rule}"


def test_the_defaults_can_be_used():
    TrainConfig(STORE).check()


def test_what_decides_the_result_and_what_does_not():
    plain = TrainConfig(STORE)
    elsewhere = TrainConfig(Path("x"), Path("y"), device="cpu", workers=3, overwrite=True)
    assert elsewhere.decisive() == plain.decisive()
    left_out = {f.name for f in fields(TrainConfig)} - plain.decisive().keys()
    unsaid = {*LATER_FIELDS, "unlabelled", "features"}  # at what was done before there was a choice
    assert (
        left_out
        == {"store", "out", "init", "labels", "device", "workers", "overwrite"}
        | {"keep_checkpoints", "log_to"}
        | unsaid
    )
    assert TrainConfig(STORE, resample=True).decisive() != plain.decisive()
    assert TrainConfig(STORE, variants=False).decisive() != plain.decisive()


@pytest.mark.parametrize("out", [None, Path("runs/x")])
def test_a_config_comes_back_from_yaml(out):
    config = TrainConfig(STORE, out, teacher=None, lr=3e-4, distill_course="first", resample=True)
    values = asdict(config) | {"store": str(STORE), "out": None if out is None else str(out)}
    assert config_from_dict(yaml.safe_load(yaml.safe_dump(values))) == config


def test_a_field_of_another_version_is_named():
    with pytest.raises(ConfigError, match="config field colour: unknown to this version"):
        config_from_dict({"store": "x", "colour": 1, "zeal": 2})


def test_fields_that_are_absent_have_their_defaults():
    assert config_from_dict({"store": str(STORE), "epochs": 3}) == TrainConfig(STORE, epochs=3)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "store: missing"),
        ({"store": "s", "points": "many"}, "points: 'many' is not int"),
        ({"store": "s", "lr": None}, "lr: None is not float"),
        ({"store": "s", "ema_decay": "most"}, "ema_decay: 'most' is not float | None"),
        ({"store": "s", "colour": 1}, "colour: unknown"),
    ],
)
def test_a_damaged_config_names_the_field(values, text):
    with pytest.raises(ConfigError, match=text):
        config_from_dict(values)


@pytest.mark.parametrize("task", ["classification", "segmentation", "pretrain"])
@pytest.mark.parametrize("teacher", ["lite0", None])
def test_where_a_run_is_made_decides_nothing(task, teacher):
    here = TrainConfig(STORE, task=task, teacher=teacher)
    there = replace(here, store=Path("x"), out=Path("y"), device="cpu", workers=3, overwrite=True)
    assert there.decisive() == here.decisive()
    assert {"seed", "epochs", "student", "task", "teacher"} <= here.decisive().keys()


@pytest.mark.parametrize(
    ("shapes", "size", "epochs"),
    [
        (1, 8, 1000),
        (60, 8, 143),
        (160, 16, 100),
        (319, 16, 53),
        (320, 32, 100),
        (561, 32, 59),
        (9843, 32, 40),
    ],
)
def test_small_sets_get_small_batches_and_many_epochs(shapes, size, epochs):
    config = TrainConfig(STORE).for_shapes(shapes)
    assert (config.batch_size, config.epochs) == (size, epochs)


def test_epochs_and_batches_that_are_given_stay():
    config = TrainConfig(STORE, epochs=3, batch_size=5)
    assert config.for_shapes(1000) == config
    assert TrainConfig(STORE, batch_size=100).for_shapes(1000).epochs == 100


def test_labels_that_are_not_read_decide_nothing():
    plain = TrainConfig(STORE, task="pretrain")
    assert replace(plain, task_weight=0.5, label_smoothing=0.1).decisive() == plain.decisive()
    for change in ({"lr": 0.5}, {"objective": ("vafp:1",)}, {"visibility": "all"}):
        assert replace(plain, **change).decisive() != plain.decisive()


def test_a_baseline_is_not_told_apart_by_what_it_does_not_read():
    one = TrainConfig(Path("s"), teacher=None, objective=("vafp:1",), pairing="wrong")
    two = TrainConfig(Path("s"), teacher=None)
    assert one.decisive() == two.decisive()
    assert replace(one, teacher="lite0").decisive() != replace(two, teacher="lite0").decisive()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("teacher", 5),
        ("labels", 3),
        ("init", [1]),
        ("features", 5),
        ("objective", [3]),
        ("objective", "vafp:3"),
        ("unlabelled", {"a": 1}),
    ],
)
def test_a_field_of_another_type_is_named(name, value):
    with pytest.raises(ConfigError, match=f"^config field {name}: .* is no"):
        config_from_dict({"store": "s", name: value})
