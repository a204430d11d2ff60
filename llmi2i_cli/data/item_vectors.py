"""Vectors that the user has of the items: a Parquet file with item_id and one column of lists or arrays of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.data.parquet import ParquetFile
from llmi2i_cli.data.table_file import LINE
from llmi2i_cli.errors import InputError


@dataclass(frozen=True)
class ItemVectors:
    """The vectors of a catalogue.

    Attributes
    ----------
    vectors : float32 (n_items, d), zeros for an item without one
    n_without : items without a vector, or with one of zeros, which points nowhere
    n_outside : vectors of items that are not in the catalogue
    """

    vectors: NDArray[np.float32]
    n_without: int
    n_outside: int


def read_item_vectors(path: Path, item_ids: pl.Series) -> ItemVectors:
    """Read the vectors of the items of `item_ids`, in its order.

    Raises
    ------
    InputError : no readable Parquet; no item_id, or not one column of vectors; an item twice or without an id; vectors
        of different lengths, or a number that is missing or not finite; the message names file and row
    """
    table = ParquetFile(path)
    column = _column_of_vectors(table)
    items = _items_of_rows(table, item_ids)
    vectors, first_row = np.zeros((len(item_ids), 0), np.float32), 0
    for chunk in table.chunks(["item_id"], [column]):
        numbers = _numbers(table, chunk, column, vectors.shape[1])
        if not first_row:
            vectors = np.zeros((len(item_ids), numbers.shape[1]), np.float32)
        rows = items[first_row : first_row + len(chunk)]
        vectors[rows[rows >= 0]] = numbers[rows >= 0]
        first_row += len(chunk)
    return ItemVectors(vectors, int((~vectors.any(axis=1)).sum()), int((items < 0).sum()))


def _column_of_vectors(table: ParquetFile) -> str:
    """The one column of lists or arrays of numbers, beside item_id."""
    found = ", ".join(f"{name} {dtype}" for name, dtype in table.schema.items())
    if "item_id" not in table.columns:
        raise InputError(f"{table.path} has no column 'item_id' (it has {found}): name it so")
    columns = [
        name
        for name, dtype in table.schema.items()
        if isinstance(dtype, pl.List | pl.Array) and dtype.inner.is_numeric()
    ]
    if len(columns) != 1:
        raise InputError(f"{table.path} needs one column of lists or arrays of numbers (it has {found})")
    return columns[0]


def _items_of_rows(table: ParquetFile, item_ids: pl.Series) -> NDArray[np.int64]:
    """The place of each row's item in the catalogue, -1 outside it."""
    chunks = [chunk.with_columns(pl.col("item_id").cast(pl.String)) for chunk in table.chunks(["item_id"])]
    if not sum(map(len, chunks)):
        raise InputError(f"{table.path} holds no vectors")
    rows = pl.concat(chunks)
    without = rows.filter(pl.col("item_id").is_null())
    if len(without):
        raise InputError(f"{table.path}, row {without[LINE][0]}: there is no item_id")
    again = rows.filter(~pl.col("item_id").is_first_distinct())
    if len(again):
        raise InputError(f"{table.path}, row {again[LINE][0]}: item {again['item_id'][0]!r} has a vector already")
    lookup = pl.DataFrame({"item_id": item_ids}).with_row_index("place")
    found = rows.join(lookup, on="item_id", how="left", maintain_order="left")
    return found["place"].cast(pl.Int64).fill_null(-1).to_numpy()


def _numbers(table: ParquetFile, chunk: pl.DataFrame, column: str, width: int) -> NDArray[np.float32]:
    """The vectors of a chunk, float32 (rows, width); a `width` of 0, in the first chunk, is that of its first row."""
    lists = chunk[column].cast(pl.List(pl.Float32), strict=False)
    lengths = lists.list.len().fill_null(0)
    width = width or lengths[0]
    for row in ((lengths != width) | (lengths == 0)).arg_true()[:1]:
        raise InputError(
            f"{_place(table, chunk, row)} has a vector of {lengths[row]} numbers, where the first row has {width}: "
            "all must have as many, and an item without a vector is left out"
        )
    numbers = lists.explode().fill_null(np.nan).to_numpy().reshape(len(chunk), width)
    for row in np.flatnonzero(~np.isfinite(numbers).all(axis=1))[:1]:
        raise InputError(f"{_place(table, chunk, row)} has a number that is missing or not finite in its vector")
    return numbers


def _place(table: ParquetFile, chunk: pl.DataFrame, row: int) -> str:
    return f"{table.path}, row {chunk[LINE][int(row)]}: item {str(chunk['item_id'][int(row)])!r}"
