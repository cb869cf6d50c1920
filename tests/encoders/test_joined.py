"""Several image encoders joined by `+`."""

import pytest
import torch

from pointmcd.encoders.image_encoder import ImageEncoder, weights_licence
from pointmcd.errors import ConfigError

OWN, MEANS = "module:own_encoders:Own", "module:own_encoders:Means"
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 40, 40), generator=generator, dtype=torch.uint8)


def test_features_of_each_with_its_own_size_and_normalisation(views):
    alone = [ImageEncoder(name, seed=3).eval() for name in (OWN, MEANS, "random:lite0")]
    joined = ImageEncoder(f"{OWN}+{MEANS}+random:lite0", seed=3).eval()
    assert joined.num_features == 6 + 3 + 1280
    assert [member.name for member in joined.members] == [OWN, MEANS, "random:lite0"]
    assert alone[0].members == [alone[0]]
    with torch.inference_mode():
        wanted = torch.cat([encoder(views) for encoder in alone], dim=1)
        assert torch.allclose(joined(views), wanted, atol=1e-4)
        joined.fold()
        assert torch.allclose(joined(views), wanted, atol=1e-3)


def test_its_hash_is_that_of_members_whose_name_does_not_decide():
    assert ImageEncoder("lite0+random:lite0").weights == ""
    first, again, other = (
        ImageEncoder(f"lite0+{OWN}", seed).weights for seed in (0, 0, 1)
    )  # Own draws its weights
    assert first == again != other
    assert len(first) == 16


def test_licences():
    assert ImageEncoder(f"lite0+{OWN}").licence == "Apache-2.0; mine"
    assert (
        weights_licence("lite0+timm:resnet18")
        == "lite0: Apache-2.0; timm:resnet18: see its model card"
    )


def test_a_file_of_weights_is_for_the_one_of_timm(tmp_path, importable_timm):
    with pytest.raises(ConfigError, match=r"--weights .*none.pth: no such file"):
        ImageEncoder("lite0+timm:test_resnet", weights=tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lite0+lite9", "teacher lite9: unknown; use one of .*several joined by \\+"),
        ("lite0+", "teacher : unknown"),
        ("lite0+lite0", "teacher lite0\\+lite0: joins an encoder with itself"),
    ],
)
def test_names_that_cannot_be_joined(name, text):
    with pytest.raises(ConfigError, match=text):
        ImageEncoder(name)


def test_it_gives_no_maps():
    with pytest.raises(ConfigError, match="gives no feature maps, which --task segmentation needs"):
        ImageEncoder("lite0+random:lite0").require_maps("--task segmentation")
