"""Small replicas of ShapeNetPart's two layouts, with the furniture set's shapes in them."""

import json
import zipfile
from pathlib import Path

import numpy as np

from pointmcd.shapes.mesh import Mesh, read_mesh

#: Class, folder and first global label, as ShapeNetPart has them, and whose meshes stand in.
CLASSES = (("Airplane", "02691156", 0, "bed"), ("Chair", "03001627", 12, "chair"))
NORMAL = "shapenetcore_partanno_segmentation_benchmark_v0_normal"
PLAIN = "shapenetcore_partanno_segmentation_benchmark_v0"
PARTS = 4


def sample(mesh: Mesh, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw points, normals and part labels 0 to 3 by height."""
    random = np.random.default_rng(seed)
    face = random.choice(len(mesh.faces), count, p=mesh.double_areas / mesh.double_areas.sum())
    corners = mesh.vertices[mesh.faces[face]]
    points = (random.dirichlet((1, 1, 1), count)[:, :, None] * corners).sum(axis=1)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    height = (points[:, 1] - points[:, 1].min()) / np.ptp(points[:, 1])
    return points, normals, np.minimum(height * PARTS, PARTS - 1).astype(int)


def write_layout(furniture: Path, folder: Path, layout: str, count: int = 600) -> Path:
    """Write six shapes: for each class two train, one val or test."""
    root = folder / layout
    root.mkdir(parents=True)
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    lines = []
    for label, synset, first, other in CLASSES:
        lines.append(f"{label}\t{synset}\n")
        last = "val" if label == "Airplane" else "test"
        files = sorted((furniture / other / "train").glob("*.off"))[:3]
        for file, split in zip(files, ("train", "train", last), strict=True):
            points, normals, parts = sample(read_mesh(file, file.name, "off"), count, 0)
            points = 0.4 * (points - points.mean(axis=0)) / np.abs(points).max()
            lists[split].append(f"shape_data/{synset}/{file.stem}")
            if layout == NORMAL:
                rows = np.column_stack([points, normals, first + parts])
                (root / synset).mkdir(exist_ok=True)
                np.savetxt(root / synset / f"{file.stem}.txt", rows, fmt="%.6f")
            else:
                for kind in ("points", "points_label"):
                    (root / synset / kind).mkdir(parents=True, exist_ok=True)
                np.savetxt(root / synset / "points" / f"{file.stem}.pts", points, fmt="%.5f")
                segments = root / synset / "points_label" / f"{file.stem}.seg"
                np.savetxt(segments, 1 + parts, fmt="%d")
    (root / "synsetoffset2category.txt").write_text("".join(lines))
    (root / "train_test_split").mkdir()
    for split, names in lists.items():
        path = root / "train_test_split" / f"shuffled_{split}_file_list.json"
        path.write_text(json.dumps(names[::-1]))
    return root


def write_core(furniture: Path, folder: Path, version: str) -> Path:
    """Write the meshes as ShapeNetCore has them, in a frame and size of their own."""
    core = folder / f"ShapeNetCore.{version}"
    for _, synset, _, other in CLASSES:
        for file in sorted((furniture / other / "train").glob("*.off"))[:3]:
            mesh = read_mesh(file, file.name, "off")
            rows = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in 0.01 * mesh.vertices + 3]
            rows += [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
            inside = "model.obj" if version == "v1" else "models/model_normalized.obj"
            target = core / synset / file.stem / inside
            target.parent.mkdir(parents=True)
            target.write_text("\n".join(rows) + "\n")
    return core


def zipped(root: Path) -> Path:
    """Pack a layout, its root folder included."""
    target = root.parent / f"{root.name}.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(root.parent))
    return target
