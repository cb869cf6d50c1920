"""Settings of `pointmcd teach`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from pointmcd.options import DEVICE, STORE, Advanced, metavar
from pointmcd.settings import convert_paths

#: Fields that a lesson may read as its own options.
LESSON_OPTIONS = (
    *("whiten", "epochs", "batch_size", "views_per_step", "lr", "final_lr", "weight_decay"),
    "label_smoothing",
)


@dataclass(frozen=True)
class TeachConfig:
    """Settings of a teacher: the store, the image encoder, the lesson and its options.

    Options that are None take the lesson's own default, and those that the lesson does not have
    are left out.
    """

    store: Positional[Annotated[Path, STORE]]
    """The prepared store."""
    teacher: Annotated[str, metavar("ENCODER")] = "lite0"
    """Image encoder: lite0, lite1 or lite2 (extras), timm:MODEL for any model of timm,
    module:package.module:factory for your own, random:NAME for the control with random weights, or
    several of these joined: lite0+lite1."""
    weights: Annotated[Path | None, metavar("FILE")] = None
    """File with the weights of timm:MODEL (.safetensors or .pth); by default timm's own."""
    task: Annotated[str, metavar("LESSON")] = "classification"
    """The lesson: classification (of shapes), segmentation (of every pixel into parts), or, without
    labels, features (the encoder's own, on one scale) or autoencoder (redraws the views);
    package.module:Name for your own."""
    options: Advanced[Annotated[Mapping[str, str], metavar("NAME VALUE ...")]] = field(
        default_factory=dict
    )
    """Options of the lesson that have no switch of their own: NAME VALUE, any number of them."""
    whiten: Advanced[bool] = False
    """Features only: make the channels uncorrelated too (PCA), and keep the 512 strongest."""
    finetune: bool = False
    """Train the encoder too (slow without a GPU), once the layers on top of it are trained;
    otherwise those alone."""
    name: Annotated[str | None, metavar("NAME")] = None
    """Name in the store; by default made of the encoder's and the lesson's, and of a fraction of
    the labels and its seed: lite0-0.1-s0."""
    epochs: int | None = None
    """Passes over the train split; 128, with --finetune 20; segmentation and autoencoder as many as
    1,000 steps need, at least 20."""
    batch_size: int | None = None
    """Shapes per step; 48, segmentation 4, autoencoder 8."""
    views_per_step: Advanced[int | None] = None
    """Views of each shape in one step, drawn anew each time; 4. Classification takes all of them
    unless the encoder is trained."""
    lr: float | None = None
    """Initial learning rate of Adam; 1e-3, segmentation 1e-2, 1e-4 with --finetune."""
    final_lr: Advanced[float | None] = None
    """Learning rate at the end of the cosine; 1e-6, segmentation and autoencoder 5e-6."""
    weight_decay: Advanced[float | None] = None
    """L2 penalty of Adam; 1e-5."""
    label_fraction: float = 1.0
    """Fraction of each class's train shapes whose labels are used, at least one shape; drawn by the
    seed. `train` with the same fraction and seed takes this teacher."""
    labels: Annotated[Path | None, metavar("FILE")] = None
    """Label file (path,class; for segmentation the parts.csv of `label --parts`) whose labels are
    used instead of the store's, outside the test split. `train` with the same labels takes this
    teacher."""
    label_smoothing: float | None = None
    """Classification only: probability shared among the other classes; 0.2."""
    seed: int = 0
    """Seed of weights and order."""
    device: Annotated[str, DEVICE] = "auto"
    """cpu, cuda, mps, or auto."""
    runtime: Literal["torch", "onnx"] = "torch"
    """Runtime of a frozen encoder: torch, or ONNX Runtime on the CPU (an extra)."""
    overwrite: bool = False
    """Replace a teacher of that name."""

    def __post_init__(self) -> None:
        convert_paths(self)

    @property
    def given_options(self) -> dict[str, Any]:
        """Options of the lesson that are set."""
        own = {name: getattr(self, name) for name in LESSON_OPTIONS}
        given = {name: v for name, v in own.items() if v is not None and v is not False}
        return given | dict(self.options)
