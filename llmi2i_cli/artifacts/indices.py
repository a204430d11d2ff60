"""Ids as indices: the row of an item or a user in the tables of ``prepare/``."""

from __future__ import annotations

import polars as pl

from llmi2i_cli.errors import ArtifactError, InputError


def with_index(frame: pl.DataFrame, ids: pl.Series, column: str, source: str) -> pl.DataFrame:
    """Add ``<column>_index`` (UInt32): the row of each id in `ids`. ArtifactError names an id that is not there.

    `frame` keeps its row order; `source` names the file it came from.
    """
    lookup = pl.DataFrame({column: ids}).with_row_index(f"{column}_index")
    joined = frame.join(lookup, on=column, how="left", maintain_order="left")
    missing = joined.filter(pl.col(f"{column}_index").is_null())
    if len(missing):
        raise foreign(source, column, missing[column][0])
    return joined


def foreign(source: str, column: str, value: str) -> ArtifactError:
    """The error about an id of `source` that no index stands for."""
    return ArtifactError(f"{source}: {column} {value!r} is not in prepare/: it belongs to another log")


def unknown_item(item_id: str) -> InputError:
    """The error about an item that the user names and nobody knows."""
    return InputError(f"item {item_id!r} is not in the catalogue: ids are those of prepare/items.parquet")
