"""Parquet inputs."""

from __future__ import annotations

import polars as pl

from llmi2i_cli.data.scanned_table import ScannedTable
from llmi2i_cli.data.text import check_readable
from llmi2i_cli.files.places import Place


class ParquetFile(ScannedTable):
    """A Parquet file. InputError : missing, empty, truncated or no Parquet."""

    def __init__(self, path: Place) -> None:
        check_readable(path)
        super().__init__(path, lambda: pl.scan_parquet(str(path), glob=False), "Parquet")
