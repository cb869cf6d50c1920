"""Stores and runs of the study without labels: pretrained, fine-tuned, from scratch."""

import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from benchmarks.shared.trials import share_of, trained_and_evaluated
from pointmcd.files import replacing
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

POINTS = 512
#: Seeds by student, and epochs of pretraining.
SEEDS = {"pointnet": (0, 1, 2), "dgcnn": (0,)}
PRETRAIN_EPOCHS = {"pointnet": 60, "dgcnn": 15}
#: Of all that is trained with labels.
EPOCHS = {"pointnet": 20, "dgcnn": 10}
SHARES = (0.1, 1.0)
VARIANTS = ("scratch", "finetuned")
PROBED = ("psb25", "psb_parts17")
#: The data sets pretrained on, and the splits of each.
POOLED = {"psb25": ("train",), "furniture10": ("train", "test")}


def pretraining(work: Path, student: str, seed: int) -> TrainConfig:
    """Return the run of a student that sees no label."""
    return TrainConfig(
        work / "unlabelled",
        work / "runs" / f"{student}-pretrained-s{seed}",
        task="pretrain",
        student=student,
        seed=seed,
        points=POINTS,
        epochs=PRETRAIN_EPOCHS[student],
        batch_size=32,
    )


def training(work: Path, student: str, variant: str, share: float, seed: int) -> TrainConfig:
    """Return a run with a share of psb25's labels; variants differ in their first weights only."""
    start = pretraining(work, student, seed).folder if variant == "finetuned" else None
    return TrainConfig(
        work / "psb25",
        work / "runs" / f"{student}-{variant}-{share:g}-s{seed}",
        student=student,
        teacher=None,
        seed=seed,
        points=POINTS,
        epochs=EPOCHS[student],
        batch_size=32,
        init=start,
        label_fraction=share,
    )


def prepare_all(data: Path, work: Path) -> None:
    """Make the three stores and the teacher."""
    meshes = work / "meshes"
    if not (work / "unlabelled" / "store.json").exists():
        pool({data / f"{name}.zip": splits for name, splits in POOLED.items()}, meshes)
    prepare(PrepareConfig(meshes, work / "unlabelled", rig="ring16", val_fraction=0.05))
    for name in PROBED:
        prepare(PrepareConfig(data / f"{name}.zip", work / name, rig="ring16"))
    teach(TeachConfig(work / "unlabelled", task="features"))


def pool(sources: Mapping[Path, tuple[str, ...]], folder: Path) -> None:
    """Unpack meshes of `SET/CLASS/SPLIT/NAME.off` zips flat into a folder, as SET-NAME.off.

    Args:
        sources: zips, and the splits of each to take.
        folder: where to. It is flat, so `prepare` cannot read a class from it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source, splits in sources.items():
        with zipfile.ZipFile(source) as archive:
            for member in sorted(archive.namelist()):
                path = PurePosixPath(member)
                if path.suffix == ".off" and path.parent.name in splits:
                    target = folder / f"{path.parts[0]}-{path.name}"
                    content = archive.read(member)
                    if target.exists() and target.read_bytes() != content:
                        raise SystemExit(f"{target}: two meshes of that name")
                    with replacing(target) as temporary:
                        temporary.write_bytes(content)


def run_all(work: Path, share: str) -> None:
    """Pretrain, then train with labels; of a share K/N only every N-th pair of student and seed."""
    pairs = [(student, seed) for student, seeds in SEEDS.items() for seed in seeds]
    for student, seed in share_of(pairs, share):
        train(pretraining(work, student, seed))
        for part in SHARES:
            for variant in VARIANTS:
                trained_and_evaluated(training(work, student, variant, part, seed))
