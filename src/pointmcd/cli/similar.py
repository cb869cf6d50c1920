"""`pointmcd similar`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from pointmcd.cli.output import TEXT, FormOptions, print_tables
from pointmcd.options import DEVICE, RUN, STORE, UpAxis, metavar


def similar(
    run: Positional[Annotated[Path, RUN]],
    file: Positional[Annotated[Path, metavar("FILE")]],
    store: Positional[Annotated[Path, STORE]],
    count: int = 10,
    checkpoint: Literal["last", "best"] = "last",
    device: Annotated[str, DEVICE] = "auto",
    columns: Annotated[str | None, metavar("X,Y,Z")] = None,
    up: UpAxis = None,
    form: FormOptions = TEXT,
) -> None:
    """List the shapes of a store that are most similar to a mesh or point cloud.

    The similarity is the cosine of the embeddings about their mean in the store: at most 1, and
    about 0 for shapes that have nothing in common. A class with a question mark is the run's guess.

    Args:
        run: The run whose student embeds both, or exported weights, as in predict --pretrained; or
            a teacher of the store (STORE/teachers/NAME), which renders the file.
        file: A mesh or point cloud file.
        store: Where to look.
        count: How many shapes.
        checkpoint: Checkpoint of the last epoch, or the best on the validation split.
        device: cpu, cuda, mps or auto.
        columns: Columns of x, y and z in a text table or array, as in 2,3,4.
        up: Axis that points up in the file; by default that of the shapes that the run learnt from.
        form: Form of the output.
    """
    from pointmcd.probing.embed import similar as find
    from pointmcd.tables import result_table

    found = find(run, file, store, count, checkpoint, device, columns, up)
    rows = [
        (one.name, one.label or (f"{one.guess}?" if one.guess else "-"), f"{one.similarity:.3f}")
        for one in found
    ]
    records = [
        {
            "shape": one.name,
            "class": one.label,
            "guess": one.guess,
            "similarity": one.similarity,
            "file": one.file,
        }
        for one in found
    ]
    table = result_table(("shape", "class", "similarity"), rows, f"like {file}")
    print_tables([table], form, records)
