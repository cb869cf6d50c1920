"""`pointmcd teach`."""

from collections.abc import Mapping
from typing import Annotated, Any

import tyro

from pointmcd.cli.output import print_line
from pointmcd.files import read_json
from pointmcd.teachers.config import TeachConfig


def teach(config: Annotated[TeachConfig, tyro.conf.arg(name="")]) -> None:
    """Train an image teacher on the views and export its descriptors into the store."""
    from pointmcd.teachers.teach import teach as run

    folder = run(config)
    meta = read_json(folder / "teacher.json")
    print_line(f"{folder}: {teacher_line(meta)}")


def teacher_line(meta: Mapping[str, Any]) -> str:
    """How a teacher did on the validation part, from its teacher.json."""
    shapes = meta["val_shapes"]
    if meta.get("task") == "features":
        return (
            f"{meta['descriptor_size']} channels per view; nothing was trained, no label was read"
        )
    if not shapes:
        return "no validation part"
    if meta.get("task") == "autoencoder":
        return f"validation L1 {meta['val_l1']:.4f} of grey in 0 to 1, on {shapes} shapes"
    if meta.get("task") == "segmentation":
        return (
            f"validation pixel mIoU {meta['val_pixel_miou']:.1%} on {shapes} shapes"
            f" ({meta['val_pixel_accuracy']:.1%} of their pixels right)"
        )
    return (
        f"validation accuracy {meta['val_accuracy']:.1%} on {shapes} shapes"
        f" ({meta['val_view_accuracy']:.1%} of single views)"
    )
