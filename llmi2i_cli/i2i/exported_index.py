"""An exported index, of whatever form, read back: the first neighbours of each row, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from llmi2i_cli.artifacts.schemas import COLUMNS, NEIGHBOURS
from llmi2i_cli.choices.index_forms import INDEX_FORMS
from llmi2i_cli.choices.loading import load
from llmi2i_cli.errors import ArtifactError, InputError
from llmi2i_cli.files.columns import what_is_wrong
from llmi2i_cli.files.tables import collect_table, scan_table
from llmi2i_cli.i2i.index_lines import JSON_LINE
from llmi2i_cli.i2i.neighbours import EMPTY
from llmi2i_cli.i2i.served_index import ServedIndex

FIRST = 10  # neighbours of a row that are read
REMEDY = "make it again (llmi2i export-index, or train-i2i for a table of i2i/)"
ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class ExportedIndex:
    """What is compared of an index; items without neighbours have no row, in any form.

    Attributes
    ----------
    first : item_id, neighbour_id (String), rank (Int32): the first `FIRST` neighbours of each row
    n_neighbours : of all rows, behind the first ones, too
    """

    first: pl.DataFrame
    n_neighbours: int


def read_exported(path: Path) -> ExportedIndex:
    """Read an index by the ending of its name.

    Raises
    ------
    InputError : there is nothing, or it has another ending
    ArtifactError : it is damaged or empty, a score is not finite, a neighbour stands twice in the first ten of a row,
        or ranks are not 1, 2, 3, ...
    """
    if not path.exists():
        raise InputError(f"{path}: no such index")
    readers = {form.ending: form.read for form in INDEX_FORMS.values() if form.read}
    reader = readers.get(path.suffix)
    if reader is None:
        raise InputError(f"{path} is not an index that can be read back: its name has to end with {', '.join(readers)}")
    index: ExportedIndex = load(reader)(path)
    if index.first.is_empty():
        raise ArtifactError(f"{path} holds no neighbour of any item: {REMEDY}")
    if wrong := what_is_wrong(index.first, COLUMNS, ("item_id", "neighbour_id")):
        raise ArtifactError(f"{path}: {wrong}: {REMEDY}")
    ranks = index.first.group_by("item_id").agg(pl.col("rank").max(), pl.col("rank").n_unique().alias("n"), pl.len())
    wrong_ranks = ranks.filter((pl.col("rank") != pl.col("len")) | (pl.col("n") != pl.col("len")))
    if len(wrong_ranks):
        item = wrong_ranks["item_id"].min()
        raise ArtifactError(f"{path}: the ranks of item {item!r} are not 1, 2, 3, ...: {REMEDY}")
    return index


def read_parquet(path: Path) -> ExportedIndex:
    """Columns as in ``i2i/MODEL-DATA.parquet``."""
    return _of_table(scan_table(path, NEIGHBOURS, REMEDY), path)


def read_json_lines(path: Path) -> ExportedIndex:
    """Lines as `index_lines.write_json_lines` writes them."""
    lengths = pl.col("neighbour_ids", "scores").list.len()
    lines = pl.scan_ndjson(path, schema=JSON_LINE)
    of_both = collect_table(lines.select(lengths.fill_null(0).sum()), path, REMEDY).row(0)
    if of_both[0] != of_both[1]:
        raise ArtifactError(f"{path} has {of_both[0]:,} neighbours and {of_both[1]:,} scores: {REMEDY}")
    table = (
        lines.filter(pl.col("neighbour_ids").list.len() > 0)
        .with_columns(rank=pl.int_ranges(1, pl.col("neighbour_ids").list.len() + 1, dtype=pl.Int32))
        .rename({"neighbour_ids": "neighbour_id", "scores": "score"})
        .explode("neighbour_id", "rank", "score")
    )
    return _of_table(table, path)


def read_mapped(path: Path) -> ExportedIndex:
    """A directory as `served_index.write_served_index` writes it; opening and reading it checks all there is."""
    index = ServedIndex.open(path)
    item_ids = pl.Series(index.item_ids(np.arange(index.n_items, dtype=np.int32)), dtype=pl.String)
    parts, n_neighbours = [pl.DataFrame(schema=_FIRST_COLUMNS)], 0
    for begin in range(0, index.n_items, ROWS_AT_ONCE):
        found = index.neighbours(np.arange(begin, min(begin + ROWS_AT_ONCE, index.n_items), dtype=np.int32))
        n_neighbours += int((found.ids != EMPTY).sum())
        rows, places = np.nonzero(found.ids[:, :FIRST] != EMPTY)
        columns = {
            "item_id": item_ids.gather(begin + rows),
            "neighbour_id": item_ids.gather(found.ids[rows, places]),
            "rank": (places + 1).astype(np.int32),
        }
        parts.append(pl.DataFrame(columns, schema=_FIRST_COLUMNS))
    return ExportedIndex(pl.concat(parts), n_neighbours)


_FIRST_COLUMNS = {name: NEIGHBOURS[name] for name in ("item_id", "neighbour_id", "rank")}


def _of_table(table: pl.LazyFrame, path: Path) -> ExportedIndex:
    """The first neighbours of a table that may be larger than memory; every score is looked at."""
    is_wrong = pl.col("score").is_null() | ~pl.col("score").is_finite()
    wrong = collect_table(table.filter(is_wrong).head(1), path, REMEDY)
    if len(wrong):
        item, score = wrong["item_id"][0], wrong["score"][0]
        raise ArtifactError(f"{path}: item {item!r} has a neighbour with the score {score}: {REMEDY}")
    n_neighbours = collect_table(table.select(pl.len()), path, REMEDY).item()
    first = table.filter(pl.col("rank") <= FIRST).select(list(_FIRST_COLUMNS))
    return ExportedIndex(collect_table(first, path, REMEDY), n_neighbours)
