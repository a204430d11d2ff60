"""Neighbours as a table, ``i2i/MODEL-DATA.parquet``: one row a neighbour (item_id, neighbour_id, rank from 1, score)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.io.plugins import register_io_source

from llmi2i_cli.artifacts import NEIGHBOURS, PARQUET_OPTIONS, scan_artifact, with_index
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours

ROWS_AT_ONCE = 1 << 22


def item_blocks(neighbours: Neighbours, item_ids: pl.Series) -> Iterator[pl.DataFrame]:
    """The table in blocks of whole items, in the order of the catalogue."""
    items_at_once = max(1, ROWS_AT_ONCE // max(neighbours.k, 1))
    for start in range(0, neighbours.n_items, items_at_once):
        ids = neighbours.ids[start : start + items_at_once]
        row, column = np.nonzero(ids != EMPTY)
        yield pl.DataFrame(
            {
                "item_id": item_ids.gather(start + row),
                "neighbour_id": item_ids.gather(ids[row, column]),
                "rank": (column + 1).astype(np.int32),
                "score": neighbours.scores[start : start + items_at_once][row, column],
            },
            schema=dict(NEIGHBOURS),
        )


def write_neighbours(path: Path, neighbours: Neighbours, item_ids: pl.Series) -> int:
    """Write the table, block by block, to a temporary name, then rename it; returns its number of rows.

    Parameters
    ----------
    item_ids : String (n_items,), the catalogue in the order of the indices
    """

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from item_blocks(neighbours, item_ids)

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    frame = register_io_source(source, schema=dict(NEIGHBOURS))
    try:
        frame.sink_parquet(temporary, **PARQUET_OPTIONS)  # type: ignore[call-overload]
    except pl.exceptions.PolarsError as error:
        raise OSError(str(error)) from error
    temporary.replace(path)
    return int((neighbours.ids != EMPTY).sum())


def read_neighbours(
    workdir: Path, model: str, data: str, item_ids: pl.Series, *, top_k: int | None = None
) -> Neighbours:
    """Read what `train-i2i` wrote; `top_k` keeps the first of each item.

    Raises
    ------
    ArtifactError : the file is missing (the message names the command that makes it), damaged, or of another catalogue
    """
    path = f"i2i/{model}-{data}.parquet"
    table = scan_artifact(workdir, path, NEIGHBOURS)
    if top_k is not None:
        table = table.filter(pl.col("rank") <= top_k)
    return from_table(table.collect(), item_ids, source=path)


def from_table(table: pl.DataFrame, item_ids: pl.Series, *, source: str) -> Neighbours:
    """The arrays of a table of neighbours; ArtifactError if it names an item that is not in `item_ids`."""
    rows = _indices(table, "item_id", item_ids, source)
    places = table["rank"].to_numpy().astype(np.int64) - 1
    neighbours = Neighbours.empty(len(item_ids), int(places.max(initial=-1)) + 1)
    neighbours.ids[rows, places] = _indices(table, "neighbour_id", item_ids, source)
    neighbours.scores[rows, places] = table["score"].to_numpy()
    return neighbours


def _indices(table: pl.DataFrame, column: str, item_ids: pl.Series, source: str) -> NDArray[np.int64]:
    renamed = table.select(pl.col(column).alias("item_id"))
    return with_index(renamed, item_ids, "item_id", source)["item_id_index"].to_numpy().astype(np.int64)
