"""Neighbours as a table, one row per neighbour: ``i2i/MODEL-DATA.parquet``."""

from __future__ import annotations

from itertools import starmap
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llmi2i_cli.artifacts.indices import with_index
from llmi2i_cli.artifacts.schemas import NEIGHBOURS, collect_artifact, scan_artifact
from llmi2i_cli.errors import ArtifactError
from llmi2i_cli.files.tables import sink_blocks
from llmi2i_cli.i2i.neighbour_lists import item_blocks
from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours
from llmi2i_cli.runs.pipeline import producer_of


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

    sink_blocks(lambda: starmap(rows_of, item_blocks(neighbours)), path, NEIGHBOURS)
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
