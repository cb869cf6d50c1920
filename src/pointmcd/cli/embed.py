"""`pointmcd embed`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from pointmcd.cli.output import check_free, print_line
from pointmcd.options import DEVICE, RUN, STORE, Flag, metavar


def embed(
    store: Positional[Annotated[Path, STORE]],
    run: Annotated[Path | None, RUN] = None,
    teacher: Annotated[str | None, metavar("TEACHER")] = None,
    out: Annotated[Path, metavar("FILE")] = Path("embeddings.npz"),
    pooling: Literal["max", "mean", "both"] = "max",
    checkpoint: Literal["last", "best"] = "last",
    device: Annotated[str, DEVICE] = "auto",
    overwrite: Flag = False,
) -> None:
    """Write one embedding for each shape of a store, by a run's student or a teacher.

    Args:
        store: Any prepared store.
        run: The run whose student embeds the points, or exported weights, as in predict
            --pretrained.
        teacher: A teacher in the store, whose view descriptors are pooled.
        out: File to write: .npz, .csv or .parquet.
        pooling: Pooling over points or views; both: max and mean, one after the other.
        checkpoint: Checkpoint of the last epoch, or the best on the validation split.
        device: cpu, cuda, mps or auto.
        overwrite: Replace a file of that name.
    """
    check_free("--out", out, overwrite)
    from pointmcd.probing.embed import check_out
    from pointmcd.probing.embed import embed as run_embed

    check_out(out)
    print_line(str(run_embed(store, run, teacher, pooling, checkpoint, device).save(out)))
