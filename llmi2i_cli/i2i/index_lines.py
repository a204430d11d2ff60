"""An index as JSON lines, as programs and search engines read them; scores come back exactly as float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from llmi2i_cli.files.tables import lazily, writing
from llmi2i_cli.i2i.neighbour_lists import item_blocks, neighbour_lists
from llmi2i_cli.i2i.neighbours import Neighbours

JSON_LINE: Mapping[str, Any] = {
    "item_id": pl.String,
    "neighbour_ids": pl.List(pl.String),
    "scores": pl.List(pl.Float32),
}
VESPA_LINE: Mapping[str, Any] = {"put": pl.String, "fields": pl.Struct(JSON_LINE)}
ELEMENTS = (pl.col("neighbour_id").alias("neighbour_ids"), pl.col("score").alias("scores"))
DOCUMENT = pl.struct(*JSON_LINE)


def write_json_lines(path: Path, neighbours: Neighbours, item_ids: pl.Series) -> int:
    """Write ``{"item_id": "a", "neighbour_ids": ["b", ...], "scores": [0.5, ...]}``, a line per item; returns how many.

    Parameters
    ----------
    item_ids : String (n_items,), the catalogue in the order of the indices
    """
    with writing(path) as temporary:
        lazily(lambda: _documents(neighbours, item_ids), JSON_LINE).sink_ndjson(temporary)
    return neighbours.n_items


def write_bulk(path: Path, neighbours: Neighbours, item_ids: pl.Series) -> int:
    """Write the body of Elasticsearch's or OpenSearch's ``_bulk``: for each item its id, then its document.

    Returns how many documents. The index is named in the request: ``POST /INDEX/_bulk``.
    """
    action = pl.struct(pl.struct(pl.col("item_id").alias("_id")).alias("index"))
    lines = pl.format("{}\n{}\n", action.struct.json_encode(), DOCUMENT.struct.json_encode())
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for block in _documents(neighbours, item_ids):
            file.write(block.select(lines.str.join("")).item())
    return neighbours.n_items


def write_vespa_feed(path: Path, neighbours: Neighbours, item_ids: pl.Series) -> int:
    """Write a feed for Vespa: a document ``id:llmi2i:item::ID`` per item, a line each; returns how many."""
    line = [pl.format("id:llmi2i:item::{}", "item_id").alias("put"), DOCUMENT.alias("fields")]
    with writing(path) as temporary:
        blocks = lazily(lambda: (block.select(line) for block in _documents(neighbours, item_ids)), VESPA_LINE)
        blocks.sink_ndjson(temporary)
    return neighbours.n_items


def _documents(neighbours: Neighbours, item_ids: pl.Series) -> Iterator[pl.DataFrame]:
    return (neighbour_lists(first, block, item_ids, ELEMENTS) for first, block in item_blocks(neighbours))
