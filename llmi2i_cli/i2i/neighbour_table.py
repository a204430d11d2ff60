"""Neighbours as files: the table ``i2i/MODEL-DATA.parquet``, one row a neighbour, and JSON lines, one line an item."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.indices import with_index
from llmi2i_cli.artifacts.schemas import NEIGHBOURS, collect_artifact, scan_artifact
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.tables import lazily, sink_blocks, writing
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours
from llmi2i_cli.runs.pipeline import producer_of

ROWS_AT_ONCE = 1 << 22
JSON_LINE: Mapping[str, Any] = {
    "item_id": pl.String,
    "neighbour_ids": pl.List(pl.String),
    "scores": pl.List(pl.Float32),
}


def write_neighbours(path: Path, neighbours: Neighbours, item_ids: pl.Series) -> int:
    """Write the table as Parquet, block by block; returns its number of rows.

    Parameters
    ----------
    item_ids : String (n_items,), the catalogue in the order of the indices
    """

    def rows_of(first: int, block: Neighbours) -> pl.DataFrame:
        row, column = np.nonzero(block.ids != EMPTY)
        columns = {
            "item_id": item_ids.gather(first + row),
            "neighbour_id": item_ids.gather(block.ids[row, column]),
            "rank": (column + 1).astype(np.int32),
            "score": block.scores[row, column],
        }
        return pl.DataFrame(columns, schema=dict(NEIGHBOURS))

    sink_blocks(lambda: _blocks(neighbours, rows_of), path, NEIGHBOURS)
    return int((neighbours.ids != EMPTY).sum())


def write_json_lines(path: Path, neighbours: Neighbours, item_ids: pl.Series) -> int:
    """Write ``{"item_id": "a", "neighbour_ids": ["b", ...], "scores": [0.5, ...]}``, a line an item; returns how many.

    The scores are written so that they come back exactly as float32.
    """
    shape = (-1, max(neighbours.k, 1))

    def rows_of(first: int, block: Neighbours) -> pl.DataFrame:
        filled = block.ids != EMPTY
        ids = item_ids.gather(np.where(filled, block.ids, 0).ravel())
        columns = {"neighbour_ids": ids, "scores": pl.Series(block.scores.ravel())}
        lists = [
            pl.select(pl.when(pl.Series(filled.ravel())).then(values))
            .to_series()
            .reshape(shape)
            .arr.to_list()
            .alias(name)
            for name, values in columns.items()
        ]
        frame = pl.DataFrame([item_ids[first : first + len(block.ids)].alias("item_id"), *lists])
        return frame.with_columns(pl.col("neighbour_ids", "scores").list.drop_nulls())

    with writing(path) as temporary:
        lazily(lambda: _blocks(neighbours, rows_of), JSON_LINE).sink_ndjson(temporary)
    return neighbours.n_items


def _blocks(neighbours: Neighbours, rows_of: Callable[[int, Neighbours], pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """What `rows_of` makes of each block of items, given its first item and its rows, in the order of the catalogue."""
    items_at_once = max(1, ROWS_AT_ONCE // max(neighbours.k, 1))
    for first in range(0, neighbours.n_items, items_at_once):
        block = slice(first, first + items_at_once)
        yield rows_of(first, Neighbours(neighbours.ids[block], neighbours.scores[block]))


def read_neighbours(
    workdir: Path, model: str, data: str, item_ids: pl.Series, *, top_k: int | None = None
) -> Neighbours:
    """Read what `train-i2i` wrote; `top_k` keeps the first of each item.

    Raises
    ------
    ArtifactError : the file is missing (the message names the command that makes it), damaged, or of another catalogue
    """
    path = f"i2i/{model}-{data}.parquet"
    table = scan_artifact(workdir, path)
    if top_k is not None:
        table = table.filter(pl.col("rank") <= top_k)
    return from_table(collect_artifact(table, workdir, path), item_ids, source=path)


def from_table(table: pl.DataFrame, item_ids: pl.Series, *, source: str) -> Neighbours:
    """The arrays of a table of neighbours.

    ArtifactError if it names an item that is not in `item_ids`, or an item's ranks are not 1, 2, 3, ...
    """
    rows = _indices(table, "item_id", item_ids, source)
    places = table["rank"].to_numpy().astype(np.int64) - 1
    counts = np.bincount(rows, minlength=len(item_ids))
    neighbours = Neighbours.empty(len(item_ids), int(counts.max(initial=0)))
    inside = (places >= 0) & (places < counts[rows])
    neighbours.ids[rows[inside], places[inside]] = _indices(table, "neighbour_id", item_ids, source)[inside]
    if len(wrong := np.flatnonzero((neighbours.ids != EMPTY).sum(1) < counts)):
        item = item_ids[int(wrong[0])]
        raise ArtifactError(f"{source}: the ranks of item {item!r} are not 1, 2, 3, ...: run `{producer_of(source)}`")
    neighbours.scores[rows, places] = table["score"].to_numpy()
    return neighbours


def _indices(table: pl.DataFrame, column: str, item_ids: pl.Series, source: str) -> NDArray[np.int64]:
    renamed = table.select(pl.col(column).alias("item_id"))
    return with_index(renamed, item_ids, "item_id", source)["item_id_index"].to_numpy().astype(np.int64)
