"""An index as JSON lines, as programs and search engines read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from llmi2i_cli.files.tables import lazily, writing
from llmi2i_cli.i2i.neighbour_lists import neighbour_lists
from llmi2i_cli.i2i.neighbours import Neighbours

JSON_LINE: Mapping[str, Any] = {
    "item_id": pl.String,
    "neighbour_ids": pl.List(pl.String),
    "scores": pl.List(pl.Float32),
}
ELEMENTS = (pl.col("neighbour_id").alias("neighbour_ids"), pl.col("score").alias("scores"))


def write_json_lines(path: Path, neighbours: Neighbours, item_ids: pl.Series) -> int:
    """Write ``{"item_id": "a", "neighbour_ids": ["b", ...], "scores": [0.5, ...]}``, a line an item; returns how many.

    The scores are written so that they come back exactly as float32.

    Parameters
    ----------
    item_ids : String (n_items,), the catalogue in the order of the indices
    """
    with writing(path) as temporary:
        lazily(lambda: neighbour_lists(neighbours, item_ids, ELEMENTS), JSON_LINE).sink_ndjson(temporary)
    return neighbours.n_items
