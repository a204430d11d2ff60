"""The items whose neighbours a report shows: chosen by a rule, so that nobody picks the pretty ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from llmi2i_cli.i2i.neighbours import tie_ranks

N_ITEMS, N_LONG_TAIL, N_NEVER = 20, 6, 6


class ExampleItems(NamedTuple):
    """A group of the chosen items."""

    label: str
    item_ids: list[str]


def example_items(items: pl.DataFrame) -> list[ExampleItems]:
    """Six items that train never has, six of the long tail that it has, and bestsellers to make twenty.

    Of the first two groups those are taken that come first in the seeded order that breaks ties (`tie_ranks`), of
    bestsellers those that train has most often, equal ones in the catalogue's order.

    Parameters
    ----------
    items : ``prepare/items.parquet``
    """
    numbered = items.with_columns(order=pl.Series(tie_ranks(len(items)).astype(np.int64)))
    never = numbered.filter(train_count=0).sort("order").head(N_NEVER)["item_id"].to_list()
    in_tail = numbered.filter(pl.col("is_long_tail") & (pl.col("train_count") > 0))
    long_tail = in_tail.sort("order").head(N_LONG_TAIL)["item_id"].to_list()
    others = numbered.filter((pl.col("train_count") > 0) & ~pl.col("item_id").is_in(long_tail))
    by_count = others.sort("train_count", descending=True, maintain_order=True)
    bestsellers = by_count.head(N_ITEMS - len(never) - len(long_tail))["item_id"].to_list()
    groups = (("Bestsellers", bestsellers), ("Long tail", long_tail), ("Never in train", never))
    return [ExampleItems(label, item_ids) for label, item_ids in groups if item_ids]
