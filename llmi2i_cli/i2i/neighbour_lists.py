"""Neighbours in the order of the catalogue, some items at a time: of a large index one block is in memory as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl

from llmi2i_cli.i2i.neighbours import EMPTY, Neighbours

ROWS_AT_ONCE = 1 << 22  # of neighbours, in a block


def item_blocks(
    neighbours: Neighbours, rows_of: Callable[[int, Neighbours], pl.DataFrame], rows_at_once: int | None = None
) -> Iterator[pl.DataFrame]:
    """What `rows_of` makes of each block of items, given its first item and its rows, in the order of the catalogue."""
    items_at_once = max(1, (rows_at_once or ROWS_AT_ONCE) // max(neighbours.k, 1))
    for items, block in neighbours.blocks(items_at_once):
        yield rows_of(items.start, block)


def neighbour_lists(
    neighbours: Neighbours, item_ids: pl.Series, elements: Sequence[pl.Expr], rows_at_once: int | None = None
) -> Iterator[pl.DataFrame]:
    """A row per item, some at a time: ``item_id``, and a list for each of `elements`, empty without neighbours.

    Parameters
    ----------
    item_ids : String (n_items,), the catalogue in the order of the indices
    elements : what stands in the lists for each neighbour, of the columns neighbour_id (String) and score (Float32)
    """

    def rows_of(first: int, block: Neighbours) -> pl.DataFrame:
        filled = block.ids != EMPTY
        ids = item_ids.gather(np.where(filled, block.ids, 0).ravel()).alias("neighbour_id")
        flat = pl.DataFrame([ids, pl.Series("score", block.scores.ravel()), pl.Series("filled", filled.ravel())])
        made = flat.select(pl.when("filled").then(each).alias(each.meta.output_name()) for each in elements)
        lists = [column.reshape(block.ids.shape).arr.to_list().list.drop_nulls() for column in made]
        return pl.DataFrame([item_ids[first : first + len(block.ids)].alias("item_id"), *lists])

    return item_blocks(neighbours, rows_of, rows_at_once)
