"""Parquet inputs, read in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from llmi2i_cli.data.table_file import LINE
from llmi2i_cli.data.text import check_readable
from llmi2i_cli.errors import InputError

BATCH_ROWS = 1_000_000


class ParquetFile:
    """A Parquet file.

    Raises
    ------
    InputError : missing, empty, truncated or no Parquet
    """

    row_word = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        check_readable(path)
        try:
            self._frame = pl.scan_parquet(path, glob=False)
            self.schema = self._frame.collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged() from error
        self.columns = list(self.schema)

    def chunks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """See `TableFile.chunks`; columns keep their types."""
        first_row = 1
        batches = self._frame.select(columns).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        try:
            for batch in batches:
                yield batch.with_columns(pl.int_range(first_row, first_row + len(batch)).alias(LINE))
                first_row += len(batch)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged() from error

    def _damaged(self) -> InputError:
        return InputError(f"{self.path} cannot be read as Parquet: it is truncated, damaged or of another format")
