"""What every reader of a tabular input offers, so that the meaning of columns is looked at in one place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import polars as pl

from llmi2i_cli.files.places import Place

LINE = "\0line"  # no column of a text file can have this name


class TableFile(Protocol):
    """An input file with named columns, read in chunks.

    Attributes
    ----------
    path : the file, for messages
    columns : names of its columns, in their order
    row_word : what a row is called in messages: "line" in text files, "row" in Parquet
    """

    path: Place
    columns: list[str]
    row_word: str

    def chunks(self, ids: Sequence[str], others: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """Yield columns of ids and other columns, String in text files, and `LINE` (Int64): each row's number, from 1.

        An empty field is an empty string, a value that is not there is null.
        """
        ...
