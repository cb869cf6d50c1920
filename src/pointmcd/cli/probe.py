"""`pointmcd probe`."""

from typing import Annotated

from tyro.conf import arg

from pointmcd.cli.output import TEXT, FormOptions, print_tables
from pointmcd.probing.config import ProbeConfig


def probe(config: Annotated[ProbeConfig, arg(name="")], form: FormOptions = TEXT) -> None:
    """Evaluate frozen features: SVM, kNN, few-shot, retrieval.

    Args:
        config: Which students, on which shapes.
        form: Form of the output.
    """
    from pointmcd.probing.probe import probe as run
    from pointmcd.probing.scores import probe_records, probe_table

    title = f"{config.store}: {config.split}, {config.pooling} pooling, in percent"
    rows = run(config)
    print_tables([probe_table(rows, title)], form, probe_records(rows))
