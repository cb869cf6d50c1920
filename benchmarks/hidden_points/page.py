"""The page on hidden point removal: the rule's fit, and tables of what was measured."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from benchmarks.shared.page import table

RADII = (10, 31.6, 100, 316, 1000, 3160, 10_000, 100_000)
NOISE = (0.0, 0.005, 0.01)

#: The numbers of `measured_radius`, as `fit` has them.
OURS = np.array([np.log10(160), 0.7, 3.2, 1.0])

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]


def reached(weights: Floats, rows: Sequence[Row]) -> Floats:
    """Return IoU at log10 R = a + (b + d r) log10(N / 10,000) + c r, between the measured radii."""
    density = np.log10([row["points"] / 10_000 for row in rows])
    rough = np.array([row["rough"] for row in rows])
    a, b, c, d = weights
    wanted = a + (b + d * rough) * density + c * rough
    curves = [np.array(row["by_radius"])[:, 0] for row in rows]
    pairs = zip(wanted, curves, strict=True)
    return np.array([np.interp(x, np.log10(RADII), y) for x, y in pairs])


def fit(rows: Sequence[Row]) -> Floats:
    """Find the a, b, c and d of `reached` with the largest mean; clean clouds count twice."""
    clean = np.array([row["noise"] == 0 for row in rows])

    def loss(weights: Floats) -> float:
        found = reached(weights, rows)
        return -float(np.mean(found) + np.mean(found[clean]))

    starts = [np.array([2.2, 0.7, slope, 1.0]) for slope in (0.0, 1.5, 3.0, 5.0)]
    fits = [minimize(loss, start, method="Nelder-Mead") for start in starts]
    return np.asarray(min(fits, key=lambda found: float(found.fun)).x)


def cells(rows: Sequence[Row]) -> Iterator[tuple[float, int, list[Row]]]:
    """Yield the rows of each noise and number of points."""
    for noise in NOISE:
        for count in sorted({row["points"] for row in rows}):
            yield noise, count, [r for r in rows if (r["noise"], r["points"]) == (noise, count)]


def three(values: Any) -> str:
    """Return IoU, precision and recall as text."""
    return " / ".join(f"{value:.2f}" for value in values)


def curve_rows(rows: Sequence[Row]) -> Iterator[list[object]]:
    """Yield, per noise and density, IoU at each radius, the best, and what the rule reaches."""
    for noise, count, cell in cells(rows):
        by = np.mean([row["by_radius"] for row in cell], axis=0)
        single = float(np.mean([np.array(row["by_radius"])[:, 0].max() for row in cell]))
        rule = np.mean([row["rule"] for row in cell], axis=0)
        radius = int(np.median([row["radius"] for row in cell]))
        ious = [f"{value:.2f}" for value in by[:, 0]]
        best = int(by[:, 0].argmax())
        ious[best] = f"**{ious[best]}**"
        yield [f"{noise:.1%}", count, *ious, f"{single:.2f}", radius, three(rule)]


def kept_rows(rows: Sequence[Row]) -> Iterator[list[object]]:
    """Yield what removal reaches on all points, and on those that are kept."""
    for noise in NOISE:
        cell = [row for row in rows if row["noise"] == noise]
        by = np.mean([row["by_radius"] for row in cell], axis=0)
        sides = [three(np.mean([row[side] for row in cell], axis=0)) for side in ("dense", "rule")]
        yield [f"{noise:.1%}", *sides, three(by[by[:, 0].argmax()])]


def gains(rows: Sequence[Row]) -> str:
    """Return the mean IoU of a fixed radius, of the rule and of the best radius of each cell."""
    hundred = np.mean([row["by_radius"][RADII.index(100)][0] for row in rows])
    rule = np.mean([row["rule"][0] for row in rows])
    best = np.mean(
        [np.mean([r["by_radius"] for r in c], axis=0)[:, 0].max() for *_, c in cells(rows)]
    )
    return f"radius 100 {hundred:.3f}, the rule {rule:.3f}, the best radius of each row {best:.3f}"


def page(found: dict[str, Any]) -> list[str]:
    """Return the page, paragraph by paragraph."""
    rows: list[Row] = found["removal"]
    train, test, kept = ([r for r in rows if r["half"] == h] for h in ("train", "test", "kept"))
    weights = fit(train)
    a, b, c, d = weights
    fitted = f"log10 R = {a:.2f} + ({b:.2f} + {d:.2f} r) log10(N / 10,000) + {c:.2f} r"
    ours = float(np.mean(reached(OURS, test)))
    theirs = float(np.mean(reached(weights, test)))
    radii = [f"R {radius:g}" for radius in RADII]
    curve_head = ["noise", "points", *radii, "best of each shape", "rule's R", "rule"]
    sides = ["on all 100,000, then kept", "on the kept, rule", "on the kept, best radius"]
    return [
        "# Clouds without a mesh: visibility and views",
        "Written by `python -m benchmarks.hidden_points`. Clouds are drawn by chance,"
        " evenly by area, from meshes of furniture10; truth is ray-cast. Noise: the standard"
        " deviation of each coordinate, as a share of the shape's radius; the truth of a noisy"
        " point is that of the place it comes from.",
        "## Hidden point removal",
        "![IoU with exact visibility by radius](hidden_points.png)",
        "`measured_radius` has R = 160 (N / 10,000)^(0.7 + r) 10^(3.2 r), with r the roughness of"
        " the cloud (`views/neighbourhoods.py`); it was fitted on ten shapes that are not among"
        " those below. Mean IoU over all rows: of ten test shapes, one of each class,"
        f" {gains(test)}; of ten train shapes, {gains(train)}.",
        f"A fit on the train shapes gives {fitted}. On the test shapes, read off between the"
        f" measured radii, it reaches {theirs:.3f}, and `measured_radius` {ours:.3f}.",
        "IoU of the ten test shapes by R, in distances from the camera to the farthest point;"
        " bold: the best of the row. Then the mean of the best radius of each shape, the rule's"
        " median R, and its IoU / precision / recall.",
        table(curve_head, curve_rows(test)),
        "### On all points, or on those that are kept",
        "2,048 points, farthest first, of 100,000; IoU / precision / recall on those 2,048.",
        table(["noise", *sides], kept_rows(kept)),
        *found["views"],
    ]
