"""`pointmcd probe`."""

from typing import Annotated

from tyro.conf import arg

from pointmcd.cli.output import print_tables
from pointmcd.options import Flag
from pointmcd.probing.config import ProbeConfig


def probe(config: Annotated[ProbeConfig, arg(name="")], markdown: Flag = False) -> None:
    """Evaluate frozen features: SVM, kNN, few-shot, retrieval.

    Args:
        config: Which students, on which shapes.
        markdown: Print Markdown.
    """
    from pointmcd.probing.probe import probe as run
    from pointmcd.probing.scores import probe_table

    title = f"{config.store}: {config.split}, {config.pooling} pooling, in percent"
    print_tables([probe_table(run(config), title)], markdown)
