"""Sections on classification: all mistakes, and confidence beside accuracy."""

import json
import re

import numpy as np
import pytest

from pointmcd.evaluation.results import read_result
from pointmcd.plots.reliability import reliability_figure
from pointmcd.report.page import write_report


def write(runs, tmp_path, baseline=()):
    return write_report(runs, tmp_path / "page.html", baseline).read_text(encoding="utf-8")


def test_every_mistake_of_every_variant_is_listed(bench, tmp_path):
    truth = np.array(bench.labels)
    one, two = truth.copy(), truth.copy()
    one[0], two[0], two[1] = (truth[0] + 1) % 3, (truth[0] + 2) % 3, (truth[1] + 1) % 3
    runs = [bench.run("distilled", seed, predictions=p) for seed, p in enumerate((one, two))]
    text = write(runs, tmp_path, [bench.run("baseline", predictions=truth)])
    rows = re.findall(
        r'<td data-name="shape">(.*?)</td><td data-name="class">(.*?)</td>'
        r'<td data-name="predicted as">(.*?)</td>',
        text,
    )
    count, names, classes = len(truth), bench.names, bench.classes
    assert f"baseline: 0 of {count} shapes" in text
    assert f"distilled: 2 of {count} shapes" in text
    assert [row[:2] for row in rows] == [(names[i], classes[truth[i]]) for i in (0, 1)]
    assert rows[0][2] == f"{classes[one[0]]} 1, {classes[two[0]]} 1"  # the seeds differ
    assert rows[1][2] == f"{classes[truth[1]]} 1, {classes[two[1]]} 1"


def test_confidences_are_those_of_predict(bench, tmp_path):
    run = bench.run("distilled", accuracy=0.7)
    plain = write([run], tmp_path)
    assert "not calibrated" in plain
    (run / "calibration.json").write_text(json.dumps({"last": {"temperature": 2.5}}))
    assert read_result(run).temperature == 2.5
    text = write([run], tmp_path)
    assert "calibrated on shapes that training held out" in text
    assert "logits divided by 2.50" in text
    assert "divided" not in plain
    sure = [int(re.findall(r"distilled: (\d+)% sure", page)[0]) for page in (plain, text)]
    assert sure[1] < sure[0]
    for kind in ("last", "best"):  # as of folds, which have no best
        (run / f"predictions-test-{kind}.npz").rename(run / f"predictions-folds-{kind}.npz")
    said = np.load(run / "predictions-folds-last.npz")
    np.savez(run / "predictions-folds-last.npz", **said, folds=np.array(4))
    assert "calibrated on these very shapes, which the folds held out" in write([run], tmp_path)


@pytest.mark.parametrize("count", [1, 5, 11, 12, 1000])
def test_bins_hold_all_shapes(count):
    generator = np.random.default_rng(count)
    confidence, right = generator.random(count), generator.random(count) < 0.5
    axes = reliability_figure({"one": (confidence, right)}, {"one": "#000000"}).axes[0]
    x, y = axes.lines[1].get_data()
    assert 1 <= len(x) <= 10
    assert (np.diff(x) > 0).all()
    assert 100 * right.mean() == pytest.approx(np.mean(y), abs=100 / max(count / 10, 1))
    if count == 1000:
        order = np.argsort(confidence)[:100]
        assert (x[0], y[0]) == pytest.approx(
            (100 * confidence[order].mean(), 100 * right[order].mean())
        )


def test_no_folder_of_this_machine_is_told(bench, tmp_path):
    bench.store = str(tmp_path / "a folder" / "store")
    config = {"init": str(tmp_path / "other" / "pretrained")}
    text = write([bench.run("distilled", config=config), bench.run("baseline")], tmp_path)
    pictures = re.compile(r"data:image/[^\"]*")
    shown = pictures.sub("", text)
    assert "The store cannot be read: store: " in shown
    assert str(tmp_path) not in shown
    assert "pretrained" in shown


def test_settings_that_differ_come_first_the_others_are_folded(bench, tmp_path):
    text = write([bench.run("distilled"), bench.run("baseline")], tmp_path)
    differ, same = text.index("Settings that differ"), text.index("the same in all variants")
    assert differ < text.index('<td data-name="setting">teacher</td>') < same
    assert text.index('<td data-name="setting">epochs</td>') > same


def test_curves_come_before_views(bench, tmp_path):
    text = write([bench.run("distilled"), bench.run("baseline")], tmp_path)
    assert text.index('id="curves"') < text.index('id="views"')
