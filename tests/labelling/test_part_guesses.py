"""What a run says of clusters, beside the plain sum over their points."""

import json
import re

import numpy as np
import pytest
import torch
from part_files import part_file
from store_copies import copy_store, edit_json

from pointmcd.data.clusters import shape_clusters
from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.inference.export import export_run
from pointmcd.labelling.part_guesses import PartGuesser
from pointmcd.labelling.parts_page import parts_page
from pointmcd.training.config import TrainConfig
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.train import train


@pytest.fixture
def own_store(parts_store, tmp_path):
    return copy_store(parts_store, tmp_path / "store")


@pytest.fixture
def guesser(trained_parts_run, parts_store):
    return PartGuesser(trained_parts_run, Store(parts_store), "cpu")


def test_each_cluster_has_the_likeliest_part_of_its_points(guesser, parts_store, trained_parts_run):
    store, run = Store(parts_store), Run(trained_parts_run)
    model = load_model(run, "last", torch.device("cpu"))
    indices = list(range(len(store.shapes)))
    for index, found in zip(indices, guesser.probabilities(indices), strict=True):
        label = store.labels(np.array([index]))
        points = torch.from_numpy(store.points(np.array([index]), run.config.points))
        with torch.inference_mode():
            logits = model(points, torch.from_numpy(label))[0]
        first, stop = run.labels.part_ranges[label[0]]
        wanted = logits[:, first:stop].double().softmax(dim=1).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        clusters, _ = shape_clusters(store, index, 6)
        names = store.parts[str(store.shapes[index].label)]
        for number, guess in enumerate(guesser.guess(index, found, clusters, 6)):
            mean = wanted[clusters[: len(wanted)] == number].mean(axis=0)
            assert guess.part == names[mean.argmax()]
            assert guess.sure in (int(100 * mean.max() - 1e-4), int(100 * mean.max() + 1e-4))


def test_a_cluster_without_a_point_that_the_student_sees_has_no_guess(guesser):
    (found,) = guesser.probabilities([0])
    clusters = np.zeros(200, dtype=np.int16)
    clusters[-1] = 1
    guesses = guesser.guess(0, found, clusters, 2)
    assert guesses[0] is not None
    assert guesses[1] is None
    assert guesser.guess(0, found[:, :0], clusters, 2) == [None, None]


def test_the_page_has_them(trained_parts_run, own_store):
    page = parts_page(own_store, count=2, clusters=6, device="cpu", run=trained_parts_run)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.html(), re.DOTALL)[1])
    assert len(data["guesses"]) == 2
    for kind, guesses in zip(data["of"], data["guesses"], strict=True):
        assert len(guesses) == 6
        assert {part for part, _ in guesses} <= set(data["parts"][kind])
        assert all(0 <= sure <= 100 for _, sure in guesses)
    assert 'id="confirm"' in page.html()
    bare = parts_page(own_store, count=2, clusters=6, device="cpu")
    assert bare.data()["guesses"] is None
    assert 'id="confirm"' not in bare.html()


def test_a_run_of_a_part_file_begins_with_its_parts(hard_store, tmp_path):
    """The way round: click, train, click again. The store has no classes and no parts."""
    file = part_file(tmp_path / "parts.csv", hard_store, names=["top", "foot"])
    options = {"teacher": None, "labels": file, "epochs": 1, "points": 64, "batch_size": 2}
    run = train(TrainConfig(hard_store, tmp_path / "run", "segmentation", **options, device="cpu"))
    page = parts_page(hard_store, count=2, clusters=6, device="cpu", run=run)
    assert len(page.shapes) == 2 + 3
    assert {row.part for row in page.labels.values()} == {"top", "foot"}
    assert len(page.guesses) == 5
    for guesses in page.guesses:
        assert {guess.part for guess in guesses} <= {"top", "foot"}
    # The same of other shapes without a class, which are taken to be of the only one it knows.
    edit_json(run / "run.json", lambda meta: meta.update(own_fingerprint="of another store"))
    guesser = PartGuesser(run, Store(hard_store), "cpu")
    assert guesser.label_file is None
    assert [found.shape for found in guesser.probabilities([0, 17])] == [(64, 2)] * 2


def test_exported_weights_guess_as_their_run_does(trained_parts_run, parts_store, tmp_path):
    weights = export_run(trained_parts_run, "safetensors", tmp_path / "weights")
    store = Store(parts_store)
    of_run, of_weights = (
        [*PartGuesser(model, store, "cpu").probabilities([0, 9])]
        for model in (trained_parts_run, weights)
    )
    for ours, theirs in zip(of_weights, of_run, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_cannot_guess(trained_run, trained_parts_run, parts_store, hard_store, cli):
    with pytest.raises(RunError, match="names no parts; give a run of segmentation"):
        parts_page(parts_store, device="cpu", run=trained_run)
    with pytest.raises(RunError, match=r"knows the parts of bed, chair; no shape of .* is such"):
        parts_page(hard_store, device="cpu", run=trained_parts_run)
    status, _, error = cli("label", parts_store, "--run", trained_parts_run)
    assert status == 1
    assert "give a run of classification, or for parts pointmcd label --parts" in error
