"""The base of lessons, each of which makes a teacher of an image encoder, and their registry."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from pointmcd.ahead import map_ahead
from pointmcd.checkpoint import load_module
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder, as_images
from pointmcd.errors import ConfigError
from pointmcd.plugs import Plugs
from pointmcd.settings import option
from pointmcd.teachers.config import LESSON_OPTIONS, TeachConfig
from pointmcd.teachers.features import decoding_threads
from pointmcd.typing import Bytes, Indices

if TYPE_CHECKING:  # it imports what reads meshes, which no lesson needs
    from pointmcd.preparation.prepare_shape import PreparedShape
    from pointmcd.views.rig import Rig

#: Endings of default names, and the options that each stands for.
Endings = Mapping[str, Mapping[str, Any]]
#: D of the descriptors of most lessons.
DESCRIPTOR_SIZE = 512


@dataclass(frozen=True)
class LessonOptions:
    """Options of a lesson, with its defaults: the base of its own, which may check its values."""

    def require(self, **least: float) -> None:
        """Refuse options below a least value.

        Raises:
            ConfigError: naming the option.
        """
        for name, bound in least.items():
            value = getattr(self, name)
            if not value >= bound:
                raise ConfigError(f"{_spelling(name)} {value}: must be at least {bound}")


class Lesson(ABC):
    """A way to make a teacher of an image encoder: what it trains, its scores and its outputs.

    `pointmcd teach` makes one, calls `prepare` and `fit`, and exports what `outputs` returns for
    every shape. `check_lesson` tries one of your own.

    Attributes:
        store, config, device, encoder: the arguments; the encoder has the config's weights.
        options: the lesson's, of `options_type`.
        train: indices of the train split; with labels, of the shapes whose labels are known.
        teacher: the module that is trained and saved.
        cached: folders in the store with outputs that are kept outside the teacher's own, by name;
            of several folders the output is joined along its last dimension.

    Raises:
        StoreError: when the store lacks the lesson's labels.
        ConfigError: when the encoder gives no feature maps and the lesson needs them.
    """

    #: The dataclass of its options, derived from `LessonOptions`; every field has a default.
    options_type: ClassVar[type[LessonOptions]] = LessonOptions
    #: Whether no label reaches the teacher: needed where students have none, or few.
    label_free: ClassVar[bool] = False
    #: Whether it learns parts of shapes, which a part file can name.
    reads_parts: ClassVar[bool] = False
    #: Whether `--finetune` can train the encoder too.
    finetunes: ClassVar[bool] = True
    #: Whether it reads feature maps, which not every encoder gives, and not only pooled features.
    needs_maps: ClassVar[bool] = False
    #: Endings of default names and the options that each stands for, the last one for none; by
    #: default the lesson's name.
    endings: ClassVar[Endings] = {}

    options: LessonOptions
    teacher: nn.Module

    def __init__(
        self, store: Store, config: TeachConfig, device: torch.device, encoder: ImageEncoder
    ) -> None:
        self.store, self.config, self.device, self.encoder = store, config, device, encoder
        self.options = self.read_options(config)
        self.cached: dict[str, tuple[Path, ...]] = {}
        self.train = store.indices("train")
        if not self.label_free:
            self.train = labelled_train(store, config.label_fraction, config.seed)
        if self.needs_maps:
            encoder.require_maps(f"--task {config.task}")

    @classmethod
    def default_options(cls, finetune: bool) -> LessonOptions:
        """Return the options where none is given; `finetune`: whether the encoder is trained."""
        del finetune
        return cls.options_type()

    @classmethod
    def read_options(cls, config: TeachConfig) -> LessonOptions:
        """Return the options that a config gives, completed with the defaults.

        A number that the lesson has no use for is left out: one config may serve several lessons.

        Raises:
            ConfigError: when a switch or a name in `config.options` is unknown to the lesson, or
                when it refuses a value.
        """
        default = cls.default_options(config.finetune)
        known, read = asdict(default), {}
        for name, value in config.given_options.items():
            if name in known:
                read[name] = _parsed(name, value, known[name])
            elif value is True or name in config.options:
                raise ConfigError(f"{_spelling(name)}: {_whose(name, config.task)}")
        return replace(default, **read)

    @property
    def schedule(self) -> dict[str, int]:
        """Entries of teacher.json on how long it was trained, beyond its settings."""
        return {}

    @classmethod
    def summary(cls, teacher: Mapping[str, Any]) -> str:
        """Return one line that says how good a teacher is, from its teacher.json."""
        return cls.describe_scores(teacher) if teacher["val_shapes"] else "no validation split"

    @classmethod
    def describe_scores(cls, scores: Mapping[str, Any]) -> str:
        """Return `scores`, of one validation shape or more, as one line."""
        return ", ".join(f"{name} {scores[name]}" for name in scores if name.startswith("val_"))

    def prepare(self) -> None:  # noqa: B027 (not every lesson caches)
        """Cache what `fit` and `outputs` read, beyond the store itself."""

    @abstractmethod
    def fit(self) -> None:
        """Train `teacher`, or measure what it needs."""

    def load(self, tensors: dict[str, Tensor], what: str) -> None:
        """Take the weights of a finished teacher; `what` names it in error texts."""
        load_module(self.teacher, tensors, what)

    def scores(self) -> dict[str, Any]:
        """Return entries of teacher.json about the validation split, named `val_...`."""
        return {}

    def decoded_views(self, indices: Indices) -> Iterator[Bytes]:
        """Yield the views of each shape, uint8 [V, S, S]; threads decode the next ones."""
        threads = decoding_threads(self.device)
        return map_ahead(self.store.views, indices.tolist(), threads)

    @abstractmethod
    def outputs(self, indices: Indices) -> dict[str, Tensor]:
        """Return outputs of the frozen teacher for shapes, by name, [n, ...] each.

        One is "descriptors", [n, V, D]: those of the views.
        """

    def describe(self, views: Tensor) -> Tensor:
        """Return the descriptors [V, D] of views of one shape, uint8 [V, S, S].

        They are those of `outputs`, of the finished teacher. A search by a file needs it.

        Raises:
            ConfigError: by default.
        """
        raise ConfigError(
            f"teacher {self.config.teacher}: one of --task {self.config.task} describes no files;"
            " its lesson has no method describe"
        )

    def image_model(self) -> nn.Module:
        """Return the finished teacher as one module, from images to what it says of them.

        It takes images in 0 to 1, float [B, V, 3, H, W], of B shapes, where its task is given
        classes also their ids [B], and returns, for example, logits [B, K]. Exports need it.

        Raises:
            ConfigError: by default: not every lesson's teacher does a task itself.
        """
        raise ConfigError(
            f"teacher {self.config.teacher}: one of --task {self.config.task} cannot predict or be"
            " exported; use --task classification or segmentation"
        )

    def answer(self, shape: "PreparedShape", rig: "Rig", label: int) -> Tensor:
        """Return what the finished teacher says of one shape, as its output for a stored one.

        It is the output that its task calls `teacher_answer`, float on the CPU, without the
        dimension of shapes; by default what `image_model` says of the views. Predictions need it.

        Args:
            shape: prepared as the store was.
            rig: that it was seen with.
            label: its class id; -1 where the task is not given classes.

        Raises:
            ConfigError: as `image_model`.
        """
        del rig
        inputs = [as_images(torch.from_numpy(shape.views)[None])]
        inputs += [] if label < 0 else [torch.tensor([label])]
        model = self.image_model().to(self.device).eval()
        said: Tensor = model(*(tensor.to(self.device) for tensor in inputs))[0]
        return said.float().cpu()


LESSONS: Plugs[type[Lesson]] = Plugs("lesson", "pointmcd.teachers.lessons", "pointmcd.lessons")
#: Decorator that makes a Lesson known as `--task name`: `@register_lesson(name)`.
register_lesson = LESSONS.register


def lessons_for(maps: bool) -> list[str]:
    """Return the names of the lessons that an encoder with or without feature maps serves."""
    return [name for name in LESSONS.names() if maps or not LESSONS.get(name).needs_maps]


def _spelling(name: str) -> str:
    """Return how an option of a lesson is spelt on the command line."""
    return option(name) if name in LESSON_OPTIONS else f"--options {name}"


def _whose(name: str, task: str) -> str:
    """The lessons that have an option, which `task` has not."""
    have = [one for one in LESSONS.names() if name in asdict(LESSONS.get(one).options_type())]
    return f"is for --task {' or '.join(have)}, not {task}" if have else "no lesson has that option"


def _parsed(name: str, value: Any, default: Any) -> Any:
    """The value of an option, of its default's type; the command line gives text."""
    kind = type(default)
    if isinstance(value, str) and kind in (bool, int, float):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ConfigError(f"{_spelling(name)}: expected a value of type {kind.__name__}")
    return float(value) if kind is float else value
