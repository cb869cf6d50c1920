"""Classify a point file with ONNX Runtime and numpy alone: no torch, no pointmcd.

pointmcd export RUN --out model.onnx, then: python classify_onnx.py model.onnx cloud.npy (or .xyz)
"""

import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
points = np.load(sys.argv[2]) if sys.argv[2].endswith(".npy") else np.loadtxt(sys.argv[2])
points = points[np.isfinite(points).all(axis=1), : len(about["channels"])]
points[:, :3] -= points[:, :3].mean(axis=0)
points[:, :3] /= np.linalg.norm(points[:, :3], axis=1).max()
count, chosen, distances = about["points"], [0], np.inf
while len(chosen) < min(count, len(points)):  # each point is the farthest from those before it
    last = points[chosen[-1], :3]
    distances = np.minimum(distances, ((points[:, :3] - last) ** 2).sum(axis=1))
    chosen.append(int(distances.argmax()))
points = points[np.resize(chosen, count)]  # a smaller cloud is repeated
(logits,) = session.run(["logits"], {"points": points[None].astype(np.float32)})
shares = np.exp((logits[0] - logits[0].max()) / about["temperature"])
print(about["classes"][shares.argmax()], f"{shares.max() / shares.sum():.0%}")
