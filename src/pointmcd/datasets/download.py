"""Fetch a data set by name where that is allowed, or say how to get it by hand."""

from pathlib import Path

from pointmcd.datasets.base import Archive, DataSet
from pointmcd.datasets.fetch import Fetched, fetch
from pointmcd.datasets.registry import get_data_set
from pointmcd.errors import ConfigError, DownloadError


def download(name: str, folder: Path = Path(), layout: str | None = None) -> Fetched:
    """Fetch a data set's archive; run again it continues, or checks what is there.

    Args:
        name: one of `list_data_sets`, or `package.module:Name` of your own.
        folder: where to put it.
        layout: which of its layouts; None: the first that may be fetched.

    Raises:
        ConfigError: for an unknown name or layout.
        DownloadError: when it must be had by hand, which the text tells, or as `fetch`.
    """
    archive = _archive(get_data_set(name), layout)
    return fetch(archive.urls, Path(folder) / archive.name, archive.sha256)


def licence_notice(data_set: type[DataSet]) -> str:
    """Return the lines that a person should read before they use it."""
    title = f"{data_set.title}; {data_set.home}" if data_set.home else data_set.title
    return f"{title}\nlicence: {data_set.licence}"


def _archive(data_set: type[DataSet], layout: str | None) -> Archive:
    layouts = {one.name: one for one in data_set.layouts}
    if layout is not None and layout not in layouts:
        names = ", ".join(layouts)
        raise ConfigError(f"--layout {layout}: unknown for {data_set.name}; use {names}")
    chosen = layouts.values() if layout is None else [layouts[layout]]
    archive = next((one.archive for one in chosen if one.archive is not None), None)
    if archive is None:
        by_hand = "; ".join(filter(None, (data_set.obtain, data_set.home)))
        raise DownloadError(
            f"{data_set.name}: is not fetched for you (licence: {data_set.licence}). By hand:"
            f" {by_hand}"
        )
    return archive
