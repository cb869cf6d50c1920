"""Farthest point sampling in ONNX, as a loop over the points to choose.

Apart from pointmcd.ops.farthest_batch, as it needs ONNX Script, of the extra `onnx`.
"""

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import FLOAT, INT64, script
from onnxscript import opset18 as op

# ONNX's numbers for its types.
_FLOAT, _DOUBLE = 1, 11


@script(default_opset=op)  # type: ignore[untyped-decorator]
def sample_farthest(points: FLOAT, count: INT64) -> INT64:
    """Points [B, N, 3] and a count -> int64 [B, count], as `farthest_batch` has it.

    ONNX Script reads this text: each line is an operation.
    """
    one = op.Constant(value_ints=[1])
    centroid = op.Cast(op.ReduceMean(op.Cast(points, to=_DOUBLE), one), to=_FLOAT)
    away = op.Sub(points, centroid)
    x, y, z = op.Split(op.Mul(away, away), axis=2, num_outputs=3)
    chosen = op.ArgMax(op.Add(op.Add(x, y), z), axis=1, keepdims=1)
    order = op.Squeeze(chosen, one)
    nearest = op.Expand(op.Constant(value_float=float("inf")), op.Shape(x))
    for _ in range(count - 1):
        last = op.Unsqueeze(op.GatherND(points, op.Squeeze(chosen, one), batch_dims=1), one)
        step = op.Sub(points, last)
        dx, dy, dz = op.Split(op.Mul(step, step), axis=2, num_outputs=3)
        nearest = op.Min(nearest, op.Add(op.Add(dx, dy), dz))
        taken = op.Expand(op.Constant(value_float=-1.0), op.Shape(chosen))
        nearest = op.ScatterElements(nearest, chosen, taken, axis=1)
        chosen = op.ArgMax(nearest, axis=1, keepdims=1)
        order = op.Concat(order, op.Squeeze(chosen, one), axis=1)
    return order


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return what ONNX has for the operations of our own in a traced student."""
    return {torch.ops.pointmcd.sample_farthest.default: sample_farthest}
