"""Small replicas of public data sets, with the furniture set's shapes in them.

File names, field order, types and quirks are those of the real files; only the shapes are others.
"""

import json
from pathlib import Path

import numpy as np
from part_layouts import sample

from pointmcd.shapes.mesh import Mesh, read_mesh

#: Classes of ModelNet, and whose shapes stand in: enough of each for train and test.
STAND_INS = (("bed", "bed"), ("chair", "chair"), ("night_stand", "cabinet"))


def meshes(furniture: Path, label: str, count: int) -> list[Mesh]:
    files = sorted((furniture / label / "train").glob("*.off"))[:count]
    return [read_mesh(file, file.name, "off") for file in files]


def off_text(mesh: Mesh, header: str = "OFF\n", newline: str = "\n") -> bytes:
    """An OFF file; in some of ModelNet40 the counts are in the first line: `OFF3514 3546 0`."""
    rows = [" ".join(f"{x:.6f}" for x in row) for row in mesh.vertices]
    rows += [f"3 {a} {b} {c}" for a, b, c in mesh.faces]
    text = f"{header}{len(mesh.vertices)} {len(mesh.faces)} 0\n" + "\n".join(rows) + "\n"
    return text.replace("\n", newline).encode()


def write_modelnet_meshes(furniture: Path, folder: Path, number: int = 40) -> Path:
    """CLASS/{train,test}/CLASS_0001.off, numbers running on in test; two train, one test each.

    With the quirks met in the wild: a one-line header, Windows' newlines, an upper-case suffix, and
    the folders that macOS leaves.
    """
    root = folder / f"ModelNet{number}"
    for label, other in STAND_INS:
        for row, mesh in enumerate(meshes(furniture, other, 3)):
            target = root / label / ("test" if row == 2 else "train") / f"{label}_{row + 1:04d}.off"
            target.parent.mkdir(parents=True, exist_ok=True)
            header = "OFF" if (label, row) == ("chair", 0) else "OFF\n"
            newline = "\r\n" if (label, row) == ("bed", 1) else "\n"
            if (label, row) == ("night_stand", 2):
                target = target.with_suffix(".OFF")
            target.write_bytes(off_text(mesh, header, newline))
    (root / ".DS_Store").write_bytes(b"\0")
    macos = folder / "__MACOSX" / root.name / "bed" / "train"
    macos.mkdir(parents=True)
    (macos / "._bed_0001.off").write_bytes(b"\0\5\26\7")
    return folder


def write_modelnet_npy(furniture: Path, folder: Path, points: int = 256) -> Path:
    """CLASS/{train,test}/NAME.npy in one more folder, float16, two train, one test each."""
    for label, other in STAND_INS:
        for row, mesh in enumerate(meshes(furniture, other, 3)):
            target = folder / "modelnet40_256" / label / ("test" if row == 2 else "train")
            target.mkdir(parents=True, exist_ok=True)
            cloud = sample(mesh, points, 0)[0].astype(np.float16)
            np.save(target / f"{label}_{row + 1:04d}.npy", cloud)
    return folder


def write_modelnet_hdf5(furniture: Path, folder: Path, points: int = 256) -> Path:
    """modelnet40_ply_hdf5_2048: `data` float32 [S, N, 3], `label` uint8 [S, 1], classes mixed."""
    import h5py

    root = folder / "modelnet40_ply_hdf5_2048"
    root.mkdir(parents=True)
    from pointmcd.datasets.modelnet import MODELNET40_CLASSES

    (root / "shape_names.txt").write_text("\n".join(MODELNET40_CLASSES) + "\n")
    clouds = {
        label: [sample(mesh, points, 0)[0] for mesh in meshes(furniture, other, 3)]
        for label, other in STAND_INS
    }
    files = {"train0": 0, "train1": 1, "test0": 2}
    for name, row in files.items():
        labels = [label for label, _ in STAND_INS][::-1]
        with h5py.File(root / f"ply_data_{name}.h5", "w") as file:
            data = np.stack([clouds[label][row] for label in labels]).astype(np.float32)
            file.create_dataset("data", data=data, compression="gzip", chunks=(2, 64, 1))
            ids = np.array([[MODELNET40_CLASSES.index(label)] for label in labels], np.uint8)
            file.create_dataset("label", data=ids)
            file.create_dataset("faceId", data=np.zeros((len(labels), points), np.int32))
            file.create_dataset("normal", data=np.zeros_like(data))
    for split in ("train", "test"):
        lines = [
            f"data/modelnet40_ply_hdf5_2048/ply_data_{name}.h5\n"
            for name in files
            if name.startswith(split)
        ]
        (root / f"{split}_files.txt").write_text("".join(lines))
    return root


def write_modelnet_text(furniture: Path, folder: Path, points: int = 300) -> Path:
    """modelnet40_normal_resampled: CLASS/CLASS_0001.txt of x,y,z,nx,ny,nz, and the lists."""
    root = folder / "modelnet40_normal_resampled"
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for label, other in STAND_INS:
        (root / label).mkdir(parents=True)
        for row, mesh in enumerate(meshes(furniture, other, 3)):
            name = f"{label}_{row + 1:04d}"
            cloud, normals, _ = sample(mesh, points, 0)
            cloud = cloud - cloud.mean(axis=0)
            cloud = cloud / np.linalg.norm(cloud, axis=1).max()
            table = np.column_stack([cloud, normals])
            np.savetxt(root / label / f"{name}.txt", table, fmt="%.6f", delimiter=",")
            lists["test" if row == 2 else "train"].append(name)
    classes = [label for label, _ in STAND_INS]
    (root / "modelnet40_shape_names.txt").write_bytes("\r\n".join(classes).encode())
    (root / "modelnet10_shape_names.txt").write_text("\n".join(classes[:2]) + "\n")
    for split, names in lists.items():
        (root / f"modelnet40_{split}.txt").write_bytes("\r\n".join(names).encode())
        ten = [name for name in names if not name.startswith("night")]
        (root / f"modelnet10_{split}.txt").write_text("\n".join(ten) + "\n")
    (root / "filelist.txt").write_text("".join(f"bed/{n}.txt\n" for n in lists["train"]))
    return root


def write_shapenetcore(furniture: Path, folder: Path, version: int) -> Path:
    """SYNSET/MODEL/model.obj (v1) or SYNSET/MODEL/models/model_normalized.obj (v2), and all.csv."""
    root = folder / f"ShapeNetCore.v{version}"
    synsets = (("02818832", "bed"), ("03001627", "chair"))
    rows = ["id,synsetId,subSynsetId,modelId,split"]
    for synset, other in synsets:
        for row, mesh in enumerate(meshes(furniture, other, 3)):
            model = f"{row}{synset}a1b2c3"
            inside = "model.obj" if version == 1 else "models/model_normalized.obj"
            target = root / synset / model / inside
            target.parent.mkdir(parents=True)
            lines = ["mtllib model.mtl", "usemtl material_0"]
            lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
            lines += ["vn 0 1 0", *(f"f {a}//1 {b}//1 {c}//1" for a, b, c in mesh.faces + 1)]
            target.write_text("\n".join(lines) + "\n")
            (target.parent / "model.mtl").write_text("newmtl material_0\nmap_Kd none.jpg\n")
            split = ("train", "val", "test")[row]
            rows.append(f"{row:06d},{synset},{synset},{model},{split}")
    (root / "all.csv").write_bytes("\r\n".join(rows).encode())
    taxonomy = [
        {"synsetId": "02818832", "name": "bed", "children": [], "numInstances": 3},
        {"synsetId": "03001627", "name": "chair", "children": ["02738535"], "numInstances": 3},
    ]
    (root / "taxonomy.json").write_text(json.dumps(taxonomy))
    return root


def write_scanobjectnn(furniture: Path, folder: Path, points: int = 128) -> Path:
    """h5_files/main_split{,_nobg}/{training,test}_objectdataset{,_augmentedrot_scale75}.h5."""
    import h5py

    ids = {"bed": 10, "chair": 4, "table": 9}
    for part in ("main_split", "main_split_nobg"):
        (folder / "h5_files" / part).mkdir(parents=True)
        for tail, copies in (("", 1), ("_augmentedrot_scale75", 2)):
            for split, rows in (("training", (0, 1)), ("test", (2,))):
                clouds, labels = [], []
                for label, number in ids.items():
                    shapes = meshes(furniture, label, 3)
                    clouds += [sample(shapes[row], points, 0)[0] for row in rows] * copies
                    labels += [number] * len(rows) * copies
                path = folder / "h5_files" / part / f"{split}_objectdataset{tail}.h5"
                with h5py.File(path, "w") as file:
                    file["data"] = np.stack(clouds).astype(np.float32)
                    file["label"] = np.array(labels, np.int32)
                    file["mask"] = np.zeros((len(clouds), points), np.int32)
    return folder


def write_modelnet40c(furniture: Path, folder: Path, points: int = 100) -> Path:
    """data_CORRUPTION_SEVERITY.npy, float32 [S, N, 3] with N of its own, and label.npy."""
    root = folder / "modelnet40_c"
    root.mkdir(parents=True)
    ids = {"bed": 2, "chair": 8}
    np.save(root / "label.npy", np.array([[number] for number in ids.values()], np.int64))
    names = ("distortion_rbf_inv_5", "gaussian_1", "original")
    for offset, name in enumerate(names):
        clouds = [
            sample(meshes(furniture, label, 1)[0], points + offset, offset)[0] for label in ids
        ]
        np.save(root / f"data_{name}.npy", np.stack(clouds).astype(np.float32))
    return root
