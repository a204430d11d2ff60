"""Tables of lakehouses as Polars scans them: Delta and Iceberg."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl

from llmi2i_cli.data.scanned_table import ScannedTable
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.places import Place
from llmi2i_cli.files.table_folder import TableFolder


def open_delta(path: Place) -> ScannedTable:
    """The latest version of a Delta table. InputError : no such table, damaged, or the package deltalake is missing."""
    return _open(path, lambda folder: pl.scan_delta(folder.path))


def open_iceberg(path: Place) -> ScannedTable:
    """The latest version of an Iceberg table. InputError : none, damaged, or the package pyiceberg is missing."""
    return _open(path, lambda folder: pl.scan_iceberg(f"{folder.path}/{_latest_metadata(folder)}"))


def _open(path: Place, scan: Callable[[TableFolder], pl.LazyFrame]) -> ScannedTable:
    if not isinstance(path, TableFolder):
        raise InputError(f"{path} is a file, and the format that was asked for is a folder: name that")
    form = path.form.name
    try:
        return ScannedTable(path, lambda: scan(path), f"a table of {form}")
    except ImportError as error:
        raise InputError(f"{path} is a table of {form}: pip install 'llmi2i[{form}]' to read it") from error


def _latest_metadata(folder: TableFolder) -> str:
    """``00002-<uuid>.metadata.json`` or ``v2.metadata.json`` with the highest number."""
    numbered = {
        int(found.group(1)): name
        for name in folder.logs
        if (found := re.search(r"/v?(\d+)[^/]*\.metadata\.json$", name))
    }
    if not numbered:
        raise InputError(f"{folder}: no metadata/*.metadata.json tells what the table holds")
    return numbered[max(numbered)]
