"""Plugs: students, objectives, tasks, lessons and data sets, found by name or by import path."""

import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cached_property, reduce
from hashlib import md5, sha256
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import resolve_name, walk_packages
from types import ModuleType
from typing import Any, Generic, TypeVar

from pointmcd.errors import ConfigError, first_line

Plug = TypeVar("Plug")
#: The decorated object itself, whatever its exact type.
Given = TypeVar("Given")


class Plugs(Generic[Plug]):
    """The plugs of one kind.

    A plug is known by a name when a module of the kind's own package registers it, when an
    installed package offers it under the kind's group of entry points
    (`pointmcd.students = ["mine = my_package.students:Mine"]`), or, with a colon in the name, by
    where it is: `package.module:Name`, or `path/to/file.py:Name`.

    Args:
        kind: what error texts call one, like "student".
        package: whose modules, but for _private ones, register the kind's own plugs.
        group: of the entry points of other packages; by default the package's name.
    """

    def __init__(self, kind: str, package: str, group: str | None = None) -> None:
        self.kind, self.package, self.group = kind, package, group or package
        self._plugs: dict[str, Plug] = {}
        self._own_loaded = False

    @cached_property
    def _offered(self) -> dict[str, EntryPoint]:
        """What other packages offer; each look goes through all that are installed."""
        return {point.name: point for point in entry_points(group=self.group)}

    def register(self, name: str) -> Callable[[Given], Given]:
        """Return a decorator that makes a class or factory known under `name`.

        Raises:
            ConfigError: when another plug has that name.
        """

        def keep(plug: Given) -> Given:
            taken = self._plugs.setdefault(name, plug)  # type: ignore[arg-type]
            if taken is not plug and not _is_reload(taken, plug):
                raise ConfigError(f"{self.kind} {name}: the name is taken already; choose another")
            self._plugs[name] = plug  # type: ignore[assignment]
            return plug

        return keep

    def names(self) -> list[str]:
        """Return all names, sorted; a plug of another package is not imported for that."""
        self._load_own()
        return sorted({*self._plugs, *self._offered})

    def __contains__(self, name: str) -> bool:
        """Whether a module that is loaded has registered that name."""
        return name in self._plugs

    def get(self, name: str) -> Plug:
        """Return the plug of that name, or the one at `package.module:Name` or `FILE.py:Name`.

        Raises:
            ConfigError: when there is none, or its module cannot be imported.
        """
        self._load_own()
        if name in self._plugs:
            return self._plugs[name]
        point = None if ":" in name else self._offered.get(name)
        if point is None and ":" not in name:
            near = get_close_matches(name, self.names(), n=1)
            use = f"did you mean {near[0]}? Use" if near else "use"
            raise ConfigError(
                f"{self.kind} {name}: unknown; {use} one of {', '.join(self.names())}, or"
                " package.module:Name or FILE.py:Name for one of your own"
            )
        try:
            plug: Plug = found_at(name) if point is None else point.load()
        except Exception as error:  # also a fault in another package or the user's own file
            where = "" if point is None else f"{point.value} "
            reason = f"{where}cannot be imported: {first_line(error)}"
            raise ConfigError(f"{self.kind} {name}: {reason}") from error
        return plug if point is None else self._plugs.setdefault(name, plug)

    def _load_own(self) -> None:
        if self._own_loaded:
            return
        self._own_loaded = True  # first: a module may ask for another plug while it is imported
        package = import_module(self.package)
        for module in walk_packages(package.__path__, f"{self.package}."):
            if "._" not in module.name:  # what only serves a plug
                import_module(module.name)


def found_at(name: str) -> Any:
    """Return what is at `package.module:Name` or `path/to/file.py:Name`.

    An error in the import is raised as it is.
    """
    place, _, attribute = name.rpartition(":")
    if not place.endswith(".py"):
        return resolve_name(name)
    return reduce(getattr, attribute.split("."), _module_at(place))


def code_digests(names: Iterable[str]) -> dict[str, str]:
    """Return a short hash of the source file of each place at which one of these plugs is.

    There is none of a name without a place, of this package, and of what cannot be imported. A
    file that is edited keeps its hash until it is imported anew, as its code stays the same.
    """
    places = {name.rpartition(":")[0] for name in names}
    found = {place: _code_digest(place) for place in sorted(places)}
    return {place: digest for place, digest in found.items() if digest is not None}


#: Hashes by the names of modules, with the specs by which these were imported.
_digests: dict[str, tuple[ModuleSpec | None, str]] = {}


def _code_digest(place: str) -> str | None:
    if not place or place.split(".")[0] == "pointmcd":
        return None
    try:
        module = _module_at(place)
    except Exception:  # told where the plug itself is imported
        return None
    spec, digest = _digests.get(module.__name__, (None, None))
    if digest is None or spec is not module.__spec__:  # a reload makes another spec
        file = Path(getattr(module, "__file__", None) or "")
        if not file.is_file():
            return None
        digest = sha256(file.read_bytes()).hexdigest()[:16]
        _digests[module.__name__] = module.__spec__, digest
    return digest


def _module_at(place: str) -> ModuleType:
    """Return the module `package.module` or `path/to/file.py`."""
    if not place.endswith(".py"):
        return import_module(place)
    return _module_of(Path(place).expanduser().resolve())


def _module_of(file: Path) -> ModuleType:
    """Return the module of a file, imported once; it finds the files beside it."""
    name = f"{file.stem}_{md5(str(file).encode(), usedforsecurity=False).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(file.parent))
    return module


def _is_reload(old: Any, new: Any) -> bool:
    """Whether a module was imported again: the same definition under another object."""
    places = [
        (getattr(plug, "__module__", None), getattr(plug, "__qualname__", None))
        for plug in (old, new)
    ]
    return places[0] == places[1] and None not in places[0]
