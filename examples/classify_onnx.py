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
points = np.random.default_rng(0).permutation(points[:, :3])[: json.loads(about["points"])]
points = points - points.mean(axis=0)
points = (points / np.linalg.norm(points, axis=1).max()).astype(np.float32)
(logits,) = session.run(["logits"], {"points": points[None]})
print(json.loads(about["classes"])[logits[0].argmax()])
