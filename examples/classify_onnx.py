"""Classify a point file with ONNX Runtime and numpy alone: no torch, no pointmcd.

pointmcd export RUN --out model.onnx, then: python classify_onnx.py model.onnx cloud.npy (or .xyz)
"""

import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
points = np.load(sys.argv[2]) if sys.argv[2].endswith(".npy") else np.loadtxt(sys.argv[2])
points = points[np.isfinite(points).all(axis=1), : len(json.loads(about["channels"]))]
points = np.random.default_rng(0).permutation(points)[: json.loads(about["points"])]
points[:, :3] -= points[:, :3].mean(axis=0)
points[:, :3] /= np.linalg.norm(points[:, :3], axis=1).max()
(logits,) = session.run(["logits"], {"points": points[None].astype(np.float32)})
print(json.loads(about["classes"])[logits[0].argmax()])
