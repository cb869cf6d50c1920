import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import PartsBench
from test_page import write

from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.metrics.part_iou import shape_ious
from pointmcd.report.content import main_variant

RANGES = {0: (0, 2), 1: (2, 5)}


def spoilt(bench: PartsBench, shares: list[float]) -> np.ndarray:
    """The truth with this share of each shape's points given the next part of its class."""
    start, size = bench._starts_and_sizes()
    wrong = np.arange(bench.truth.shape[1]) < np.array(shares)[:, None] * bench.truth.shape[1]
    return np.where(wrong, start + (bench.truth - start + 1) % size, bench.truth)


def sections(ours: list[Path], theirs: list[Path], store: Store | str = "not here") -> dict:
    found = compare(ours, theirs)
    shown = [*filter(None, [found.baseline]), found.variants[main_variant(found)]]
    (section,) = found.task.sections(shown, found.all_variants, store)
    return section.values["truth"]


def names(kind) -> list[str]:
    return [shape.name for shape in kind.shapes]


def test_page_of_parts_has_its_sections_and_words(parts_bench, tmp_path):
    runs = parts_bench.variant("distilled", 0.9, (0, 1))
    base = parts_bench.variant("baseline", 0.6, (0, 1))
    text, page = write(runs, tmp_path / "page.html", base)
    assert {"results", "views", "curves", "gains", "truth", "settings"} <= page.ids
    assert not {"confusion", "mistakes"} & page.ids
    assert 'href="#confusion"' not in text
    words = re.sub(r"<[^>]*>", " ", text)
    for said in (
        "instance mIoU",
        "class mIoU",
        "The mIoU of each class",
        "chair (legs, seat, back)",
    ):
        assert said in words
    assert "distilled is better than baseline" in words
    assert "ccuracy" not in words
    assert "shapes correct" not in words
    assert all(str(image["src"]).startswith("data:image/") for image in page.images)
    assert all(image["alt"] for image in page.images)
    assert not re.findall(r"(?:src|href|url)\W{1,3}https?:", text)


def test_contact_sheets_work_on_a_store_with_parts(parts_bench, tmp_path):
    _, page = write([parts_bench.run("distilled")], tmp_path / "page.html")
    views = [image for image in page.images if "points seen" in str(image["alt"])]
    assert len(views) == 2 * 3  # one shape per class, three cameras


def test_shapes_of_the_largest_difference_are_shown_both_ways(parts_bench):
    ours = parts_bench.run(
        "distilled", predictions=spoilt(parts_bench, [0.9, 0.8, 0.1, 0, 0, 0, 0, 0])
    )
    theirs = parts_bench.run(predictions=spoilt(parts_bench, [0, 0, 0, 0, 0.3, 0, 0.5, 0.2]))
    found = sections([ours], [theirs])
    better, worse, _ = found["kinds"]
    order = parts_bench.names
    assert better.title == "Better with distilled: 3"
    assert set(names(better)) == {order[4], order[6], order[7]}
    assert worse.title == "Worse with distilled: 3"
    assert names(worse)[-1] == order[2]
    back = sections([theirs], [ours])["kinds"]
    assert [names(kind) for kind in back[:2]] == [names(worse), names(better)]


def test_number_is_the_shapes_miou_over_seeds_and_the_nearest_seed_is_drawn(parts_bench):
    shares = {0: 0.9, 1: 0.1, 5: 0.3}
    guesses = {seed: spoilt(parts_bench, [share] * 8) for seed, share in shares.items()}
    ours = [parts_bench.run("distilled", seed, predictions=g) for seed, g in guesses.items()]
    theirs = [parts_bench.run("baseline", predictions=parts_bench.truth)]
    shape = sections(ours, theirs)["kinds"][1].shapes[0]
    row = list(parts_bench.names).index(shape.name)
    truth, parts = parts_bench.truth[[row]], [RANGES[parts_bench.labels[row]]]
    by_seed = {s: 100 * shape_ious(truth, g[[row]], [0], parts).item() for s, g in guesses.items()}
    mean = np.mean(list(by_seed.values()))
    seed = min(by_seed, key=lambda s: abs(by_seed[s] - mean))
    wanted = f"distilled: {mean:.1f} (seed {seed}: {by_seed[seed]:.1f})"
    assert [side.caption for side in shape.sides] == ["truth", "baseline: 100.0", wanted]
    assert all(side.picture is None for side in shape.sides)
    assert not shape.pictured


def test_pictures_show_what_was_predicted(parts_bench, parts_store):
    ours = parts_bench.run("distilled", predictions=parts_bench.truth)
    theirs = parts_bench.run(predictions=spoilt(parts_bench, [0.4] * 8))
    shape = sections([ours], [theirs], Store(parts_store))["kinds"][0].shapes[0]
    truth, baseline, distilled = (side.picture for side in shape.sides)
    assert truth == distilled  # labelled without a fault
    assert truth != baseline
    assert [name for name, _ in shape.legend] == parts_bench.parts[shape.label]
    assert len({colour for _, colour in shape.legend}) == len(shape.legend)


def test_equal_variants_have_no_clearest_shapes(parts_bench, tmp_path):
    guess = parts_bench.predictions(0.7, 0)
    runs = [parts_bench.run(variant, predictions=guess) for variant in ("distilled", "baseline")]
    text, _ = write(runs, tmp_path / "page.html")
    assert "Better with distilled: 0" in text
    assert text.count('<p class="soft">None.</p>') == 2


def test_without_baseline_shapes_are_evenly_spread(parts_bench, tmp_path):
    shares = [0.1, 0.5, 0.2, 0.0, 0.7, 0.3, 0.9, 0.4]
    run = parts_bench.run("distilled", predictions=spoilt(parts_bench, shares))
    (kind,) = sections([run], [])["kinds"]
    scores = [float(shape.sides[1].caption.split(": ")[1]) for shape in kind.shapes]
    assert scores == sorted(scores)
    assert scores[-1] == 100
    assert len(set(names(kind))) == 6
    text, _ = write([run], tmp_path / "page.html")
    assert re.search(r"<h1>distilled: [\d.]+ % instance mIoU</h1>", text)


def test_one_shape_with_unlabelled_points(parts_bench, parts_store):
    for name in ("names", "labels", "truth"):
        setattr(parts_bench, name, getattr(parts_bench, name)[:1])
    parts_bench.truth[0, ::2] = -1
    run = parts_bench.run("distilled")
    (kind,) = sections([run], [], Store(parts_store))["kinds"]
    (shape,) = kind.shapes
    assert shape.pictured


def test_store_that_is_gone_is_told(parts_bench, tmp_path):
    parts_bench.store = str(tmp_path / "gone")
    text, page = write([parts_bench.run("distilled")], tmp_path / "page.html")
    assert "truth" in page.ids
    assert "No images to show. The store cannot be read" in text
    assert "distilled: " in text


def test_damaged_points_cost_the_pictures_alone(parts_bench, tmp_path):
    copy = Path(shutil.copytree(parts_bench.store, tmp_path / "copy"))
    for file in copy.glob("shards/*/points.npy"):
        file.write_bytes(b"cut")
    parts_bench.store = str(copy)
    text, page = write([parts_bench.run("distilled")], tmp_path / "page.html")
    assert "No images to show. The store cannot be read: copy/shards/" in text
    assert "points.npy" in text
    assert str(tmp_path) not in text
    assert "truth" in page.ids


def test_names_of_parts_are_escaped(parts_bench, tmp_path):
    parts_bench.info["parts"] = {"bed": ["<b>low", "a & b"], "chair": ["x", "y", "$z$"]}
    text, _ = write([parts_bench.run("distilled")], tmp_path / "page.html")
    assert "&lt;b&gt;low" in text
    assert "<b>low" not in text


@pytest.mark.parametrize("best", [True, False])
def test_same_page_twice(parts_bench, tmp_path, best):
    run = parts_bench.run("distilled")
    if not best:
        (run / "predictions-test-best.npz").unlink()
    first, _ = write([run], tmp_path / "page.html")
    assert write([run], tmp_path / "page.html")[0] == first
