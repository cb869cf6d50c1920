"""`train --log-to`, with a tracker that stands for TensorBoard, which tests do without."""

import json

import pytest
from accelerate import tracking
from accelerate.tracking import GeneralTracker
from accelerate.utils import LoggerType

from pointmcd.errors import ConfigError
from pointmcd.training import trackers as module
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


class Notebook(GeneralTracker):
    """Writes down what it is told."""

    name = "tensorboard"
    requires_logging_directory = True
    said = None

    def __init__(self, run_name, logging_dir, **options):
        super().__init__()
        type(self).said = self
        self.place, self.rows, self.finished = logging_dir / run_name, [], False

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        self.settings = values

    def log(self, values, step, **options):
        self.rows.append((step, values))

    def finish(self):
        self.finished = True


def test_the_numbers_of_every_epoch_are_logged(make, monkeypatch):
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", Notebook)
    for place in (tracking, module):
        monkeypatch.setattr(place, "get_available_trackers", lambda: [LoggerType.TENSORBOARD])
    run = train(make("a", epochs=2, log_to=("tensorboard",)))
    book = Notebook.said
    assert book.place == run / "pointmcd"
    assert book.settings["epochs"] == 2
    assert all(isinstance(value, bool | int | float | str) for value in book.settings.values())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [step for step, _ in book.rows] == [1, 2]
    for (_, said), kept in zip(book.rows, lines, strict=True):
        assert said == {key: v for key, v in kept.items() if v is not None and key != "epoch"}
    assert book.finished


@pytest.mark.parametrize(
    ("name", "text"),
    [("papyrus", "unknown; use one of .*tensorboard"), ("aim", "not installed; pip install aim")],
)
def test_a_tracker_that_is_not_there_is_refused_first(make, name, text):
    with pytest.raises(ConfigError, match=f"--log-to {name}: (is )?{text}"):
        train(make("a", log_to=(name,)))


def test_where_to_log_does_not_decide_the_result(make):
    assert "log_to" not in make("a", log_to=("wandb",)).decisive()
