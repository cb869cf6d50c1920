"""The temperature that a run keeps, and the confidence that predict tells."""

import numpy as np
import pytest
import torch

from pointmcd.data.store import Store
from pointmcd.files import read_json, write_json
from pointmcd.inference.predict import predict
from pointmcd.metrics.calibration import fit_temperature
from pointmcd.training import calibration
from pointmcd.training.calibration import (
    calibrate,
    held_out,
    is_calibrated,
    tell_uncalibrated,
    temperature_of,
)
from pointmcd.training.folds import cross_validate
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_run_is_calibrated_on_its_validation_split(make, taught_store, monkeypatch):
    monkeypatch.setattr(calibration, "LEAST_SHAPES", 3)
    run = Run(train(make("a")))
    found = read_json(run.path / "calibration.json")
    assert set(found) == {"last", "best"}
    said = held_out(run, Store(taught_store), "best")
    assert found["best"]["shapes"] == len(said["labels"]) == 3
    wanted = fit_temperature(said["probabilities"], said["labels"])
    assert temperature_of(run, "best") == pytest.approx(wanted)


def test_few_shapes_and_pretraining_have_no_temperature(make, taught_store):
    run = Run(train(make("a")))
    assert not (run.path / "calibration.json").exists()
    assert temperature_of(run, "last") == 1.0


def test_confidences_are_softened_and_classes_stay(make, furniture_root, monkeypatch):
    run = Run(train(make("a")))
    mesh = next((furniture_root / "bed" / "test").glob("*.off"))
    (before,) = predict(run.path, [mesh], device="cpu")
    write_json(run.path / "calibration.json", {"last": {"temperature": 2.0}})
    (after,) = predict(run.path, [mesh], device="cpu")
    assert after.label == before.label
    powers = np.array([share**0.5 for _, share in before.ranking])
    wanted = powers / powers.sum()
    np.testing.assert_allclose([share for _, share in after.ranking], wanted, rtol=1e-4)
    (best,) = predict(run.path, [mesh], device="cpu", checkpoint="best")
    assert best.confidence == pytest.approx(before.confidence, abs=0.5)


def test_folds_calibrate_the_run_that_has_no_validation_split(
    make, taught_store, tmp_path, monkeypatch
):
    monkeypatch.setattr(calibration, "LEAST_SHAPES", 6)
    file, store = tmp_path / "labels.csv", Store(taught_store)
    shapes = [s for s in store.shapes if s.split == "train"]
    file.write_text("".join(f"{s.name},{s.label}\n" for s in shapes))
    config = make("a", labels=file)
    cross_validate(config, 3)
    folds = read_json(config.folder.with_name("a-folds") / "folds.json")
    run = Run(train(config))
    assert folds["calibration"]["shapes"] == 9
    assert temperature_of(run, "last") == folds["calibration"]["temperature"]
    parts = []
    for number in "123":
        fold = Run(config.folder.with_name("a-folds") / number)
        parts.append(held_out(fold, fold.open_store(), "last"))
    said, labels = (np.concatenate([p[k] for p in parts]) for k in ("probabilities", "labels"))
    assert folds["calibration"]["temperature"] == pytest.approx(fit_temperature(said, labels))
    assert folds["correct"] == (said.argmax(axis=1) == labels).sum()


def test_folds_stand_for_a_small_validation_split(make, taught_store, monkeypatch):
    monkeypatch.setattr(calibration, "LEAST_SHAPES", 9)
    assert 0 < len(Store(taught_store).indices("val")) < 9
    cross_validate(make("a"), 3)
    folds = read_json(make("a").folder.with_name("a-folds") / "folds.json")
    assert folds["calibration"]["shapes"] >= 9
    assert temperature_of(Run(train(make("a"))), "last") == folds["calibration"]["temperature"]


def test_folds_of_other_labels_do_not_calibrate(make, taught_store, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "LEAST_SHAPES", 6)
    shapes = [s for s in Store(taught_store).shapes if s.split == "train"]
    files = tmp_path / "all.csv", tmp_path / "fewer.csv"
    for count, file in zip((9, 8), files, strict=True):
        file.write_text("".join(f"{s.name},{s.label}\n" for s in shapes[:count]))
    cross_validate(make("a", labels=files[0]), 3)
    other = Run(train(make("a", labels=files[1])))  # of the same name
    assert not (other.path / "calibration.json").exists()
    assert temperature_of(other, "last") == 1.0


def test_calibration_comes_before_the_end(make, monkeypatch):
    """A run that is killed while it is calibrated is calibrated when it goes on."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pointmcd.training.train.calibrate", killed)
        with pytest.raises(KeyboardInterrupt):
            train(make("a"))
    monkeypatch.setattr(calibration, "LEAST_SHAPES", 3)
    run = Run(train(make("a")))
    assert run.finished
    assert (run.path / "calibration.json").exists()
    calibrate(run, run.open_store())
    assert torch.isfinite(torch.tensor(temperature_of(run, "last")))


def test_it_is_told_how_many_shapes_were_held_out(make, monkeypatch):
    run = Run(train(make("a")))  # 9 train and 3 validation shapes
    told = "confidences are not calibrated: 3 shapes were held out, 20 are needed to calibrate; "
    assert tell_uncalibrated(run) == f"{told}label more shapes"  # folds would not do
    monkeypatch.setattr(calibration, "LEAST_SHAPES", 10)
    assert "10 are needed to calibrate; train with --folds" in tell_uncalibrated(run)
    cross_validate(make("a"), 3)
    monkeypatch.setattr(calibration, "LEAST_SHAPES", 20)
    assert tell_uncalibrated(run) == f"{told.replace('3 shapes', '12 shapes')}label more shapes"
    write_json(run.path / "calibration.json", {"last": {"temperature": 1.0}})
    assert tell_uncalibrated(run) is None


def test_folds_calibrate_a_run_that_was_finished_before(make, monkeypatch):
    monkeypatch.setattr(calibration, "LEAST_SHAPES", 9)
    run = Run(train(make("a")))
    assert not is_calibrated(run, "last")
    cross_validate(make("a"), 3)
    train(make("a"))
    assert is_calibrated(run, "last")
    assert tell_uncalibrated(run) is None


def test_tasks_without_probabilities_need_none(trained_parts_run):
    assert tell_uncalibrated(Run(trained_parts_run)) is None
