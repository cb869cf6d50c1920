import numpy as np
import pytest

from pointmcd.data.store import Store
from pointmcd.errors import StoreError
from pointmcd.training.config import TrainConfig
from pointmcd.training.inputs import find_teacher, map_outputs


@pytest.mark.parametrize(("target", "size"), [("descriptors", 512), ("features", 1280)])
def test_outputs_of_a_run(taught_store, target, size):
    store = Store(taught_store)
    train = store.indices("train")
    config = TrainConfig(taught_store, objective=(f"vafp,target={target}", "vafp"))
    outputs = map_outputs(config, store, find_teacher(config, store), train)
    assert set(outputs) == {target, "descriptors"}
    mapped = outputs[target]
    assert mapped.shape == (9, 3, size)
    plain = mapped[np.arange(9)]
    assert (plain.shape, plain.dtype) == (mapped.shape, np.float32)
    assert plain.min() >= 0
    assert np.array_equal(mapped[np.array([4, 0])], plain[[4, 0]])
    assert mapped[np.arange(0)].shape == (0, 3, size)


def test_a_baseline_has_no_teacher(taught_store):
    assert find_teacher(TrainConfig(taught_store, teacher=None), Store(taught_store)) is None


def test_an_absent_teacher(taught_store):
    with pytest.raises(StoreError, match="no teacher big"):
        find_teacher(TrainConfig(taught_store, teacher="big"), Store(taught_store))
