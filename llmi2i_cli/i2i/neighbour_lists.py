"""Neighbours in the order of the catalogue, some items at a time: of a large index one block is in memory as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours

ROWS_AT_ONCE = 1 << 22  # of neighbours, in a block


def item_blocks(neighbours: Neighbours, rows_at_once: int | None = None) -> Iterator[tuple[int, Neighbours]]:
    """The first item and the rows of each block of items, in the order of the catalogue."""
    items_at_once = max(1, (rows_at_once or ROWS_AT_ONCE) // max(neighbours.k, 1))
    for items, block in neighbours.blocks(items_at_once):
        yield items.start, block


def neighbour_lists(first: int, block: Neighbours, item_ids: pl.Series, elements: Sequence[pl.Expr]) -> pl.DataFrame:
    """A row per item of a block: ``item_id``, and a list for each of `elements`, empty without neighbours.

    Parameters
    ----------
    first : the block's first item
    item_ids : String (n_items,), the catalogue in the order of the indices
    elements : what stands in the lists for each neighbour, of the columns neighbour_id (String) and score (Float32)
    """
    filled = block.ids != EMPTY
    ids = item_ids.gather(np.where(filled, block.ids, 0).ravel()).alias("neighbour_id")
    flat = pl.DataFrame([ids, pl.Series("score", block.scores.ravel()), pl.Series("filled", filled.ravel())])
    made = flat.select(pl.when("filled").then(each).alias(each.meta.output_name()) for each in elements)
    lists = [column.reshape(block.ids.shape).arr.to_list().list.drop_nulls() for column in made]
    return pl.DataFrame([item_ids[first : first + len(block.ids)].alias("item_id"), *lists])
