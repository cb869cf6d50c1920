"""Augmentation of point clouds, drawn per shape and epoch: no order or worker count changes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pointmcd.errors import ConfigError, first_line
from pointmcd.plugs import found_at
from pointmcd.shapes.features import directions, unit
from pointmcd.typing import Bools, Doubles, Floats, Indices

#: none; up: about the axis that points up; any: every orientation alike.
RotationName = Literal["none", "up", "any"]
#: An augmentation of one's own: points [N, 3 + F] and random numbers -> points [N, 3 + F].
OwnAugmentation = Callable[[Floats, np.random.Generator], Floats]


class NamedAugmentation:
    """The function at `FILE.py:Name` or `package.module:Name`, with its results checked.

    Processes that load batches are given its name, and import it themselves.

    Raises:
        ConfigError: when it cannot be imported, or is not a function; when called, if that fails,
            or gives other than as many finite points with as many features.
    """

    def __init__(self, name: str) -> None:
        self.name, self.what = name, f"--augment {name}"
        try:
            self.function = found_at(name)
        except Exception as error:
            told = f"{self.what}: cannot be imported: {first_line(error)}; write FILE.py:NAME"
            raise ConfigError(told) from error
        if not callable(self.function):
            raise ConfigError(f"{self.what}: is not a function")

    def __reduce__(self) -> tuple[type["NamedAugmentation"], tuple[str]]:
        return NamedAugmentation, (self.name,)

    def __call__(self, points: Floats, generator: np.random.Generator) -> Floats:
        """Return the points that the function makes of these."""
        try:
            found = np.asarray(self.function(points, generator), dtype=np.float32)
        except Exception as error:
            raise ConfigError(f"{self.what}: fails: {first_line(error)}") from error
        if found.shape != points.shape or not np.isfinite(found).all():
            given, wanted = list(found.shape), list(points.shape)
            raise ConfigError(f"{self.what}: gives {given}; finite points {wanted} are needed")
        return found


#: Points that a view must see of a shape for them to stand for it.
_LEAST_SEEN = 8


@dataclass(frozen=True)
class Augmentation:
    """A random variant, rotation, then per-axis scale and shift, and a random choice of points.

    Attributes:
        seed: of the run.
        scale: per-axis factors are uniform in [1 / scale, scale].
        shift: per-axis offsets are uniform in [-shift, shift], in radii of the unit sphere.
        resample: draw the points anew each epoch from all that the store holds, instead of
            always the first in farthest-point order.
        rotation: the rotations to draw from.
        up: the axis that points up, x, y or z.
        variants: take each shape or one of its variants, where the store has any.
        own: what a user does to the points after all that. Point i must stay point i: visibility
            and part labels are those of before.
        one_view: probability that a shape is what one of its views sees of it, as in a scan from
            one side: these points alone, centred and scaled anew.
    """

    seed: int
    scale: float = 1.5
    shift: float = 0.2
    resample: bool = False
    rotation: RotationName = "none"
    up: str = "y"
    variants: bool = True
    own: OwnAugmentation | None = None
    one_view: float = 0.0

    @property
    def chooses(self) -> bool:
        """Whether it takes others than the first points of a shape."""
        return self.resample or self.one_view > 0

    @property
    def for_host(self) -> bool:
        """Whether its clouds are made by the host, where shapes stay on a GPU."""
        return self.own is not None or self.one_view > 0

    def generator(self, epoch: int, index: int, number: int = 0) -> np.random.Generator:
        """Return the random numbers for the `number`-th time that a shape comes in an epoch."""
        return np.random.default_rng((self.seed, epoch, index, *([number] if number else [])))

    def choose(self, generator: np.random.Generator, available: int, count: int) -> Indices:
        """Choose `count` of the stored points; their positions, ascending."""
        if not self.resample:
            return np.arange(count)
        return np.sort(generator.choice(available, size=count, replace=False))

    def look(self, generator: np.random.Generator, visibility: Bools, count: int) -> Indices | None:
        """Choose `count` points that one view sees, of visibility [N, V], fewer of them repeated.

        None where the whole shape is to be taken: of one that the view hardly sees, too.
        """
        if generator.random() >= self.one_view:
            return None
        seen = np.flatnonzero(visibility[:, generator.integers(visibility.shape[1])])
        if len(seen) < _LEAST_SEEN:
            return None
        if self.resample and len(seen) > count:
            return np.sort(generator.choice(seen, size=count, replace=False))
        return np.resize(seen[:count], count)

    def draw(self, generator: np.random.Generator, normalised: bool = False) -> "Move":
        """Draw how a shape moves, which is first centred and scaled if that is asked for."""
        own = self.own
        return Move(
            None if self.rotation == "none" else self._turn(generator).T,
            generator.uniform(1 / self.scale, self.scale, size=3),
            generator.uniform(-self.shift, self.shift, size=3),
            None if own is None else lambda points: own(points, generator),
            normalised,
        )

    def _turn(self, generator: np.random.Generator) -> Doubles:
        from scipy.spatial.transform import Rotation  # slow, and few runs turn

        if self.rotation == "any":
            return np.asarray(Rotation.random(random_state=generator).as_matrix())
        angle = generator.uniform(0, 2 * np.pi)
        return np.asarray(Rotation.from_euler(self.up, angle).as_matrix())


@dataclass(frozen=True)
class Move:
    """A turn, a scale and a shift of one shape.

    Attributes:
        turn: [3, 3], which rows of coordinates are multiplied by; None: none.
        factors: of the axes, [3].
        offsets: [3].
        own: what a user does to the points after that.
        normalised: first put the mean at the origin and the farthest point at distance 1.
    """

    turn: Doubles | None
    factors: Doubles
    offsets: Doubles
    own: Callable[[Floats], Floats] | None = None
    normalised: bool = False

    def apply(self, points: Floats, features: Sequence[str] = ()) -> Floats:
        """Move points [N, 3 + F] with those features.

        Normals stay square to the surface: they turn with the points, and are divided by the
        factors of the axes (the inverse transpose of the map), then scaled to length 1 again.
        Visibility stays as it is: the views show the shape before it moved, and the point that a
        camera saw is still the same point.
        """
        if self.normalised:
            places = points[:, :3] - points[:, :3].mean(axis=0)
            places /= max(float(np.linalg.norm(places, axis=1).max()), 1e-9)
            points = np.concatenate([places, points[:, 3:]], axis=1)
        moved: Floats = points.copy()
        for columns in (slice(0, 3), *directions(features)):
            vectors = points[:, columns]
            if self.turn is not None:
                vectors = (vectors @ self.turn).astype(np.float32)
            moved[:, columns] = (
                unit(vectors / self.factors)
                if columns.start
                else vectors * self.factors + self.offsets
            )
        return moved if self.own is None else self.own(moved)
