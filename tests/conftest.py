"""Real shapes, and files that are broken on purpose."""

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_runs import Bench, PartsBench

from pointmcd import checkpoint
from pointmcd.datasets.furniture import furniture10

# A process of several has the width of the terminal here; tests say what width they want.
os.environ.pop("COLUMNS", None)
# Without a GPU Triton's interpreter runs its kernels, if it is asked to before they are imported.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

Encoder = Callable[[Sequence[Sequence[float]], Sequence[Sequence[int]], str], bytes]


@pytest.fixture(autouse=True)
def every_epoch_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a checkpoint be written after each epoch, however short: tests interrupt there."""
    monkeypatch.setattr(checkpoint, "SAVE_EVERY", 0.0)


@pytest.fixture(scope="session")
def furniture_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded set, unpacked: CLASS/{train,test}/NAME.off below this folder."""
    folder = tmp_path_factory.mktemp("furniture")
    with zipfile.ZipFile(furniture10()) as archive:
        archive.extractall(folder)
    return folder / "furniture10"


@pytest.fixture(scope="session")
def encode_mesh() -> Encoder:
    """A writer of mesh bytes (off, obj, ply, stl) that checks nothing it is given."""

    def encode(
        vertices: Sequence[Sequence[float]], faces: Sequence[Sequence[int]], file_type: str
    ) -> bytes:
        rows = [" ".join(repr(float(x)) for x in vertex) for vertex in vertices]
        polygons = [" ".join(map(str, (len(face), *face))) for face in faces]
        if file_type == "off":
            lines = ["OFF", f"{len(rows)} {len(polygons)} 0", *rows, *polygons]
        elif file_type == "obj":
            lines = [f"v {row}" for row in rows]
            lines += ["f " + " ".join(str(i + 1) for i in face) for face in faces]
        elif file_type == "ply":
            lines = ["ply", "format ascii 1.0", f"element vertex {len(rows)}"]
            lines += [f"property double {axis}" for axis in "xyz"]
            lines += [f"element face {len(polygons)}", "property list uchar int vertex_indices"]
            lines += ["end_header", *rows, *polygons]
        else:
            corners = np.asarray(vertices, dtype="<f4").reshape(-1, 3)
            blob = b"".join(bytes(12) + corners[list(face)].tobytes() + bytes(2) for face in faces)
            return bytes(80) + struct.pack("<I", len(faces)) + blob
        return ("\n".join(lines) + "\n").encode()

    return encode


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A caller of the command line: status, standard output, standard error."""
    from pointmcd.cli import main

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


@pytest.fixture
def triton_device(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where Triton's kernels are chosen: a GPU, or else the CPU with Triton's interpreter."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        return "cuda"
    monkeypatch.setattr("pointmcd.ops.backend.TRITON_DEVICES", ["cuda", "cpu"])
    return "cpu"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread: results are then the same to the last bit in any process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def importable_timm() -> Iterator[None]:
    """The registry's torchvision does not import beside a CPU build of torch, lacking two names."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        try:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:
            continue  # a build that has them
    yield
    library._destroy()


@pytest.fixture(scope="session")
def tiny_store(furniture_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 18 shapes in 4 shards, 3 classes: 9 train, 3 val, 6 test; 3 views, 128 points.

    To be read only: copy it where a test changes it.
    """
    from pointmcd.preparation.config import PrepareConfig
    from pointmcd.preparation.prepare import prepare

    folder = tmp_path_factory.mktemp("tiny")
    for label in ("bed", "chair", "lamp"):
        for split, count in (("train", 4), ("test", 2)):
            for path in sorted((furniture_root / label / split).glob("*.off"))[:count]:
                target = folder / "meshes" / label / split / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    rig = folder / "rig.json"
    rig.write_text(json.dumps({"cameras": [[30, 0], [30, 120], [-30, 240]], "size": 64}))
    options = {"points": 128, "shard_size": 5, "val_fraction": 0.25}
    prepare(PrepareConfig(folder / "meshes", folder / "store", rig=rig, workers=1, **options))
    return folder / "store"


@pytest.fixture(scope="session")
def taught_store(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a teacher of two epochs, lite0, and its cached features. To be read only."""
    from pointmcd.teachers.config import TeachConfig
    from pointmcd.teachers.teach import teach

    store = tmp_path_factory.mktemp("taught") / "store"
    shutil.copytree(tiny_store, store)
    teach(TeachConfig(store, epochs=2, device="cpu"))
    return store


@pytest.fixture(scope="session")
def trained_run(taught_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distilled PointNet of two epochs on 64 points, not evaluated. To be read only."""
    from pointmcd.training.config import TrainConfig
    from pointmcd.training.train import train

    out = tmp_path_factory.mktemp("trained") / "run"
    return train(TrainConfig(taught_store, out, epochs=2, points=64, batch_size=4, device="cpu"))


@pytest.fixture(scope="session")
def exported_run(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its ONNX file, alone in a folder. To be read only."""
    pytest.importorskip("onnxruntime")
    from pointmcd.inference.export import export_run

    return export_run(trained_run, out=tmp_path_factory.mktemp("onnx") / "model.onnx")


@pytest.fixture
def run_copy(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of it, for tests that evaluate or damage it."""
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def labelled_meshes(furniture_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with part labels: furniture cut by height, NAME.seg beside each mesh, parts.json.

    Bed: low and high; chair: seat, back and legs; train.txt and test.txt name 8 and 4 of each.
    """
    from pointmcd.shapes.mesh import read_mesh

    folder = tmp_path_factory.mktemp("labelled") / "set"
    parts = {"bed": ["low", "high"], "chair": ["legs", "seat", "back"]}
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for label, names in parts.items():
        (folder / label).mkdir(parents=True)
        for split, count in (("train", 8), ("test", 4)):
            for path in sorted((furniture_root / label / split).glob("*.off"))[:count]:
                mesh = read_mesh(path, path.name, "off")
                height = mesh.vertices[mesh.faces].mean(axis=1)[:, 1]
                share = (height - height.min()) / max(float(np.ptp(height)), 1e-9)
                labels = np.minimum(share * len(names), len(names) - 1).astype(int)
                rows = [" ".join(map(repr, map(float, row))) for row in mesh.vertices]
                rows += ["3 " + " ".join(map(str, face)) for face in mesh.faces]
                head = f"OFF\n{len(mesh.vertices)} {len(mesh.faces)} 0\n"
                (folder / label / path.name).write_text(head + "\n".join(rows) + "\n")
                (folder / label / f"{path.stem}.seg").write_text("\n".join(map(str, labels)) + "\n")
                lists[split].append(f"{label}/{path.stem}")
    (folder / "parts.json").write_text(json.dumps(parts))
    for split, names in lists.items():
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
    return folder


@pytest.fixture(scope="session")
def parts_store(labelled_meshes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with part labels: 2 classes, 5 parts, 3 views of 64 x 64, 128 points.

    12 train, 4 val and 8 test shapes. To be read only.
    """
    from pointmcd.preparation.config import PrepareConfig
    from pointmcd.preparation.prepare import prepare

    folder = tmp_path_factory.mktemp("parts")
    rig = folder / "rig.json"
    rig.write_text(json.dumps({"cameras": [[30, 0], [30, 120], [-30, 240]], "size": 64}))
    options = {"points": 128, "shard_size": 7, "val_fraction": 0.25}
    prepare(PrepareConfig(labelled_meshes, folder / "store", rig=rig, workers=1, **options))
    return folder / "store"


@pytest.fixture(scope="session")
def trained_parts_run(parts_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline PointNet of two epochs that labels parts, not evaluated. To be read only."""
    from pointmcd.training.config import TrainConfig
    from pointmcd.training.train import train

    out = tmp_path_factory.mktemp("trained-parts") / "run"
    options = {"epochs": 2, "points": 64, "batch_size": 4, "device": "cpu"}
    return train(TrainConfig(parts_store, out, task="segmentation", teacher=None, **options))


@pytest.fixture(scope="session")
def varied_store(labelled_meshes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with two variants of each train shape, and a teacher of classes of two epochs.

    To be read only.
    """
    from pointmcd.preparation.config import PrepareConfig
    from pointmcd.preparation.prepare import prepare
    from pointmcd.teachers.config import TeachConfig
    from pointmcd.teachers.teach import teach

    folder = tmp_path_factory.mktemp("varied")
    rig = folder / "rig.json"
    rig.write_text(json.dumps({"cameras": [[30, 0], [30, 120], [-30, 240]], "size": 64}))
    options = {"points": 128, "shard_size": 7, "val_fraction": 0.25, "variants": 2}
    prepare(PrepareConfig(labelled_meshes, folder / "store", rig=rig, workers=1, **options))
    teach(TeachConfig(folder / "store", epochs=2, device="cpu"))
    return folder / "store"


FEW_CLASSES = ("chair", "table", "sofa")


@pytest.fixture(scope="session")
def few_meshes(tmp_path_factory) -> Path:
    """Fourteen real meshes in CLASS/{train,test}/NAME.off: 3 for training, 1 or 2 for the test."""
    folder = tmp_path_factory.mktemp("meshes")
    with zipfile.ZipFile(furniture10()) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".off"))
        for label in FEW_CLASSES:
            for split, count in (("train", 3), ("test", 2 if label != "sofa" else 1)):
                members = [name for name in names if f"/{label}/{split}/" in name][:count]
                for member in members:
                    target = folder / label / split / Path(member).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(member))
    return folder


@pytest.fixture(scope="session")
def small_rig(tmp_path_factory) -> Path:
    """A rig of three tiny pictures: preparing a shape takes a few milliseconds."""
    path = tmp_path_factory.mktemp("rig") / "small.json"
    path.write_text(json.dumps({"cameras": [[30, 0], [30, 120], [-30, 240]], "size": 24}))
    return path


@pytest.fixture
def quick(small_rig) -> dict:
    """Options that make `prepare` quick: one process, few points, several shards."""
    return {"points": 32, "rig": small_rig, "workers": 1, "shard_size": 4}


@pytest.fixture(scope="session")
def files_of():
    """Return every file of a folder and its bytes."""

    def files(folder: Path) -> dict[str, bytes]:
        paths = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    return files


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "runs")


@pytest.fixture
def parts_bench(tmp_path: Path) -> PartsBench:
    return PartsBench(tmp_path / "parts-runs")
