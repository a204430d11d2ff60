"""Counts of users and items, and which items are long tail.

There are two marks: one for reporting, from the whole log, and one for training, from its train interactions alone.
"""

from __future__ import annotations

import math

import polars as pl


def item_counts(log: pl.DataFrame) -> pl.DataFrame:
    """Interactions of each item in a split log: item_id, count (all splits) and train_count."""
    return log.group_by("item_id").agg(
        count=pl.len().cast(pl.Int64), train_count=(pl.col("split") == "train").sum().cast(pl.Int64)
    )


def user_counts(log: pl.DataFrame) -> pl.DataFrame:
    """Train interactions of each user in a split log, in the log's order of users: user_id, train_count."""
    return log.group_by("user_id", maintain_order=True).agg(
        train_count=(pl.col("split") == "train").sum().cast(pl.Int64)
    )


def mark_long_tail(items: pl.DataFrame, *, tail_max_count: int, tail_fraction: float) -> pl.DataFrame:
    """Add is_long_tail and is_train_tail to items with count and train_count.

    is_long_tail: one to `tail_max_count` interactions in the whole log, as in the paper's Table 1; it sees held-out
    interactions, so only reports may use it. is_train_tail: the least-bought `tail_fraction` of the items with at least
    one train interaction, with every item that has as few as the last of them. Items that train never bought are marked
    as well, but they do not use the fraction up: a fifth of a real catalogue is easily never bought.
    """
    bought = items["train_count"].filter(items["train_count"] > 0).sort()
    n_tail = math.ceil(round(tail_fraction * len(bought), 6))
    boundary = bought[n_tail - 1] if n_tail else -1
    return items.with_columns(
        is_long_tail=pl.col("count").is_between(1, tail_max_count), is_train_tail=pl.col("train_count") <= boundary
    )
