"""What Polars scans, read in batches: Parquet files and the tables of lakehouses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from llmi2i_cli.data.table_file import LINE
from llmi2i_cli.errors import InputError
from llmi2i_cli.files.places import Place

BATCH_ROWS = 1_000_000


class ScannedTable:
    """A table with typed columns.

    Parameters
    ----------
    scan : makes the lazy table
    what : what it ought to be, for messages

    Raises
    ------
    InputError : it cannot be read as such
    """

    row_word = "row"

    def __init__(self, path: Place, scan: Callable[[], pl.LazyFrame], what: str) -> None:
        self.path, self._what = path, what
        try:
            self._frame = scan()
            self.schema = self._frame.collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged() from error
        self.columns = list(self.schema)

    def chunks(self, ids: Sequence[str], others: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """See `TableFile.chunks`; columns keep their types."""
        first_row = 1
        batches = self._frame.select(*ids, *others).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        try:
            for batch in batches:
                yield batch.with_columns(pl.int_range(first_row, first_row + len(batch)).alias(LINE))
                first_row += len(batch)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._damaged() from error

    def _damaged(self) -> InputError:
        return InputError(f"{self.path} cannot be read as {self._what}: it is truncated, damaged or of another format")
